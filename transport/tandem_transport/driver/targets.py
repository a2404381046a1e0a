"""The server's addresses that one link tries: every address of every endpoint, one after the other."""

import errno
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from tandem_transport.driver.names import Names
from tandem_transport.driver.sockets import UdpAddress, family_of

Endpoint = tuple[str, int]
"""A name or a literal address, and a port."""

_MAX_ASKED = 16
"""Addresses that are remembered for the log."""


class Targets:
    """Goes round the endpoints of a link; the first one is its home."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._index = -1
        """The endpoint to which the present address belongs."""
        self._waiting: list[UdpAddress] = []
        """Addresses of that endpoint whose turn is still to come."""
        self.asked: dict[tuple[Endpoint, str], None] = {}
        """Endpoints and hosts that were asked since the last answer, in that order."""

    @property
    def is_home(self) -> bool:
        """The present address belongs to the link's own endpoint."""
        return self._index <= 0

    async def next(self, families: Sequence[int], names: Names) -> UdpAddress:
        """The address whose turn it is; endpoints without one are passed over.

        Args:
            families: The address families that the link has, the preferred one first.
            names: Where names are looked up.

        Raises:
            OSError: No endpoint has an address that fits, for the reason of the first that was tried.
        """
        problems: list[OSError] = []
        while True:
            address = self._take_waiting(families)
            if address is not None:
                return address
            if len(problems) >= len(self._endpoints):
                raise problems[0] if problems else OSError(errno.EDESTADDRREQ, "no endpoint is known")
            self._index = (self._index + 1) % len(self._endpoints)
            try:
                self._waiting = await self._find(self._index, families, names)
            except OSError as error:
                problems.append(error)

    async def home(self, families: Sequence[int], names: Names) -> UdpAddress:
        """The first address of the link's own endpoint. Raises OSError."""
        return (await self._find(0, families, names))[0]

    def go_home(self) -> None:
        """The link's own endpoint has answered."""
        self._index, self._waiting = 0, []

    def note_asked(self, address: UdpAddress) -> None:
        """The link asks this address now."""
        if len(self.asked) < _MAX_ASKED and self._index >= 0:
            self.asked[self._endpoints[self._index], address[0]] = None

    def _take_waiting(self, families: Sequence[int]) -> UdpAddress | None:
        fitting = [address for address in self._waiting if family(address) in families]
        self._waiting = fitting[1:]
        return fitting[0] if fitting else None

    async def _find(self, index: int, families: Sequence[int], names: Names) -> list[UdpAddress]:
        host, port = self._endpoints[index]
        found = alternating(await names.addresses(host, port), families)
        if not found:
            raise OSError(errno.EAFNOSUPPORT, f"{host} has no address of this link's family")
        return found


def alternating(addresses: Iterable[UdpAddress], families: Sequence[int]) -> list[UdpAddress]:
    """The addresses of these families, which take turns, the first family first (RFC 8305 section 4)."""
    known = list(dict.fromkeys(addresses))
    rows = [[address for address in known if family(address) == wanted] for wanted in dict.fromkeys(families)]
    return [address for row in zip_longest(*rows) for address in row if address is not None]


def family(address: UdpAddress) -> int:
    """AF_INET or AF_INET6."""
    return family_of(address[0])
