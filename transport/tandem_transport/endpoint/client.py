"""The client's side: gets a session and keeps one, over whatever links there are.

The first message goes out on all links with the same bytes; the first answer counts. No
link is the master, and a dead one costs nothing (PROTOCOL.md section 3). A session that is
silent on all links stays, and another one is asked for beside it: the server's answer says
whether it still has the first.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from tandem_transport.crypto.connection_id import session_tag
from tandem_transport.crypto.handshake import (
    MAC_SIZE,
    Challenged,
    ClientHandshake,
    CookieReceived,
    Established,
    Randomness,
    Refused,
)
from tandem_transport.errors import ErrorCode, LocalProtocolError
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.parameters import (
    EMBRYO_LIFETIME,
    HANDSHAKE_PATIENCE,
    HANDSHAKE_REPEAT,
    HANDSHAKE_RETRY,
    HANDSHAKE_RETRY_MAX,
    MAX_PATHS,
    SILENCE_LIMIT,
)
from tandem_transport.session.connection import Connection
from tandem_transport.wire.frames import Mode, PathWish
from tandem_transport.wire.packets import PacketType, PacketView, Transmit, split_datagram
from tandem_transport.wire.transport_parameters import TransportParameters

_KEPT_HANDSHAKES = 3
"""First messages whose answers are still read: one may come after the next was sent."""

_REPEATS = 3
"""Times that the same first message is sent again."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A session is there."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class HandshakeRefused:
    """The server does not want us; it is asked again, soon at first, and ever more rarely."""

    code: int


@dataclass(frozen=True, slots=True)
class HandshakeUnanswered:
    """No link has brought an answer yet."""

    attempts: int
    """First messages sent since the last session."""
    silence: float
    """Seconds since the first of them."""


ClientEvent = Connected | HandshakeRefused | HandshakeUnanswered | Event


