"""Initiations: which of them the server accepts, and how it answers each of them (PROTOCOL.md section 3).

An initiation changes no session until a transport packet has confirmed that its sender has the keys.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from hashlib import blake2s

from tandem_transport.bounded_table import BoundedTable
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.handshake import MAC_SIZE, Randomness, Refusal, ServerHandshake, has_valid_mac1, mac1_key
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.guard import HandshakeGuard, NetworksOf, ServerCounters
from tandem_transport.endpoint.rate_limits import RateLimiter, RateLimiters
from tandem_transport.endpoint.sessions import ClientSession, SessionTable
from tandem_transport.endpoint.tokens import TokenIssuer, is_among
from tandem_transport.errors import DecodeError
from tandem_transport.parameters import (
    ANSWER_LIFETIME,
    ANSWERS_PER_HOST,
    EMBRYO_LIFETIME,
    MAX_EMBRYOS,
    MAX_LIMITED_HOSTS,
    REFUSALS_PER_SECOND,
)
from tandem_transport.path.addresses import HostOf
from tandem_transport.session.connection import Connection
from tandem_transport.session.options import SessionOptions
from tandem_transport.streams.flow_control import Budget
from tandem_transport.wire.packets import PacketView, Transmit
from tandem_transport.wire.transport_parameters import TransportParameters

Lookup = Callable[[bytes], str | None]
"""Returns the name of the client with this public key, None for a stranger."""


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


@dataclass(slots=True)
class _Answer:
    data: bytes
    expires_at: float


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
        public = public_key(identity.static_private)
        self._mac1_key = mac1_key(public)
        randomness = identity.randomness
        self._challenges = TokenIssuer(randomness, now=now)
        self._guard = HandshakeGuard(public, counters, randomness=randomness, now=now, networks_of=networks_of)
        self._refusals = RateLimiter(REFUSALS_PER_SECOND, now=now)
        self._repeats: RateLimiters[tuple[bytes, Hashable]] = RateLimiters(ANSWERS_PER_HOST, limit=MAX_LIMITED_HOSTS)
        self._answers: BoundedTable[bytes, _Answer] = BoundedTable(MAX_EMBRYOS)
        self._embryos: BoundedTable[bytes, ClientSession] = BoundedTable(MAX_EMBRYOS)
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
        is_known = self._identity.lookup(session.client_public) is not None
        return is_known and self._sessions.has_room_for(session.client_public)

    def forget_client(self, public: bytes) -> None:
        """A client is no longer registered."""
        self._timestamps.pop(public, None)

    # --- initiations ---

    def receive(self, packet: PacketView, source: Hashable, *, now: float) -> Transmit | None:
        """An initiation has arrived; returns the answer to its source, None for no answer."""
        if not has_valid_mac1(self._mac1_key, packet):
            self._counters.bad_mac1 += 1
            return None
        digest = blake2s(packet.data[:-MAC_SIZE]).digest()
        answer = self._answers.get(digest)
        if answer is not None and answer.expires_at > now:
            return self._repeat(digest, answer, source, now)
        if not self._guard.allows(packet, source, now=now):
            cookie = self._guard.cookie_reply(packet, source, now=now)
            return Transmit(0, cookie, source) if cookie is not None else None
        return self._answer_anew(digest, packet, source, now)

    def _answer_anew(self, digest: bytes, packet: PacketView, source: Hashable, now: float) -> Transmit | None:
        try:
            handshake = ServerHandshake(self._identity.static_private, packet)
        except DecodeError:
            self._counters.undecipherable += 1
            return None
        data = self._answer(handshake, now)
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

    def _answer(self, handshake: ServerHandshake, now: float) -> bytes | None:
        self._forget_stale(now)
        public = handshake.client_public
        name = self._identity.lookup(public)
        if name is None:
            return self._refuse(handshake, Refusal.UNKNOWN_KEY, now)
        if self._sessions.is_key_full(public, handshake.instance_id, now=now):
            return self._refuse(handshake, Refusal.TOO_MANY_SESSIONS, now)
        if not self._sessions.has_room_for(public):
            return self._refuse(handshake, Refusal.SERVER_FULL, now)
        who, newest = public + handshake.instance_id, self._timestamps.get(public, -1)
        is_fresh = handshake.timestamp_us > newest
        if not is_fresh and not is_among(handshake.token, self._challenges.valid(who, now=now)):
            self._counters.challenged += 1
            return handshake.challenge(self._challenges.issue(who, now=now), self._identity.randomness)
        self._timestamps[public] = max(newest, handshake.timestamp_us)
        return self._accept(handshake, name, now)

    def _accept(self, handshake: ServerHandshake, name: str, now: float) -> bytes:
        identity = self._identity
        connection_id = identity.ids.issue(identity.randomness(8))
        token = identity.ids.reset_token(connection_id)
        known = self._sessions.tag(handshake.client_public, handshake.instance_id)
        parameters = replace(identity.parameters, known_session=known)
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

    def _refuse(self, handshake: ServerHandshake, code: Refusal, now: float) -> bytes | None:
        if not self._refusals.allows(now=now):
            return None
        self._counters.refused += 1
        return handshake.refuse(code, self._identity.randomness)

    def _forget_stale(self, now: float) -> None:
        """Forgets answers that are no longer repeated, and sessions that were not confirmed in time."""
        self._answers.forget_while(lambda answer: answer.expires_at <= now)
        self._embryos.forget_while(lambda session: session.connection.last_received_at <= now - EMBRYO_LIFETIME)
