"""What each client has carried and not been told to the registry yet."""

from collections import Counter
from collections.abc import Mapping

from tandem.registry.source import Traffic
from tandem_transport import ClientSession


class Accounting:
    """Counts the bytes of sessions, by the public key of their client. Only registered clients have sessions."""

    def __init__(self) -> None:
        self._counted: dict[ClientSession, int] = {}
        """Bytes of each open session that are counted already."""
        self._untold: Counter[bytes] = Counter()
        self._news: set[bytes] = set()
        """Clients that have come or left since the registry was last told of them."""

    def begin(self, session: ClientSession) -> None:
        """A session has begun."""
        self._counted[session] = 0
        self._news.add(session.client_public)

    def count(self, session: ClientSession) -> None:
        """Counts what a session has carried since the last call; nothing where it is over."""
        if session in self._counted:
            carried = session.connection.carried_bytes
            self._untold[session.client_public] += carried - self._counted[session]
            self._counted[session] = carried

    def end(self, session: ClientSession) -> None:
        """Counts a session for the last time."""
        self.count(session)
        self._counted.pop(session, None)
        self._news.add(session.client_public)

    def untold(self, public: bytes) -> int:
        """Bytes of a client that the registry does not know of."""
        return self._untold.get(public, 0)

    def take(self, *, everything: bool) -> Mapping[bytes, Traffic]:
        """What the registry is to be told of those who have come or left, or of all who have a session as well."""
        online = self.online()
        about = online | self._news if everything else self._news
        taken = {public: Traffic(self._untold.pop(public, 0), public in online) for public in about}
        self._news = set()
        return taken

    def give_back(self, taken: Mapping[bytes, Traffic]) -> None:
        """The registry could not be told: it is told next time."""
        for public, traffic in taken.items():
            self._untold[public] += traffic.size
            self._news.add(public)

    def online(self) -> set[bytes]:
        """The clients that have a session."""
        return {session.client_public for session in self._counted}
