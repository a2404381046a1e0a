"""The sessions of a server: which client each belongs to, and how many there may be."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tandem_transport.crypto.connection_id import session_tag
from tandem_transport.parameters import MAX_SESSIONS_PER_KEY
from tandem_transport.session.connection import Connection

_SILENT: Final = 30.0
"""Seconds without a packet after which a session may be replaced by one of another instance with the same key."""


@dataclass(eq=False, slots=True)
class ClientSession:
    """A session with one client, and whose it is."""

    connection: Connection
    client_name: str
    client_public: bytes
    instance_id: bytes

    @property
    def connection_id(self) -> bytes:
        """The id with which the session's packets begin."""
        return self.connection.connection_id


class SessionTable:
    """Sessions that their clients have confirmed; those that are closing are included, but do not count for limits."""

    def __init__(self, limit: int) -> None:
        """`limit`: most sessions that may be open."""
        self._limit = limit
        self._sessions: dict[bytes, ClientSession] = {}
        self._by_client: dict[bytes, dict[bytes, ClientSession]] = {}
        """The same sessions by the public key of their client."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[ClientSession]:
        return iter(list(self._sessions.values()))

    def __contains__(self, connection_id: bytes) -> bool:
        return connection_id in self._sessions

    def get(self, connection_id: bytes) -> ClientSession | None:
        return self._sessions.get(connection_id)

    def add(self, session: ClientSession) -> None:
        self._sessions[session.connection_id] = session
        self._by_client.setdefault(session.client_public, {})[session.connection_id] = session

    def remove(self, connection_id: bytes) -> None:
        session = self._sessions.pop(connection_id, None)
        if session is not None:
            own = self._by_client[session.client_public]
            del own[connection_id]
            if not own:
                del self._by_client[session.client_public]

    def open(self, client_public: bytes) -> list[ClientSession]:
        """The sessions of one key that neither end has closed."""
        return [session for session in self._by_client.get(client_public, {}).values() if session.connection.is_open]

    @property
    def is_full(self) -> bool:
        """Whether as many sessions are open as may be."""
        if len(self._sessions) < self._limit:
            return False
        return sum(session.connection.is_open for session in self._sessions.values()) >= self._limit

    def tag(self, client_public: bytes, instance_id: bytes) -> int:
        """The tag of the session that this instance already has, 0 for none: it tells the client to keep that one."""
        own = (session for session in self.open(client_public) if session.instance_id == instance_id)
        return next((session_tag(session.connection_id) for session in own), 0)

    def is_key_full(self, client_public: bytes, instance_id: bytes, *, now: float) -> bool:
        """The key has as many sessions as it may, all of them recently heard, and none belongs to this instance."""
        others = self.open(client_public)
        if len(others) < MAX_SESSIONS_PER_KEY:
            return False
        if any(other.instance_id == instance_id for other in others):
            return False
        return all(now - other.connection.last_received_at < _SILENT for other in others)

    @property
    def load(self) -> int:
        """Sessions as a percentage of those that there may be."""
        return min(100, 100 * len(self._sessions) // self._limit)

    def has_room_for(self, client_public: bytes) -> bool:
        """Whether another session of this key may begin: on a full server, only if the key already has a session."""
        return bool(self.open(client_public)) or not self.is_full

    def replaced_by(self, session: ClientSession) -> Iterator[tuple[ClientSession, str]]:
        """Sessions that a new one replaces, each with the reason; the caller closes each before it takes the next."""
        others = self.open(session.client_public)
        for other in others:
            if other.instance_id == session.instance_id:
                yield other, "the client has a newer session"
        others = [other for other in others if other.connection.is_open]
        if len(others) >= MAX_SESSIONS_PER_KEY or (others and self.is_full):
            silent = min(others, key=lambda other: other.connection.last_received_at)
            yield silent, "another computer uses this key"

    def closed(self) -> ClientSession | None:
        """A session that is closing, and can be forgotten early if the table is full; None if there is none."""
        return next((session for session in self if not session.connection.is_open), None)
