"""What each client has carried and not been told to the registry yet."""

import math
from collections import Counter
from collections.abc import Mapping

from tandem.registry.source import Traffic
from tandem_transport import ClientSession


class Accounting:
    """Counts the bytes of sessions, by the public key of their client. Only registered clients have sessions."""

    def __init__(self, renewal: float) -> None:
        """`renewal`: seconds after which the registry is told again of a client that only keeps its session."""
        self._renewal = renewal
        self._told_at: dict[bytes, float] = {}
        """When the registry was last told of each client that has a session."""
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

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to tell: nobody has come, left, or carried anything."""
        return not self._news and not any(self._untold.values())

    def take(self, *, everything: bool, now: float) -> Mapping[bytes, Traffic]:
        """What the registry is to be told of those who have come or left.

        `everything`: and of those who have carried something, or of whom it was not told for the time of a renewal.
        """
        online = self.online()
        due = {public for public in online if self._is_due(public, now)} if everything else set[bytes]()
        about = self._news | due
        taken = {public: Traffic(self._untold.pop(public, 0), public in online) for public in about}
        # Who has just come is told of once more soon: the server that it came from may say later that it has left.
        self._told_at |= {public: -math.inf if public in self._news else now for public in taken}
        for public in self._told_at.keys() - online:
            del self._told_at[public]
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

    def _is_due(self, public: bytes, now: float) -> bool:
        return bool(self._untold.get(public)) or now - self._told_at.get(public, -math.inf) >= self._renewal
