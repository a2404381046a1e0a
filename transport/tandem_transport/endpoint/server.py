"""The server's side of all sessions: who may come in, which datagram belongs to whom.

Nothing here answers a datagram that does not prove knowledge of the server's public key, and
no answer is larger than its cause. A first message changes nothing until a transport packet
has confirmed that its sender holds the keys (PROTOCOL.md section 3).
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2s

from tandem_transport.crypto.connection_id import ConnectionIdIssuer, session_tag
from tandem_transport.crypto.handshake import MAC_SIZE, Randomness, Refusal, ServerHandshake, has_valid_mac1, mac1_key
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.guard import HandshakeGuard, NetworksOf, ServerCounters
from tandem_transport.endpoint.limits import BoundedTable, RateLimiter, RateLimiters, TokenIssuer, is_among
from tandem_transport.errors import DecodeError, ErrorCode
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.parameters import (
    ANSWER_LIFETIME,
    ANSWERS_PER_HOST,
    EMBRYO_LIFETIME,
    INITIAL_SESSION_WINDOW,
    MAX_EMBRYOS,
    MAX_LIMITED_HOSTS,
    MAX_SESSIONS,
    MAX_SESSIONS_PER_KEY,
    REFUSALS_PER_SECOND,
    RESET_TOKEN_SIZE,
    RESETS_PER_HOST,
    RESETS_PER_ID,
    RESETS_PER_SECOND,
    SERVER_BUFFER,
)
from tandem_transport.path.addresses import HostOf
from tandem_transport.session.connection import Connection
from tandem_transport.streams.flow_control import Budget
from tandem_transport.wire.packets import PREFIX_SIZE, PacketType, PacketView, Transmit, message, split_datagram
from tandem_transport.wire.transport_parameters import TransportParameters

_SILENT = 30.0
"""A session that was not heard for this long gives way to another instance of its client."""

Lookup = Callable[[bytes], str | None]
"""Name of the client with this public key, None for a stranger."""


@dataclass(eq=False, slots=True)
class Session:
    """A client that is connected."""

    connection: Connection
    client_name: str
    client_public: bytes
    instance_id: bytes


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A client has confirmed its session."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something happened in a session."""

    session: Session
    event: Event


ServerEvent = SessionStarted | SessionEvent


@dataclass(slots=True)
class _Answer:
    data: bytes
    expires_at: float


