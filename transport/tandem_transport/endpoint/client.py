"""The client's side: gets a session and keeps one, over all links there are.

The initiation goes out on all links with the same bytes; the first response counts. No
link is the master, and a dead one costs nothing (PROTOCOL.md section 3). A session that is
silent on all links is kept, while the client asks for another one: the server's response says
whether it still has the first.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from tandem_transport.crypto.connection_id import session_tag
from tandem_transport.crypto.handshake import (
    Challenged,
    ClientHandshake,
    CookieReceived,
    Established,
    Refused,
)
from tandem_transport.endpoint.search import ClientIdentity, Search
from tandem_transport.errors import ErrorCode, LocalProtocolError
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.parameters import (
    EMBRYO_LIFETIME,
    HANDSHAKE_RETRY,
    MAX_PATHS,
    SILENCE_TIMEOUT,
)
from tandem_transport.path.carrier import Carrier
from tandem_transport.session.connection import Connection
from tandem_transport.session.options import SessionOptions
from tandem_transport.wire.frames import Mode, PathPreference
from tandem_transport.wire.packets import PacketType, PacketView, Transmit, split_datagram

_MAX_OUTGOING: Final = 16 * MAX_PATHS
"""Limit of waiting datagrams that belong to no open session: initiations, and CONNECTION_CLOSE of a closed one."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A session has begun."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class HandshakeRefused:
    """The server refuses a session; the client retries, soon at first, then backs off."""

    code: int
    until: int = 0
    """When the reason ends, in seconds since the epoch; 0 where the server does not say."""


@dataclass(frozen=True, slots=True)
class HandshakeUnanswered:
    """No link has brought a response yet."""

    attempts: int
    """Initiations sent since the last session."""
    silence: float
    """Seconds since the first of these initiations."""


ClientEvent = Connected | HandshakeRefused | HandshakeUnanswered | Event


