"""A session: streams over several paths. It is sans-I/O: no sockets, no clock."""

import hmac
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator

from tandem_transport.crypto.handshake import Established
from tandem_transport.errors import DecodeError, ErrorCode, LocalProtocolError, PeerError
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.parameters import (
    CLOSING_PTOS,
    GO_AWAY_VERSION,
    LATE_TURN,
    MAX_PATHS,
    MAX_REASON_SIZE,
    PATH_LIMITS_VERSION,
)
from tandem_transport.path.carrier import Carrier
from tandem_transport.path.policy import Policy
from tandem_transport.path.table import PathTable
from tandem_transport.sending.control import ControlQueue
from tandem_transport.sending.outbox import Outbox
from tandem_transport.sending.sender import Sender
from tandem_transport.session.closing import Closing
from tandem_transport.session.lateness import Lateness
from tandem_transport.session.liveness import Liveness
from tandem_transport.session.options import SessionOptions
from tandem_transport.session.receiver import Receiver
from tandem_transport.session.reports import Reports
from tandem_transport.session.stats import ConnectionStats, path_stats
from tandem_transport.session.timers import PathTimers
from tandem_transport.session.twins import TwinFilter
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import (
    NOT_ACK_ELICITING,
    ConnectionCloseFrame,
    DatagramFrame,
    GoAwayFrame,
    Mode,
    PathPolicyFrame,
    PathPreference,
    StreamFrame,
)
from tandem_transport.wire.packets import PacketType, PacketView, Transmit