class ClientEndpoint:
    """Sans-I/O, like `Connection`: the same kinds of methods, for one session after another."""

    def __init__(
        self,
        static_private: bytes,
        server_public: bytes,
        *,
        randomness: Randomness,
        wall_clock: Callable[[], float],
        now: float,
        parameters: TransportParameters | None = None,
        instance_id: bytes | None = None,
        mode: Mode = Mode.DUPLICATE,
    ) -> None:
        """`wall_clock`: seconds since 1970, for the timestamps that keep first messages from being replayed.

        `instance_id`: 8 random bytes. A client that was restarted gives those that it had, and its
        old session gives way; without them it is another computer with the same key.
        """
        self._static_private, self._server_public = static_private, server_public
        self._parameters = parameters or TransportParameters()
        self._randomness = randomness
        self._wall_clock = wall_clock
        self._mode = mode
        self._wishes: tuple[PathWish, ...] = ()
        self._instance_id = instance_id or randomness(8)
        self._last_timestamp_us = 0
        self._path_ids: list[int] = []
        self._connection: Connection | None = None
        self._connected_at = now
        self._short_sessions = 0
        self._now = now
        self._handshakes: deque[ClientHandshake] = deque(maxlen=_KEPT_HANDSHAKES)
        self._token = bytes(MAC_SIZE)
        self._attempts = 0
        self._patience, self._retry_interval = HANDSHAKE_PATIENCE, HANDSHAKE_RETRY
        """First messages before they become rarer, and the seconds after which the next one is due."""
        self._is_refused = False
        """The last answer was a refusal."""
        self._searching_since = now
        self._retry_at: float | None = now
        self._repeat_at: float | None = None
        self._repeats_left = 0
        self._is_stopped = False
        self._outgoing: deque[Transmit] = deque(maxlen=16 * MAX_PATHS)
        self._events: deque[ClientEvent] = deque()

    @property
    def connection(self) -> Connection | None:
        """The present session, None while there is none."""
        return self._connection

    # --- input ---

    def receive_datagram(self, path_id: int, data: bytes, *, now: float, source: Hashable = None) -> None:
        """A datagram that arrived on a link."""
        self._now = now
        packets = split_datagram(data)
        if not packets:
            return
        packet = packets[0]
        if packet.packet_type in (PacketType.TRANSPORT, PacketType.STATELESS_RESET):
            if self._connection is not None:
                self._connection.receive_packets(path_id, packets, now=now)
                if self._is_looking and self._connection.last_received_at == now:
                    self._stop_looking()
            return
        for handshake in self._handshakes:
            if handshake.handshake_id == packet.connection_id:
                self._receive_answer(handshake, packet, path_id, now)
                return

    def handle_timeout(self, *, now: float) -> None:
        """To be called when `next_timeout` has passed."""
        self._now = now
        if self._connection is not None:
            self._connection.handle_timeout(now=now)
            self._collect(now)
            self._look_beside(now)
        if self._retry_at is not None and now >= self._retry_at:
            self._begin(now)
        elif self._repeat_at is not None and now >= self._repeat_at:
            self._repeat(now)

    # --- commands ---

    def add_path(self, *, now: float) -> int:
        """Another link; returns its path id. Raises LocalProtocolError beyond MAX_PATHS."""
        path_id = len(self._path_ids)
        if path_id >= MAX_PATHS:
            raise LocalProtocolError(f"a session has at most {MAX_PATHS} paths")
        self._path_ids.append(path_id)
        if self._connection is not None:
            self._connection.add_path(path_id, now=now)
        else:
            self.retry(now=now)
        return path_id

    def retry(self, *, now: float) -> None:
        """A link has changed, and an answer is to be expected: tries at once, should it be looking for a session."""
        self._be_patient()
        if (self._connection is None or self._is_looking) and not self._is_stopped:
            self._retry_at = now

    def on_rebound(self, path_id: int, *, is_same_network: bool, now: float) -> None:
        """A link has another socket, or talks to another endpoint of the server."""
        self._now = now
        if self._connection is not None:
            self._connection.on_rebound(path_id, is_same_network=is_same_network, now=now)
        if not is_same_network:
            self.retry(now=now)

    def on_wake(self, *, now: float) -> None:
        """The machine has slept, or this process stood still."""
        self._now = now
        if self._connection is not None:
            self._connection.on_wake(now=now)
        self.retry(now=now)

    @property
    def mode(self) -> Mode:
        """How this session, and those after it, use the paths."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Another mode, at both ends, without another handshake."""
        self._mode = mode
        if self._connection is not None:
            self._connection.set_mode(mode)

    def set_wishes(self, wishes: tuple[PathWish, ...]) -> None:
        """How both ends use single paths, in this session and in those after it."""
        self._wishes = wishes
        if self._connection is not None:
            self._connection.set_policy(self._mode, wishes)

    def close(self, *, now: float) -> None:
        """Ends the session for good."""
        self._is_stopped = True
        self._retry_at = self._repeat_at = None
        if self._connection is not None:
            self._connection.close(ErrorCode.SHUTTING_DOWN, "the client shuts down", now=now)

    # --- output ---

    def datagrams_to_send(self, *, now: float) -> Iterator[Transmit]:
        """Everything that may leave now."""
        self._now = now
        while self._outgoing:
            yield self._outgoing.popleft()
        if self._connection is not None:
            yield from self._connection.datagrams_to_send(now=now)
            self._collect(now)

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout` and `datagrams_to_send` again."""
        times = [self._retry_at, self._repeat_at]
        if self._connection is not None:
            times += (self._connection.next_timeout(), self._silent_at())
        return min((time for time in times if time is not None), default=None)

    def next_event(self) -> ClientEvent | None:
        """The next thing that happened."""
        if not self._events:
            self._collect(self._now)
        return self._events.popleft() if self._events else None

    # --- handshake ---

    def _begin(self, now: float) -> None:
        """A new first message with a new ephemeral key."""
        if self._attempts == 0:
            self._searching_since = now
        elif self._connection is None:
            self._events.append(HandshakeUnanswered(self._attempts, now - self._searching_since))
        self._attempts += 1
        self._patience -= 1
        if self._patience < 0:
            self._retry_interval = min(2 * self._retry_interval, HANDSHAKE_RETRY_MAX)
        self._retry_at = now + self._retry_interval
        self._handshakes.append(self._make_handshake())
        self._repeats_left = _REPEATS + 1
        self._repeat(now)

    @property
    def _is_looking(self) -> bool:
        """First messages are being sent."""
        return self._retry_at is not None

    def _silent_at(self) -> float | None:
        """When the session has been silent for so long that another one is asked for beside it."""
        connection = self._connection
        if connection is None or self._is_looking or self._is_stopped or not connection.is_out:
            return None
        return connection.last_received_at + SILENCE_LIMIT

    def _look_beside(self, now: float) -> None:
        """Whatever made the server lose this session without our hearing of it, it is not to last."""
        silent_at = self._silent_at()
        if silent_at is not None and now >= silent_at:
            self._attempts = self._patience = 0  # rarer and rarer: mostly it is the links that are dead
            self._retry_interval, self._retry_at = HANDSHAKE_RETRY, now

    def _stop_looking(self) -> None:
        self._handshakes.clear()
        self._attempts = 0
        self._be_patient()
        self._retry_at = self._repeat_at = None

    def _be_patient(self) -> None:
        """Things have changed: an answer is to be expected again."""
        self._is_refused = False
        self._patience, self._retry_interval = HANDSHAKE_PATIENCE, HANDSHAKE_RETRY

    def _make_handshake(self) -> ClientHandshake:
        # Never the same twice, whatever the clock does.
        timestamp_us = max(int(self._wall_clock() * 1e6), self._last_timestamp_us + 1)
        self._last_timestamp_us = timestamp_us
        return ClientHandshake(
            static_private=self._static_private,
            server_public=self._server_public,
            parameters=self._parameters,
            instance_id=self._instance_id,
            timestamp_us=timestamp_us,
            token=self._token,
            randomness=self._randomness,
        )

    def _repeat(self, now: float) -> None:
        self._handshakes[-1].paths_with_cookie.clear()
        data = self._handshakes[-1].first_message()
        self._outgoing.extend(Transmit(path_id, data, None) for path_id in self._path_ids)
        self._repeats_left -= 1
        self._repeat_at = now + HANDSHAKE_REPEAT if self._repeats_left else None

    def _receive_answer(self, handshake: ClientHandshake, packet: PacketView, path_id: int, now: float) -> None:
        match handshake.read_answer(packet):
            case Established() as established:
                if not self._is_stopped and self._may_replace(established, now):
                    self._connect(established, now)
            case Challenged(token) if self._is_looking and token != self._token:
                self._token = token
                self._retry_at = now
            case CookieReceived(cookie) if path_id not in handshake.paths_with_cookie:
                handshake.paths_with_cookie.add(path_id)  # once each: copies of a cookie must not make a flood
                self._outgoing.append(Transmit(path_id, handshake.first_message(cookie), None))
            case Refused(code):
                self._on_refused(code, now)
            case _:
                pass

    def _on_refused(self, code: int, now: float) -> None:
        """Soon again, for the server may learn of us at this moment, then rarer and rarer."""
        self._events.append(HandshakeRefused(code))
        if not self._is_refused:
            self._retry_interval = HANDSHAKE_RETRY
        self._is_refused = True
        self._attempts, self._patience = 0, 0
        self._retry_at, self._repeat_at = now + self._retry_interval, None

    def _may_replace(self, established: Established, now: float) -> bool:
        """Whether the new session is to be used: there is no other, or the server says that it has lost it."""
        if self._connection is None:
            return True
        known = established.peer_parameters.known_session
        is_unheard = self._connection.last_received_at <= self._connected_at
        if is_unheard and now < self._connected_at + EMBRYO_LIFETIME:
            return False  # the server may know it, and not have heard from it yet
        if not self._is_looking or known is None or known == session_tag(self._connection.connection_id):
            return False
        self._connection.on_forgotten(now=now)
        self._collect(now)
        return True

    def _connect(self, established: Established, now: float) -> None:
        connection = Connection(
            established,
            is_client=True,
            parameters=self._parameters,
            randomness=self._randomness,
            now=now,
        )
        for path_id in self._path_ids:
            connection.add_path(path_id, now=now)
        connection.set_policy(self._mode, self._wishes)
        self._connection, self._connected_at = connection, now
        self._stop_looking()
        self._events.append(Connected(connection))

    def _collect(self, now: float) -> None:
        """Takes the events of the session; where it is over, begins to look for the next one."""
        connection = self._connection
        if connection is None:
            return
        while (event := connection.next_event()) is not None:
            self._events.append(event)
            if isinstance(event, ConnectionTerminated) and not self._is_stopped:
                if event.code == ErrorCode.REPLACED and event.is_remote:
                    # Somebody else uses our instance id, a cloned machine perhaps: we would take turns for ever.
                    self._instance_id = self._randomness(8)
                self._outgoing.extend(connection.datagrams_to_send(now=now))
                self._connection = None
                self._stop_looking()
                # One session after another that ends as it begins must not make a loop at RTT speed.
                is_short = now - self._connected_at < HANDSHAKE_RETRY
                self._short_sessions = self._short_sessions + 1 if is_short else 0
                self._retry_at = now + HANDSHAKE_RETRY if self._short_sessions > 1 else now
                return
        if connection.is_closed:
            self._connection = None