class ServerEndpoint:
    """Sans-I/O, like `Connection`: the same kinds of methods, for many sessions."""

    def __init__(
        self,
        static_private: bytes,
        lookup: Lookup,
        *,
        randomness: Randomness,
        now: float,
        host_of: HostOf = lambda address: address,
        networks_of: NetworksOf = lambda source: (source,),
        parameters: TransportParameters | None = None,
    ) -> None:
        """`host_of`: what a source has in common with all others that the same person may send from.

        `networks_of`: the host and the wider networks around it, each of which has a measure of first messages.
        """
        self._static_private = static_private
        self._host_of = host_of
        public = public_key(static_private)
        self._mac1_key = mac1_key(public)
        self._lookup = lookup
        self._randomness = randomness
        self._parameters = parameters or TransportParameters(initial_max_data=INITIAL_SESSION_WINDOW)
        self._send_budget = Budget(SERVER_BUFFER // 2)
        self._receive_budget = Budget(SERVER_BUFFER // 2 - MAX_SESSIONS * INITIAL_SESSION_WINDOW)
        self._ids = ConnectionIdIssuer(static_private)
        self._challenges = TokenIssuer(randomness, now=now)
        self.counters = ServerCounters()
        self._guard = HandshakeGuard(public, self.counters, randomness=randomness, now=now, networks_of=networks_of)
        self._resets = RateLimiter(RESETS_PER_SECOND, now=now)
        self._host_resets: RateLimiters[Hashable] = RateLimiters(RESETS_PER_HOST, limit=MAX_LIMITED_HOSTS)
        self._id_resets: RateLimiters[tuple[bytes, Hashable]] = RateLimiters(RESETS_PER_ID, limit=MAX_LIMITED_HOSTS)
        self._repeats: RateLimiters[tuple[bytes, Hashable]] = RateLimiters(ANSWERS_PER_HOST, limit=MAX_LIMITED_HOSTS)
        self._refusals = RateLimiter(REFUSALS_PER_SECOND, now=now)
        self._sessions: dict[bytes, Session] = {}
        self._embryos: BoundedTable[bytes, Session] = BoundedTable(MAX_EMBRYOS)
        self._answers: BoundedTable[bytes, _Answer] = BoundedTable(MAX_EMBRYOS)
        self._timestamps: dict[bytes, int] = {}
        """Newest accepted timestamp of each registered client."""
        self._outgoing: deque[Transmit] = deque(maxlen=MAX_EMBRYOS)
        self._events: deque[ServerEvent] = deque()
        self._timeouts: dict[bytes, float] = {}
        self._touched: dict[bytes, Session] = {}
        self._is_closing = False

    @property
    def sessions(self) -> list[Session]:
        """Confirmed sessions."""
        return list(self._sessions.values())

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes that all sessions hold or have been promised, and the most there may be."""
        budgets = (self._send_budget, self._receive_budget)
        return sum(budget.used for budget in budgets), sum(budget.limit for budget in budgets)

    # --- input ---

    def receive_datagram(self, data: bytes, *, source: Hashable, now: float) -> None:
        """A datagram from an address that only the driver understands."""
        packets = split_datagram(data)
        packet = packets[0] if packets else None
        if packet is None:
            self.counters.malformed += 1
        elif self._is_closing and packet.connection_id not in self._sessions:
            return
        elif packet.packet_type is PacketType.TRANSPORT:
            self._receive_transport(packet, packets, source, now)
        elif packet.packet_type is PacketType.INITIATION:
            self._receive_initiation(packet, source, now)
        else:
            self.counters.malformed += 1

    def handle_timeout(self, *, now: float) -> None:
        """To be called when `next_timeout` has passed."""
        for connection_id in [key for key, at in self._timeouts.items() if at <= now]:
            session = self._sessions[connection_id]
            session.connection.handle_timeout(now=now)
            self._touched[connection_id] = session

    # --- commands ---

    def touch(self, session: Session) -> None:
        """The application has given a command to the session's connection."""
        if session.connection.connection_id in self._sessions:
            self._touched[session.connection.connection_id] = session

    def remove_client(self, public: bytes, *, now: float) -> None:
        """Ends the sessions of a client that is no longer registered."""
        self._timestamps.pop(public, None)
        for session in self.sessions:
            if session.client_public == public:
                self._close(session, ErrorCode.REVOKED, "this client's key was removed", now)

    def close(self, *, now: float) -> None:
        """Ends all sessions, and begins no other."""
        self._is_closing = True
        for session in self.sessions:
            self._close(session, ErrorCode.SHUTTING_DOWN, "the server shuts down", now)

    # --- output ---

    def datagrams_to_send(self, *, now: float) -> Iterator[Transmit]:
        """Everything that may leave now."""
        while self._outgoing:
            yield self._outgoing.popleft()
        touched, self._touched = self._touched, {}
        for connection_id, session in touched.items():
            yield from session.connection.datagrams_to_send(now=now)
            self._collect(session)
            self._schedule(connection_id, session)

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout` and `datagrams_to_send` again."""
        return min(self._timeouts.values(), default=None)

    def next_event(self) -> ServerEvent | None:
        """The next thing that happened in any session."""
        if not self._events:
            for session in list(self._touched.values()):
                self._collect(session)
        return self._events.popleft() if self._events else None

    # --- transport packets ---

    def _receive_transport(self, packet: PacketView, packets: list[PacketView], source: Hashable, now: float) -> None:
        connection_id = packet.connection_id
        session = self._sessions.get(connection_id) or self._embryo(connection_id, now)
        if session is None:
            self._reset(packet, source, now)
            return
        session.connection.receive_packets(packet.path_id, packets, now=now, source=source)
        if connection_id not in self._sessions:
            if not session.connection.is_confirmed:
                return
            self._embryos.pop(connection_id)
            if not self._is_welcome(session):
                session.connection.close(ErrorCode.REVOKED, now=now)
                self._reset(packet, source, now)
                return
            self._confirm(session, now)
        self._touched[connection_id] = session

    def _embryo(self, connection_id: bytes, now: float) -> Session | None:
        session = self._embryos.get(connection_id)
        if session is None or session.connection.last_received_at <= now - EMBRYO_LIFETIME:
            return None
        return session

    def _reset(self, packet: PacketView, source: Hashable, now: float) -> None:
        """Tells a client whose session is forgotten (RFC 9000 section 10.3); noise gets silence."""
        self.counters.unknown_connection += 1
        connection_id = packet.connection_id
        if len(packet.data) <= PREFIX_SIZE + RESET_TOKEN_SIZE or not self._ids.is_ours(connection_id):
            return
        if self._may_reset(connection_id, self._host_of(source), now):
            self.counters.resets += 1
            token = self._ids.reset_token(connection_id)
            data = message(PacketType.STATELESS_RESET, connection_id, token)
            self._outgoing.append(Transmit(packet.path_id, data, source))

    def _may_reset(self, connection_id: bytes, host: Hashable, now: float) -> bool:
        """Ids are in the clear on every link: the small measures are each host's own."""
        return (
            self._id_resets.allows((connection_id, host), now=now)
            and self._host_resets.allows(host, now=now)
            and self._resets.allows(now=now)
        )

    def _is_welcome(self, session: Session) -> bool:
        """Whether it still is: much may have happened since its first message."""
        if self._lookup(session.client_public) is None:
            return False
        is_there = any(other.client_public == session.client_public for other in self._open_sessions())
        return is_there or len(self._open_sessions()) < MAX_SESSIONS

    def _confirm(self, session: Session, now: float) -> None:
        others = self._open_sessions(session.client_public)
        for other in others:
            if other.instance_id == session.instance_id:
                self._close(other, ErrorCode.REPLACED, "the client has a newer session", now)
        others = [other for other in others if other.connection.is_open]
        if len(others) >= MAX_SESSIONS_PER_KEY or (others and len(self._open_sessions()) >= MAX_SESSIONS):
            silent = min(others, key=lambda other: other.connection.last_received_at)
            self._close(silent, ErrorCode.REPLACED, "another computer uses this key", now)
        if len(self._sessions) >= 2 * MAX_SESSIONS:
            self._forget(next(other for other in self.sessions if not other.connection.is_open))
        self._sessions[session.connection.connection_id] = session
        self._events.append(SessionStarted(session))

    def _open_sessions(self, client_public: bytes | None = None) -> list[Session]:
        """Of one client, or of all; sessions that are only saying goodbye do not count."""
        return [
            session
            for session in self._sessions.values()
            if session.connection.is_open and client_public in (None, session.client_public)
        ]

    # --- first messages ---

    def _receive_initiation(self, packet: PacketView, source: Hashable, now: float) -> None:
        if not has_valid_mac1(self._mac1_key, packet):
            self.counters.bad_mac1 += 1
            return
        digest = blake2s(packet.data[:-MAC_SIZE]).digest()
        answer = self._answers.get(digest)
        if answer is not None and answer.expires_at > now:
            self._repeat(digest, answer, source, now)
            return
        if not self._guard.allows(packet, source, now=now):
            cookie = self._guard.cookie_reply(packet, source, now=now)
            if cookie is not None:
                self._outgoing.append(Transmit(0, cookie, source))
            return
        try:
            handshake = ServerHandshake(self._static_private, packet)
        except DecodeError:
            self.counters.undecipherable += 1
            return
        data = self._answer(handshake, now)
        if data is not None:
            answer = _Answer(data, now + ANSWER_LIFETIME)
            self._answers.put(digest, answer)
            self._repeat(digest, answer, source, now)

    def _repeat(self, digest: bytes, answer: _Answer, source: Hashable, now: float) -> None:
        """The same bytes to every address from which the same message came: one session.

        The message is seen on every link: what copies from one host get is taken from no other.
        """
        if self._repeats.allows((digest, self._host_of(source)), now=now):
            self._outgoing.append(Transmit(0, answer.data, source))

    def _answer(self, handshake: ServerHandshake, now: float) -> bytes | None:
        self._forget_stale(now)
        name = self._lookup(handshake.client_public)
        if name is None:
            return self._refuse(handshake, Refusal.UNKNOWN_KEY, now)
        own = self._open_sessions(handshake.client_public)
        if self._has_no_room(handshake, own, now):
            return self._refuse(handshake, Refusal.TOO_MANY_SESSIONS, now)
        if len(self._open_sessions()) >= MAX_SESSIONS and not own:
            return self._refuse(handshake, Refusal.SERVER_FULL, now)
        who = handshake.client_public + handshake.instance_id
        is_fresh = handshake.timestamp_us > self._timestamps.get(handshake.client_public, -1)
        if not is_fresh and not is_among(handshake.token, self._challenges.valid(who, now=now)):
            self.counters.challenged += 1
            return handshake.challenge(self._challenges.issue(who, now=now), self._randomness)
        newest = self._timestamps.get(handshake.client_public, -1)
        self._timestamps[handshake.client_public] = max(newest, handshake.timestamp_us)
        return self._accept(handshake, name, now)

    def _accept(self, handshake: ServerHandshake, name: str, now: float) -> bytes:
        connection_id = self._ids.issue(self._randomness(8))
        token = self._ids.reset_token(connection_id)
        parameters = replace(self._parameters, known_session=self._known_session(handshake))
        data, established = handshake.accept(connection_id, token, parameters, self._randomness)
        connection = Connection(
            established,
            is_client=False,
            parameters=self._parameters,
            randomness=self._randomness,
            now=now,
            host_of=self._host_of,
            send_budget=self._send_budget,
            receive_budget=self._receive_budget,
        )
        session = Session(connection, name, handshake.client_public, handshake.instance_id)
        self._embryos.put(connection_id, session)
        return data

    def _known_session(self, handshake: ServerHandshake) -> int:
        """The tag of the session that this instance has already, 0 for none: it need not give that one up."""
        own = (s for s in self._open_sessions(handshake.client_public) if s.instance_id == handshake.instance_id)
        return next((session_tag(session.connection.connection_id) for session in own), 0)

    def _has_no_room(self, handshake: ServerHandshake, others: list[Session], now: float) -> bool:
        """All sessions of this key are in use, and none of them is this instance's."""
        if len(others) < MAX_SESSIONS_PER_KEY:
            return False
        if any(other.instance_id == handshake.instance_id for other in others):
            return False
        return all(now - other.connection.last_received_at < _SILENT for other in others)

    def _refuse(self, handshake: ServerHandshake, code: Refusal, now: float) -> bytes | None:
        if not self._refusals.allows(now=now):
            return None
        self.counters.refused += 1
        return handshake.refuse(code, self._randomness)

    # --- inside ---

    def _forget_stale(self, now: float) -> None:
        """Answers that are no longer repeated, and sessions that nobody has confirmed."""
        self._answers.forget_while(lambda answer: answer.expires_at <= now)
        self._embryos.forget_while(lambda session: session.connection.last_received_at <= now - EMBRYO_LIFETIME)

    def _close(self, session: Session, code: ErrorCode, reason: str, now: float) -> None:
        session.connection.close(code, reason, now=now)
        self._touched[session.connection.connection_id] = session

    def _collect(self, session: Session) -> None:
        while (event := session.connection.next_event()) is not None:
            self._events.append(SessionEvent(session, event))
            if isinstance(event, ConnectionTerminated):
                self._touched.setdefault(session.connection.connection_id, session)

    def _schedule(self, connection_id: bytes, session: Session) -> None:
        timeout = session.connection.next_timeout()
        if timeout is None or session.connection.is_closed:
            self._forget(session)
        else:
            self._timeouts[connection_id] = timeout

    def _forget(self, session: Session) -> None:
        for table in (self._sessions, self._timeouts, self._touched):
            table.pop(session.connection.connection_id, None)