class Connection:
    """One end of an established session.

    - input: `receive_packets`, `handle_timeout`, and what the driver learns of its links and machine: `add_path`,
      `on_rebound`, `set_carrier`, `set_link_error`, `set_quantum`, `on_wake`, `on_forgotten`;
    - commands of the application: `open_stream`, `send_stream_data`, `consume`, `reset_stream`, `send_datagram_frame`,
      `set_policy`, `set_mode`, `update_keys`, `go_away`, `close`;
    - output: after any input or command, `next_event` and `datagrams_to_send` until neither has anything left, because
      handling an event may queue something to send; then `next_timeout`;
    - questions: `send_capacity`, `datagram_room`, `stats`, `carried_bytes`, `peer_load`, `goes_away`, `silence`,
      `mode`, `is_open`, `is_closed`, `is_confirmed`, `is_out`, `has_small_data`, `version`, `last_received_at`,
      `packets_dropped`, `is_client`, `connection_id`.

    `now` is seconds of a monotonic clock with any origin and never goes back. No received data
    raises an exception: packets that are not authentic are counted and dropped, and if the peer
    breaks the protocol, the session is closed with a reason. Only a caller's mistakes raise
    LocalProtocolError.
    """

    def __init__(self, established: Established, options: SessionOptions, *, now: float) -> None:
        self.connection_id = established.protection.connection_id
        self._established = established
        self._protection = established.protection
        self.version = min(options.parameters.version, established.peer_parameters.version)
        """The version of the protocol that is in force: the newest that both ends know."""
        self._now = now
        self._is_terminated = False
        self._closing: Closing | None = None
        """The closing state, None unless this end has closed the session."""
        self._events: deque[Event] = deque()
        self._control = ControlQueue()
        self._policy = Policy()
        self._paths = paths = PathTable(self._policy, options.path_terms(established, now=now))
        self._streams = streams = options.make_streams(established, self._control.add, self._events.append)
        self._outbox = outbox = Outbox(self._control, streams)
        self._sender = Sender(self._protection, outbox, streams.turns, self._policy, established.max_ack_delay)
        self._liveness = Liveness(is_client=options.is_client, emit=self._events.append, now=now)
        self._twins = TwinFilter(self._events.append)
        self._reports = Reports(tells_limits=self.version >= PATH_LIMITS_VERSION)
        self._receiver = Receiver(
            paths, outbox, streams, self._liveness, self._policy, self._reports, self._twins, self._events.append
        )
        self._lateness = Lateness()
        self._timers = PathTimers(paths, outbox, streams, self._lateness)
        self.packets_dropped = 0

    # --- input ---

    def receive_packets(
        self, path_id: int, packets: Iterable[PacketView], *, now: float, source: Hashable = None
    ) -> None:
        """The packets of a datagram have arrived on a path, from an address that only the driver understands."""
        self._now = now
        self._note_lateness()
        for packet in packets:
            if packet.connection_id != self.connection_id:
                self.packets_dropped += 1
            elif packet.packet_type is PacketType.TRANSPORT and packet.path_id == path_id:
                self._receive_packet(packet, source)
            elif packet.packet_type is PacketType.STATELESS_RESET:
                self._receive_reset(packet)
            else:
                self.packets_dropped += 1

    def handle_timeout(self, *, now: float) -> None:
        """To be called when `next_timeout` has passed; calling it early does nothing."""
        self._now = now
        if self._closing is not None:
            self._closing.handle_timeout(now=now)
        if self._is_terminated:
            return
        self._note_lateness()
        self._timers.handle_timeout(now=now)
        self._sender.handle_timeout(self._paths.all, now=now)
        self._guard(lambda: self._liveness.update(self._paths.all, self._streams, now=now))
        if self._liveness.is_stats_due(self._streams, now=now):
            self._reports.send(self._outbox.rescued, self._outbox.copy_bytes, self._paths.all, now=now)
        if self._liveness.is_expired(self._streams, now=now):
            self._terminate(ErrorCode.TIMED_OUT, "nothing was heard on any link", is_remote=False)
        elif self._paths.is_exhausted:
            self._terminate(ErrorCode.NO_ERROR, "the packet numbers of a path are used up", is_remote=False)

    def on_rebound(self, path_id: int, *, is_same_network: bool, now: float) -> None:
        """The link has another socket, or uses another endpoint of the server: its path is probed at once.

        Unless the network is the same, the path is also measured again from the beginning, and its
        data in flight is sent on other paths.
        """
        self._now = now
        path = self._paths.by_id[path_id]
        path.probing.request(is_full=True)
        if not is_same_network:
            path.rebind(now=now)
            self._outbox.move_away_from(path)

    def set_carrier(self, path_id: int, carrier: Carrier | None) -> None:
        """The client's link sends through a byte stream from now on, or as datagrams again (None)."""
        self._paths.by_id[path_id].carrier = carrier

    def on_wake(self, *, now: float) -> None:
        """The machine has slept, or this process stood still: probes all paths."""
        self._now = now
        self._protection.on_wake(now=now)
        for path in self._paths.all:
            path.on_wake()

    def on_forgotten(self, *, now: float) -> None:
        """The server has proven that it no longer knows this session."""
        self._now = now
        self._terminate(ErrorCode.FORGOTTEN, "the other side no longer knows this session", is_remote=True)

    def set_link_error(self, path_id: int, error: str, *, now: float) -> None:
        """Sets why the client cannot use a link, empty once it can; until then neither end uses the path.

        The server learns this over another path. Without one, it only notices the silence.
        """
        path = self._paths.by_id[path_id]
        was, path.standing.link_error = path.standing.link_error, error
        if bool(was) != bool(error):
            self._tell_policy(self._policy.switch(path_id, is_off=bool(error)))
        self._liveness.update_status(self._paths.all, now=now)

    # --- application ---

    def add_path(self, path_id: int, *, now: float) -> None:
        """Adds a path for another link of the client; ids are assigned in order and never reused.

        Raises LocalProtocolError on a server, for an id in use, or from MAX_PATHS on.
        """
        if not self.is_client or path_id in self._paths.by_id or path_id >= MAX_PATHS:
            raise LocalProtocolError(f"path {path_id} cannot be added")
        self._now = now
        self._paths.make(path_id, now=now).probing.request()

    def open_stream(self) -> int:
        """Opens a stream and returns its id. Raises LocalProtocolError at the peer's limit or on a closed session."""
        self._check_open()
        stream_id = self._streams.open()
        self._liveness.on_activity(now=self._now)
        return stream_id

    def send_capacity(self, stream_id: int) -> int:
        """Bytes that the application should write to the stream now; where it is 0, a StreamWritable follows."""
        return 0 if self._is_terminated else self._streams.send_capacity(stream_id)

    def send_stream_data(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        """Queues data on a stream. Raises LocalProtocolError if the stream is finished, reset or unknown."""
        self._check_open()
        self._streams.write(stream_id, data, end_stream=end_stream)

    def consume(self, stream_id: int, size: int) -> None:
        """The application has processed `size` bytes of StreamDataReceived; the peer may send more."""
        if self._is_terminated:
            return
        self._guard(lambda: self._streams.consume(stream_id, size, rtt=self._paths.rtt, now=self._now))

    def reset_stream(self, stream_id: int, code: int = ErrorCode.STREAM_CANCELLED) -> None:
        """Ends both directions of a stream at once, like a TCP reset; does nothing to a stream that is over."""
        if self._is_terminated:
            return
        self._guard(lambda: self._streams.reset(stream_id, code, rtt=self._paths.rtt, now=self._now))

    def send_datagram_frame(self, flow_id: int, data: bytes) -> bool:
        """Sends an unreliable DATAGRAM frame, copied on all paths; False if `data` is larger than `datagram_room`."""
        self._check_open()
        if len(data) > self.datagram_room:
            return False
        sequence = self._twins.next_sequence(len(data))
        self._paths.queue_datagram_frame(DatagramFrame(flow_id, sequence, data).encode())
        return True

    @property
    def datagram_room(self) -> int:
        """Most bytes of data that a DATAGRAM frame may have now: every path except very narrow ones must carry it."""
        return self._paths.datagram_room

    def set_policy(self, mode: Mode, preferences: tuple[PathPreference, ...]) -> None:
        """The client decides how both ends use the paths (PATH_POLICY)."""
        self._tell_policy(self._policy.choose(mode, preferences))

    def set_mode(self, mode: Mode) -> None:
        """Changes the client's mode from now on; its preferences for single paths stay."""
        self.set_policy(mode, self._policy.preferences)

    def update_keys(self, *, now: float) -> None:
        """Begins the next key phase; the peer follows with its next packet.

        Raises LocalProtocolError while packets of the previous key phase may still arrive.
        """
        if not self._protection.may_update(now=now):
            raise LocalProtocolError("the last key update is not over")
        self._protection.update_keys(now=now)

    def go_away(self) -> None:
        """Tells the client to open its next streams in another session; does nothing where it does not know how."""
        if self.version >= GO_AWAY_VERSION and not self._is_terminated:
            self._guard(lambda: self._control.add(GoAwayFrame()))

    def close(self, code: int = ErrorCode.NO_ERROR, reason: str = "", *, now: float) -> None:
        """Ends the session and tells the peer; streams are reset."""
        self._now = now
        self._terminate(code, reason, is_remote=False)

    # --- output ---

    def datagrams_to_send(self, *, now: float) -> Iterator[Transmit]:
        """All datagrams that may leave now."""
        self._now = now
        self._receiver.has_small_data = False
        if not self._is_terminated:
            self._protection.update_if_due(now=now)
            self._paths.note_rtt()
            self._outbox.note_blocked(self._paths.all)
            yield from self._sender.packets(self._paths.all, now=now)
        elif self._closing is not None:
            yield from self._closing.packets(self._protection, now=now)

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout` and `datagrams_to_send` again; None once closed."""
        if self.is_closed:
            return None
        if self._closing is not None:
            return self._closing.over_at
        paths, now = self._paths.all, self._now
        times = (
            self._sender.wake_at(paths, now=now),
            self._liveness.next_timeout(paths, self._streams, now=now),
            self._timers.next_timeout(now=now),
        )
        self._lateness.deadline = at = min((time for time in times if time is not None), default=None)
        return at

    def next_event(self) -> Event | None:
        """The next event, None where none is left."""
        if not self._events and not self._is_terminated:
            self._guard(lambda: self._events.extend(self._streams.events()))
        return self._events.popleft() if self._events else None

    # --- questions ---

    @property
    def is_client(self) -> bool:
        """This end is the client."""
        return self._paths.is_client

    @property
    def has_small_data(self) -> bool:
        """A small piece of a stream has arrived since `datagrams_to_send`: somebody may wait for it."""
        return self._receiver.has_small_data

    @property
    def is_closed(self) -> bool:
        """The session can be forgotten: nothing is left to send, and no packet has to be answered."""
        return self._is_terminated and (self._closing is None or self._closing.is_over)

    @property
    def is_confirmed(self) -> bool:
        """A packet from the peer has proven that the peer has the session's keys."""
        return self._paths.is_confirmed

    @property
    def last_received_at(self) -> float:
        """When the peer was last heard, on any path; at first, when the session began."""
        return self._liveness.last_received_at

    @property
    def is_open(self) -> bool:
        """The session has not been closed by either side."""
        return not self._is_terminated

    @property
    def is_out(self) -> bool:
        """All paths are down, or carry nothing to the peer; streams are suspended."""
        return self._liveness.is_out

    @property
    def mode(self) -> Mode:
        """The mode in which paths are used, as the client has chosen."""
        return self._policy.mode

    def silence(self, path_id: int, *, now: float) -> float:
        """Seconds for which nothing on a path was answered, 0 where nothing waits for an answer."""
        since = self._paths.by_id[path_id].recovery.unanswered_since
        return now - since if since is not None else 0.0

    def set_quantum(self, quantum: float) -> float:
        """Sets how late turns are, in seconds: the most that pacers may catch up. Returns the least that one may."""
        return self._paths.set_quantum(quantum)

    @property
    def goes_away(self) -> bool:
        """Whether the server has said that it will end."""
        return self._receiver.goes_away

    @property
    def peer_load(self) -> int | None:
        """How full the server was when the session began, in percent; None where it has not said so."""
        return self._established.peer_parameters.load

    @property
    def carried_bytes(self) -> int:
        """Bytes of streams and DATAGRAM frames in both directions, each counted once, however often it was sent."""
        return self._streams.bytes_written + self._receiver.stream_bytes + self._twins.carried_bytes

    def stats(self, *, now: float) -> ConnectionStats:
        """A snapshot of the session and its paths."""
        paths = self._paths.all
        all_won = sum(path.counters.won(now=now) for path in paths)
        return ConnectionStats(
            streams_open=len(self._streams),
            streams_total=self._streams.opened,
            stream_bytes_sent=self._streams.bytes_written,
            stream_bytes_received=self._receiver.stream_bytes,
            copy_bytes=self._outbox.copy_bytes + self._reports.peer_copied,
            spurious=sum(path.recovery.reordering.spurious for path in paths),
            rescued=self._outbox.rescued + self._reports.peer_rescued,
            is_out=self._liveness.is_out,
            packets_dropped=self.packets_dropped,
            key_updates=self._protection.updates,
            paths=tuple(path_stats(path, all_won, now=now) for path in paths),
        )

    # --- packets ---

    def _receive_packet(self, packet: PacketView, source: Hashable) -> None:
        number, path = packet.packet_number, self._paths.by_id.get(packet.path_id)
        if path is not None and path.received.is_replay(number):
            self.packets_dropped += 1
            return
        try:
            payload = self._protection.open(packet, number, now=self._now)
        except PeerError as violation:  # a name of its own: the compiled core gives each name one type
            self._on_violation(violation)
            return
        if payload is None:
            self.packets_dropped += 1
        elif self._closing is not None and path is not None:
            self._closing.receive(path, number, payload, now=self._now)
        elif not self._is_terminated:
            try:
                self._process(packet, number, payload, source)
            except (DecodeError, PeerError) as error:
                self._on_violation(error)

    def _process(self, packet: PacketView, number: int, payload: bytes, source: Hashable) -> None:
        path = self._paths.accept(packet.path_id, now=self._now)
        has_gap = path.on_packet_received(number, len(packet.data), source, now=self._now)
        self._liveness.last_received_at = self._now
        frames = decode_frames(payload)
        for frame in frames:
            if isinstance(frame, StreamFrame) or not isinstance(frame, NOT_ACK_ELICITING):  # most are stream frames
                self._paths.schedule_acks(path, has_gap=has_gap, now=self._now)
                break
        close = self._receiver.receive(frames, path, now=self._now)
        if close is not None:
            self._terminate(close.code, close.reason, is_remote=True)

    def _tell_policy(self, frame: PathPolicyFrame) -> None:
        self._policy.apply(self._paths.by_id)
        self._guard(lambda: self._control.add(frame))

    def _receive_reset(self, packet: PacketView) -> None:
        if hmac.compare_digest(packet.body, self._established.reset_token) and not self._is_terminated:
            self.on_forgotten(now=self._now)
        else:
            self.packets_dropped += 1

    # --- timers ---

    def _note_lateness(self) -> None:
        """Excuses the paths if this turn is late: what arrives now may have waited in the socket since it was due."""
        late = self._lateness.of_turn(now=self._now)
        if late > LATE_TURN:
            self._liveness.excuse(self._paths.all, late, now=self._now)

    # --- inside ---

    def _check_open(self) -> None:
        if self._is_terminated:
            raise LocalProtocolError("the session is closed")

    def _guard(self, action: Callable[[], object]) -> None:
        """Runs an action that the peer may have caused; its violations end the session, not the process."""
        try:
            action()
        except (DecodeError, PeerError) as error:
            self._on_violation(error)

    def _on_violation(self, error: DecodeError | PeerError) -> None:
        if isinstance(error, PeerError):
            self._terminate(error.code, error.reason, is_remote=False)
        else:
            self._terminate(ErrorCode.FRAME_ENCODING_ERROR, str(error), is_remote=False)

    def _terminate(self, code: int, reason: str, *, is_remote: bool) -> None:
        if self._is_terminated:
            return
        self._is_terminated = True
        self._streams.release()
        if not is_remote:
            frame = ConnectionCloseFrame(code, reason[:MAX_REASON_SIZE])
            over_at = self._now + CLOSING_PTOS * self._paths.longest_probe_timeout()
            self._closing = Closing(frame, self._paths.all, over_at)
        self._events.append(ConnectionTerminated(code, reason, is_remote))
