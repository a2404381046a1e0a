"""Initiations: which of them the server accepts, and how it answers each of them (PROTOCOL.md section 3).

An initiation changes no session until a transport packet has confirmed that its sender has the keys.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2s

from tandem_transport.bounded_table import BoundedTable
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.handshake import MAC_SIZE, Randomness, Refusal, ServerHandshake, has_valid_mac1, mac1_key
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.admission import Denial, Lookup, Pending
from tandem_transport.endpoint.guard import HandshakeGuard, NetworksOf, ServerCounters
from tandem_transport.endpoint.placement import Placement
from tandem_transport.endpoint.rate_limits import RateLimiter, RateLimiters
from tandem_transport.endpoint.sessions import ClientSession, SessionTable
from tandem_transport.endpoint.tokens import TokenIssuer, is_among
from tandem_transport.errors import DecodeError
from tandem_transport.parameters import (
    ANSWER_LIFETIME,
    ANSWERS_PER_HOST,
    COOKIE_HOLDERS_PER_SECOND,
    EMBRYO_LIFETIME,
    MAX_EMBRYOS,
    MAX_LIMITED_HOSTS,
    MAX_PATHS,
    MIN_VERSION,
    REFUSALS_PER_SECOND,
)
from tandem_transport.path.addresses import HostOf
from tandem_transport.session.connection import Connection
from tandem_transport.session.options import SessionOptions
from tandem_transport.streams.flow_control import Budget
from tandem_transport.wire.packets import PacketView, Transmit
from tandem_transport.wire.transport_parameters import TransportParameters


@dataclass(frozen=True, slots=True)
class Identity:
    """The key and the functions of a server, and what it offers to each session."""

    static_private: bytes
    lookup: Lookup
    parameters: TransportParameters
    send_budget: Budget
    receive_budget: Budget
    randomness: Randomness
    host_of: HostOf
    ids: ConnectionIdIssuer
    placement: Placement


@dataclass(slots=True)
class _Answer:
    data: bytes
    expires_at: float


@dataclass(slots=True)
class _Waiting:
    """An initiation whose client is being looked up, and the addresses from which it came."""

    handshake: ServerHandshake
    digest: bytes
    sources: list[Hashable]
    expires_at: float


@dataclass(frozen=True, slots=True)
class Stray:
    """An initiation whose client belongs to another worker."""

    slot: int
    """The slot of that worker."""
    data: bytes
    source: Hashable


class Reception:
    """Answers initiations, and keeps the sessions that are not confirmed yet."""

    def __init__(
        self,
        identity: Identity,
        sessions: SessionTable,
        counters: ServerCounters,
        *,
        networks_of: NetworksOf,
        now: float,
    ) -> None:
        self._identity = identity
        self._sessions = sessions
        self._counters = counters
        self._mac1_key = mac1_key(public := public_key(identity.static_private))
        self._challenges = TokenIssuer(identity.randomness, now=now)
        self._guard = HandshakeGuard(public, counters, randomness=identity.randomness, now=now, networks_of=networks_of)
        self._refusals = RateLimiter(REFUSALS_PER_SECOND, now=now)
        self._strays_allowed = RateLimiter(COOKIE_HOLDERS_PER_SECOND, now=now)
        self._repeats: RateLimiters[tuple[bytes, Hashable]] = RateLimiters(ANSWERS_PER_HOST, limit=MAX_LIMITED_HOSTS)
        self._answers: BoundedTable[bytes, _Answer] = BoundedTable(MAX_EMBRYOS)
        self._embryos: BoundedTable[bytes, ClientSession] = BoundedTable(MAX_EMBRYOS)
        self._waiting: BoundedTable[bytes, _Waiting] = BoundedTable(MAX_EMBRYOS)
        """The newest initiation of each key that is being looked up, by the key."""
        self.strays: deque[Stray] = deque(maxlen=MAX_EMBRYOS)
        """Initiations of clients that belong to other workers; the owner takes them."""
        self.is_closed = False
        """No session begins any more: another process takes the clients."""
        self._timestamps: dict[bytes, int] = {}
        """Newest accepted timestamp of each registered client."""

    # --- sessions that nobody has confirmed ---

    def embryo(self, connection_id: bytes, *, now: float) -> ClientSession | None:
        """The unconfirmed session with this id: its response was sent, but no packet has proven the keys yet."""
        session = self._embryos.get(connection_id)
        if session is None or session.connection.last_received_at <= now - EMBRYO_LIFETIME:
            return None
        return session

    def hand_over(self, session: ClientSession) -> bool:
        """The session is confirmed, and no longer kept here.

        Tells whether it may still begin: its client may have been removed, or the server filled, since the initiation.
        """
        self._embryos.pop(session.connection_id)
        found = self._identity.lookup(session.client_public)
        is_welcome = isinstance(found, str | Pending)
        return is_welcome and self._sessions.has_room_for(session.client_public)

    def forget_client(self, public: bytes) -> None:
        """A client is no longer registered."""
        self._timestamps.pop(public, None)

    # --- initiations ---

    def receive(self, packet: PacketView, source: Hashable, *, now: float) -> Transmit | None:
        """An initiation has arrived; returns the answer to its source, None for no answer."""
        if not has_valid_mac1(self._mac1_key, packet):
            self._counters.bad_mac1 += 1
            return None
        if self.is_closed:
            return None
        digest = blake2s(packet.data[:-MAC_SIZE]).digest()
        answer = self._answers.get(digest)
        if answer is not None and answer.expires_at > now:
            return self._repeat(digest, answer, source, now)
        if not self._guard.allows(packet, source, now=now):
            cookie = self._guard.cookie_reply(packet, source, now=now)
            return Transmit(0, cookie, source) if cookie is not None else None
        return self._answer_anew(digest, packet, source, now)

    def receive_stray(self, packet: PacketView, source: Hashable, *, now: float) -> Transmit | None:
        """Another worker has received an initiation of one of our clients; it has checked what `receive` checks."""
        if self.is_closed or not has_valid_mac1(self._mac1_key, packet) or not self._strays_allowed.allows(now=now):
            return None
        digest = blake2s(packet.data[:-MAC_SIZE]).digest()
        answer = self._answers.get(digest)
        if answer is not None and answer.expires_at > now:
            return self._repeat(digest, answer, source, now)
        return self._answer_anew(digest, packet, source, now)

    def _answer_anew(self, digest: bytes, packet: PacketView, source: Hashable, now: float) -> Transmit | None:
        try:
            handshake = ServerHandshake(self._identity.static_private, packet)
        except DecodeError:
            self._counters.undecipherable += 1
            return None
        owner = self._identity.placement.owner(handshake.client_public)
        if owner != self._identity.placement.slot:
            self.strays.append(Stray(owner, packet.data, source))
            return None
        found = self._identity.lookup(handshake.client_public)
        if isinstance(found, Pending):
            self._keep(handshake, digest, source, now)
            return None
        return self._answer_once(handshake, found, digest, source, now)

    def _keep(self, handshake: ServerHandshake, digest: bytes, source: Hashable, now: float) -> None:
        """Keeps an initiation until its client has been looked up; of several from one client, the newest."""
        kept = self._waiting.get(handshake.client_public)
        if kept is None or kept.expires_at <= now or kept.handshake.timestamp_us < handshake.timestamp_us:
            waiting = _Waiting(handshake, digest, [source], now + EMBRYO_LIFETIME)
            self._waiting.put(handshake.client_public, waiting)
        elif kept.digest == digest and source not in kept.sources and len(kept.sources) < MAX_PATHS:
            kept.sources.append(source)

    def on_client_found(self, public: bytes, *, now: float) -> Iterator[Transmit]:
        """The key of a client has been looked up; yields the answers to its initiation that has waited for that."""
        found = self._identity.lookup(public)
        waiting = None if isinstance(found, Pending) else self._waiting.pop(public)
        if waiting is None or waiting.expires_at <= now or isinstance(found, Pending):
            return
        for source in waiting.sources:
            answer = self._answers.get(waiting.digest)
            transmit = (
                self._answer_once(waiting.handshake, found, waiting.digest, source, now)
                if answer is None
                else self._repeat(waiting.digest, answer, source, now)
            )
            if transmit is not None:
                yield transmit

    def _answer_once(
        self, handshake: ServerHandshake, found: str | Denial | None, digest: bytes, source: Hashable, now: float
    ) -> Transmit | None:
        """Decides on the answer, and keeps it for the copies of the same initiation."""
        self._forget_stale(now)
        if isinstance(found, str):
            data = self._answer(handshake, found, now)
        else:
            data = self._refuse(handshake, found or Denial(Refusal.UNKNOWN_KEY), now)
        if data is None:
            return None
        answer = _Answer(data, now + ANSWER_LIFETIME)
        self._answers.put(digest, answer)
        return self._repeat(digest, answer, source, now)

    def _repeat(self, digest: bytes, answer: _Answer, source: Hashable, now: float) -> Transmit | None:
        """Sends the same bytes to every address from which the same initiation came: they belong to one session.

        Strangers can see and copy an initiation, so the rate limit is per host: copies use up only their own host's.
        """
        may = self._repeats.allows((digest, self._identity.host_of(source)), now=now)
        return Transmit(0, answer.data, source) if may else None

    def _answer(self, handshake: ServerHandshake, name: str, now: float) -> bytes | None:
        """The answer to a registered client."""
        if handshake.parameters.version < MIN_VERSION:
            return self._refuse(handshake, Denial(Refusal.VERSION), now)
        public = handshake.client_public
        if self._sessions.is_key_full(public, handshake.instance_id, now=now):
            return self._refuse(handshake, Denial(Refusal.TOO_MANY_SESSIONS), now)
        if not self._sessions.has_room_for(public):
            return self._refuse(handshake, Denial(Refusal.SERVER_FULL), now)
        who, newest = public + handshake.instance_id, self._timestamps.get(public, -1)
        is_fresh = handshake.timestamp_us > newest
        if not is_fresh and not is_among(handshake.token, self._challenges.valid(who, now=now)):
            self._counters.challenged += 1
            return handshake.challenge(self._challenges.issue(who, now=now), self._identity.randomness)
        self._timestamps[public] = max(newest, handshake.timestamp_us)
        return self._accept(handshake, name, now)

    def _accept(self, handshake: ServerHandshake, name: str, now: float) -> bytes:
        identity = self._identity
        connection_id = identity.ids.issue(identity.placement.own(identity.randomness(8)))
        token = identity.ids.reset_token(connection_id)
        known = self._sessions.tag(handshake.client_public, handshake.instance_id)
        parameters = replace(identity.parameters, known_session=known, load=self._sessions.load)
        data, established = handshake.accept(connection_id, token, parameters, identity.randomness)
        options = SessionOptions(
            is_client=False,
            parameters=identity.parameters,
            randomness=identity.randomness,
            host_of=identity.host_of,
            send_budget=identity.send_budget,
            receive_budget=identity.receive_budget,
        )
        connection = Connection(established, options, now=now)
        session = ClientSession(connection, name, handshake.client_public, handshake.instance_id)
        self._embryos.put(connection_id, session)
        return data

    def _refuse(self, handshake: ServerHandshake, denial: Denial, now: float) -> bytes | None:
        if not self._refusals.allows(now=now):
            return None
        self._counters.refused += 1
        return handshake.refuse(denial.code, self._identity.randomness, until=denial.until)

    def _forget_stale(self, now: float) -> None:
        """Forgets answers that are no longer repeated, and sessions that were not confirmed in time."""
        self._answers.forget_while(lambda answer: answer.expires_at <= now)
        self._embryos.forget_while(lambda session: session.connection.last_received_at <= now - EMBRYO_LIFETIME)
