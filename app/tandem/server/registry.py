"""The registered clients as a running server knows them; follows the state directory.

A client is removed only when its file is removed. A file that cannot be read, or a directory that is missing for a
moment, changes nothing, and is logged once.
"""

import logging
import time

from tandem.base.errors import TandemError
from tandem.server.state import Listing, StateDirectory

log = logging.getLogger("tandem.state")

_RELOAD_MIN = 0.1
"""Minimum seconds between two reads of the directory that unknown keys cause."""


class ClientRegistry:
    """The names of the registered clients, by public key."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._names: dict[bytes, str] = {}
        self._gone: set[bytes] = set()
        """Public keys that were removed and that `reload` has not returned yet."""
        self._listing: Listing | None = None
        self._looked_at = 0.0
        self.problem = ""
        """Why the registry differs from the directory; empty where both agree."""
        self._read()

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> list[str]:
        """The sorted names of all registered clients."""
        return sorted(self._names.values())

    def reload(self) -> set[bytes]:
        """Reads the directory if it has changed; returns the public keys that were removed since the last call."""
        self._read()
        gone, self._gone = self._gone, set()
        return gone

    def lookup(self, public: bytes) -> str | None:
        """The name of a client, or None. An unknown key causes a read, at most ten per second. Never raises."""
        if public not in self._names and time.monotonic() - self._looked_at >= _RELOAD_MIN:
            self._read()
        return self._names.get(public)

    def _read(self) -> None:
        self._looked_at = time.monotonic()
        try:
            listing = self._state.listing(self._listing)
        except TandemError as error:
            self._tell(f"{error}; the clients stay as they were")
            return
        if listing is self._listing:
            return
        missing = self._missing_from_another_directory(listing)
        if missing:
            text = f"{listing.directory}: it is another directory, without {', '.join(missing)}; they stay as they were"
            self._tell(f"{text} until the server is started anew, or their files are back")
            self._add(listing)
            return
        self._take(listing)
        self._tell("; ".join(f"{text}; all other clients are as they should be" for text in listing.problems.values()))

    def _missing_from_another_directory(self, listing: Listing) -> list[str]:
        """Clients missing from a directory that replaced the known one: an unmounted disk, or an incomplete backup."""
        if self._listing is None or listing.identity == self._listing.identity:
            return []
        there = {client.name for client in listing.clients} | set(listing.problems)
        return sorted(name for name in self._names.values() if name not in there)

    def _add(self, listing: Listing) -> None:
        """Adds the new clients, and removes none."""
        known = set(self._names.values())
        self._names |= {client.public_key: client.name for client in listing.clients if client.name not in known}

    def _take(self, listing: Listing) -> None:
        names = {client.public_key: client.name for client in listing.clients}
        kept = {public: name for public, name in self._names.items() if name in listing.problems}
        names = kept | names
        self._gone = (self._gone | set(self._names)) - set(names)
        self._names, self._listing = names, listing

    def _tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("%s", problem)
        elif self.problem and not problem:
            log.info("the clients are as %s says again", self._state.path)
        self.problem = problem
