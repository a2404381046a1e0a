"""What each frame of an authentic packet does."""

from collections.abc import Callable
from typing import assert_never

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.events import Event, GoAwayReceived
from tandem_transport.parameters import SMALL_DATA
from tandem_transport.path.path import Path
from tandem_transport.path.policy import Policy
from tandem_transport.path.table import PathTable
from tandem_transport.sending.outbox import Outbox
from tandem_transport.session.liveness import Liveness
from tandem_transport.session.reports import Reports
from tandem_transport.session.twins import TwinFilter
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import (
    AckFrame,
    ConnectionCloseFrame,
    DatagramFrame,
    Frame,
    GoAwayFrame,
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    PathChallengeFrame,
    PathLimitsFrame,
    PathPolicyFrame,
    PathResponseFrame,
    PingFrame,
    ResetStreamFrame,
    StatsFrame,
    StopSendingFrame,
    StreamFrame,
)


class Receiver:
    """Passes each frame on to the part of the session that it concerns."""

    def __init__(
        self,
        paths: PathTable,
        outbox: Outbox,
        streams: Streams,
        liveness: Liveness,
        policy: Policy,
        reports: Reports,
        twins: TwinFilter,
        emit: Callable[[Event], None],
    ) -> None:
        self._paths = paths
        self._outbox = outbox
        self._streams = streams
        self._liveness = liveness
        self._policy = policy
        self._reports = reports
        self._twins = twins
        self._emit = emit
        self.goes_away = False
        """GO_AWAY has arrived."""
        self.has_small_data = False
        """A small piece of a stream or a DATAGRAM frame has come since this was set to False: somebody may wait."""
        self.stream_bytes = 0
        """Bytes of stream data received, each counted once."""

    def receive(self, frames: list[Frame], path: Path, *, now: float) -> ConnectionCloseFrame | None:
        """Processes the frames of one packet in order; returns the one that ends the session, if there is one.

        Raises PeerError where the peer breaks the protocol.
        """
        for frame in frames:
            if isinstance(frame, ConnectionCloseFrame):
                return frame  # frames after it do not count
            self._receive(frame, path, now)
        return None

    def _receive(self, frame: Frame, path: Path, now: float) -> None:
        streams, rtt = self._streams, self._paths.rtt
        match frame:
            case StreamFrame():
                self._on_stream(frame, path, rtt, now)
            case AckFrame():
                self._on_ack(frame, path, now)
            case PingFrame():
                pass  # the acknowledgement is the answer
            case MaxDataFrame():
                streams.turns.raise_credit(frame.limit, frame.window)
            case MaxStreamDataFrame():
                streams.on_max_stream_data_frame(frame)
            case MaxStreamsFrame():
                streams.on_max_streams_frame(frame)
            case ResetStreamFrame():
                streams.on_reset_frame(frame, rtt=rtt, now=now)
            case StopSendingFrame():
                streams.on_stop_sending_frame(frame)
            case DatagramFrame():
                self._twins.receive(frame)
                self.has_small_data = True
            case StatsFrame():
                self._reports.take(frame, self._paths.by_id)
            case PathLimitsFrame():
                self._reports.take_limits(frame, self._paths.by_id, now=now)
            case PathChallengeFrame():
                path.own_frames.append(PathResponseFrame(frame.data).encode())
            case PathResponseFrame():
                path.on_response(frame.data, now=now)
            case GoAwayFrame():
                self._on_go_away()
            case PathPolicyFrame():
                self._on_path_policy(frame)
            case ConnectionCloseFrame():
                pass  # `receive` ends with it
            case _:
                assert_never(frame)

    def _on_stream(self, frame: StreamFrame, path: Path, rtt: float, now: float) -> None:
        if self._streams.on_stream_frame(frame, rtt=rtt, now=now):
            self.stream_bytes += len(frame.data)
            if len(frame.data) <= SMALL_DATA:
                self.has_small_data = True
            path.counters.on_won(now=now)
            self._liveness.on_activity(now=now)

    def _on_ack(self, frame: AckFrame, via: Path, now: float) -> None:
        path = self._paths.by_id.get(frame.path_id)
        if path is None:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"ACK for unused path {frame.path_id}")
        result = path.on_ack(frame, is_own_path=path is via, now=now)
        for packet in result.acked:
            self._outbox.on_acked(packet)
        for packet in result.lost:
            self._outbox.on_lost(packet, path, now=now)

    def _on_go_away(self) -> None:
        if not self._paths.is_client:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, "GO_AWAY from a client")
        if not self.goes_away:  # the frame has copies
            self.goes_away = True
            self._emit(GoAwayReceived())

    def _on_path_policy(self, frame: PathPolicyFrame) -> None:
        if self._paths.is_client:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, "PATH_POLICY from a server")
        self._policy.take(frame)
        self._policy.apply(self._paths.by_id)