class ClientEndpoint:
    """The client's end, sans-I/O like `Connection`: the same kinds of methods, for one session after another."""

    def __init__(self, identity: ClientIdentity, *, mode: Mode = Mode.DUPLICATE, now: float) -> None:
        self._identity = identity
        self._options = SessionOptions(is_client=True, parameters=identity.parameters, randomness=identity.randomness)
        self._mode = mode
        self._preferences: tuple[PathPreference, ...] = ()
        self._path_ids: list[int] = []
        self._carriers: dict[int, Carrier] = {}
        """The byte streams that carry paths, by path id."""
        self._connection: Connection | None = None
        self._connected_at = now
        self._short_sessions = 0
        self._now = now
        self._outgoing: deque[Transmit] = deque(maxlen=_MAX_OUTGOING)
        self._search = Search(identity, self._outgoing.append, now=now)
        self._is_stopped = False
        self._events: deque[ClientEvent] = deque()

    @property
    def connection(self) -> Connection | None:
        """The current session, None while there is none."""
        return self._connection

    @property
    def has_small_data(self) -> bool:
        """A small piece of a stream has arrived since `datagrams_to_send`: somebody may wait for it."""
        return self._connection is not None and self._connection.has_small_data

    # --- input ---

    def receive_datagram(self, path_id: int, data: bytes, *, now: float, source: Hashable = None) -> None:
        """A datagram has arrived on a link."""
        self._now = now
        packets = split_datagram(data)
        if not packets:
            return
        packet = packets[0]
        if packet.packet_type in (PacketType.TRANSPORT, PacketType.STATELESS_RESET):
            if self._connection is not None:
                self._connection.receive_packets(path_id, packets, now=now)
                if self._search.is_under_way and self._connection.last_received_at == now:
                    self._search.stop()
            return
        handshake = self._search.handshake(packet.connection_id)
        if handshake is not None:
            self._receive_answer(handshake, packet, path_id, now)

    def handle_timeout(self, *, now: float) -> None:
        """To be called when `next_timeout` has passed."""
        self._now = now
        if self._connection is not None:
            self._connection.handle_timeout(now=now)
            self._collect(now)
            self._look_beside(now)
        attempts, silence = self._search.attempts, self._search.silence(now=now)
        if self._search.handle_timeout(self._path_ids, now=now) and attempts and self._connection is None:
            self._events.append(HandshakeUnanswered(attempts, silence))

    # --- commands ---

    def add_path(self, *, now: float) -> int:
        """Adds a path for another link; returns its path id. Raises LocalProtocolError beyond MAX_PATHS."""
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
        """A link has changed, so an answer is likely: resets the backoff, and tries at once if a session is wanted."""
        self._search.reset_backoff()
        if (self._connection is None or self._search.is_under_way) and not self._is_stopped:
            self._search.retry(now)

    def on_rebound(self, path_id: int, *, is_same_network: bool, now: float) -> None:
        """A link has another socket, or uses another endpoint of the server."""
        self._now = now
        if self._connection is not None:
            self._connection.on_rebound(path_id, is_same_network=is_same_network, now=now)
        if not is_same_network:
            self.retry(now=now)

    def set_carrier(self, path_id: int, carrier: Carrier | None) -> None:
        """A link sends through a byte stream from now on, or as datagrams again (None)."""
        if carrier is None:
            self._carriers.pop(path_id, None)
        else:
            self._carriers[path_id] = carrier
        if self._connection is not None:
            self._connection.set_carrier(path_id, carrier)

    def on_wake(self, *, now: float) -> None:
        """The machine has slept, or this process stood still."""
        self._now = now
        if self._connection is not None:
            self._connection.on_wake(now=now)
        self.retry(now=now)

    @property
    def mode(self) -> Mode:
        """The mode in which this session, and those after it, use the paths."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Changes the mode at both ends, without another handshake."""
        self._mode = mode
        if self._connection is not None:
            self._connection.set_mode(mode)

    def set_preferences(self, preferences: tuple[PathPreference, ...]) -> None:
        """Sets how both ends use single paths, in this session and in those after it."""
        self._preferences = preferences
        if self._connection is not None:
            self._connection.set_policy(self._mode, preferences)

    def begin_no_other(self) -> None:
        """Keeps the session to its end, and begins no other: somebody else has taken this client's place."""
        self._is_stopped = True
        self._search.pause()

    def close(self, *, now: float) -> None:
        """Ends the session, and begins no other."""
        self._is_stopped = True
        self._search.pause()
        if self._connection is not None:
            self._connection.close(ErrorCode.SHUTTING_DOWN, "the client shuts down", now=now)

    # --- output ---

    def datagrams_to_send(self, *, now: float) -> Iterator[Transmit]:
        """All datagrams that may leave now."""
        self._now = now
        while self._outgoing:
            yield self._outgoing.popleft()
        if self._connection is not None:
            yield from self._connection.datagrams_to_send(now=now)
            self._collect(now)

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout` and `datagrams_to_send` again."""
        times: list[float | None] = list(self._search.times())
        if self._connection is not None:
            times += (self._connection.next_timeout(), self._silent_at())
        return min((time for time in times if time is not None), default=None)

    def next_event(self) -> ClientEvent | None:
        """The next event, None where none is left."""
        if not self._events:
            self._collect(self._now)
        return self._events.popleft() if self._events else None

    # --- handshake ---

    def _silent_at(self) -> float | None:
        """When the session has been silent for so long that the client asks for another one while it keeps this one."""
        connection = self._connection
        if connection is None or self._search.is_under_way or self._is_stopped or not connection.is_out:
            return None
        return connection.last_received_at + SILENCE_TIMEOUT

    def _look_beside(self, now: float) -> None:
        """Asks for another session when this one has been silent for long: the server may have lost it unnoticed."""
        silent_at = self._silent_at()
        if silent_at is not None and now >= silent_at:
            self._search.begin_rarely(now=now)

    def _receive_answer(self, handshake: ClientHandshake, packet: PacketView, path_id: int, now: float) -> None:
        match handshake.read_answer(packet):
            case Established() as established:
                if not self._is_stopped and self._may_replace(established, now):
                    self._connect(established, now)
            case Challenged(token):
                self._search.on_challenged(token, now=now)
            case CookieReceived(cookie):
                self._search.on_cookie(handshake, cookie, path_id)
            case Refused(code, until):
                self._events.append(HandshakeRefused(code, until))
                self._search.on_refused(now=now)
            case None:
                pass

    def _may_replace(self, established: Established, now: float) -> bool:
        """Whether the new session should be used: there is no other, or the server says that it has lost the other."""
        if self._connection is None:
            return True
        known = established.peer_parameters.known_session
        is_unheard = self._connection.last_received_at <= self._connected_at
        if is_unheard and now < self._connected_at + EMBRYO_LIFETIME:
            return False  # the server may know this session, but have received no packet of it yet
        if not self._search.is_under_way or known is None or known == session_tag(self._connection.connection_id):
            return False
        self._connection.on_forgotten(now=now)
        self._collect(now)
        return True

    def _connect(self, established: Established, now: float) -> None:
        connection = Connection(established, self._options, now=now)
        for path_id in self._path_ids:
            connection.add_path(path_id, now=now)
            connection.set_carrier(path_id, self._carriers.get(path_id))
        connection.set_policy(self._mode, self._preferences)
        self._connection, self._connected_at = connection, now
        self._search.stop()
        self._events.append(Connected(connection))

    def _collect(self, now: float) -> None:
        """Takes the events of the session; when it has ended, starts the search for the next one."""
        connection = self._connection
        if connection is None:
            return
        while (event := connection.next_event()) is not None:
            self._events.append(event)
            if isinstance(event, ConnectionTerminated) and not self._is_stopped:
                if event.code == ErrorCode.REPLACED and event.is_remote:
                    # Another machine, perhaps a clone, uses our instance id: the two would replace each other forever.
                    self._identity.renew()
                self._outgoing.extend(connection.datagrams_to_send(now=now))
                self._connection = None
                self._search.stop()
                # Sessions that end as soon as they begin must not cause a handshake in every round trip.
                is_short = now - self._connected_at < HANDSHAKE_RETRY
                self._short_sessions = self._short_sessions + 1 if is_short else 0
                self._search.retry(now + HANDSHAKE_RETRY if self._short_sessions > 1 else now)
                return
        if connection.is_closed:
            self._connection = None
