"""What each frame of an authentic packet does."""

from collections.abc import Callable, Mapping
from typing import assert_never

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.events import DatagramReceived, Event
from tandem_transport.path.path import Path
from tandem_transport.path.policy import Policy
from tandem_transport.sending.outbox import Outbox
from tandem_transport.session.liveness import Liveness
from tandem_transport.session.reports import Reports
from tandem_transport.session.twins import TwinFilter
from tandem_transport.wire.frames import (
    AckFrame,
    ConnectionCloseFrame,
    DatagramFrame,
    Frame,
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    PathChallengeFrame,
    PathPolicyFrame,
    PathResponseFrame,
    PingFrame,
    ResetStreamFrame,
    StatsFrame,
    StopSendingFrame,
    StreamFrame,
)


class Receiver:
    """Passes frames on to whom they concern."""

    def __init__(
        self,
        *,
        paths: Mapping[int, Path],
        outbox: Outbox,
        liveness: Liveness,
        policy: Policy,
        reports: Reports,
        twins: TwinFilter,
        emit: Callable[[Event], None],
        close: Callable[[ConnectionCloseFrame], None],
        takes_policy: bool,
        max_ack_delay: float,
    ) -> None:
        """`max_ack_delay` is the peer's. `takes_policy`: this end is the server."""
        self._paths = paths
        self._outbox = outbox
        self._liveness = liveness
        self._policy = policy
        self._reports = reports
        self._twins = twins
        self._emit = emit
        self._close = close
        self._takes_policy = takes_policy
        self._max_ack_delay = max_ack_delay
        self.stream_bytes = 0
        """Bytes of stream data, each counted once."""

    def receive(self, frames: list[Frame], path: Path, *, rtt: float, now: float) -> None:
        """The frames of one packet, in order. Raises PeerError where the peer breaks the protocol."""
        for frame in frames:
            self._receive(frame, path, rtt, now)
            if isinstance(frame, ConnectionCloseFrame):
                return  # nothing counts after it

    def _receive(self, frame: Frame, path: Path, rtt: float, now: float) -> None:
        streams = self._outbox.streams
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
                if self._twins.is_new(frame.sequence):
                    self._emit(DatagramReceived(frame.flow_id, frame.data))
            case StatsFrame():
                self._reports.take(frame, self._paths)
            case PathChallengeFrame():
                path.once.append(PathResponseFrame(frame.data).encode())
            case PathResponseFrame():
                path.on_response(frame.data, now=now)
            case PathPolicyFrame():
                self._on_path_policy(frame)
            case ConnectionCloseFrame():
                self._close(frame)
            case _:
                assert_never(frame)

    def _on_stream(self, frame: StreamFrame, path: Path, rtt: float, now: float) -> None:
        if self._outbox.streams.on_stream_frame(frame, rtt=rtt, now=now):
            self.stream_bytes += len(frame.data)
            path.counters.on_won(now=now)
            self._liveness.on_activity(now=now)

    def _on_ack(self, frame: AckFrame, via: Path, now: float) -> None:
        path = self._paths.get(frame.path_id)
        if path is None:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"ACK for unused path {frame.path_id}")
        result = path.on_ack(frame, is_own_path=path is via, max_ack_delay=self._max_ack_delay, now=now)
        for packet in result.acked:
            self._outbox.on_acked(packet)
        for packet in result.lost:
            self._outbox.on_lost(packet, path, now=now)

    def _on_path_policy(self, frame: PathPolicyFrame) -> None:
        if not self._takes_policy:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, "PATH_POLICY from a server")
        self._policy.take(frame)
        self._policy.apply(self._paths)
