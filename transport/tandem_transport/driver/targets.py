"""The server's addresses that one link tries: every address of every endpoint, one after another."""

import errno
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from tandem_transport.driver.names import Names
from tandem_transport.driver.sockets import UdpAddress, family_of

Endpoint = tuple[str, int]
"""A server endpoint: a name or a literal address, and a port."""

_MAX_ASKED = 16
"""Maximum number of addresses that are remembered for the log."""


class Targets:
    """Rotates through the endpoints of a link; the first one is its own endpoint (its home)."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._index = -1
        """Index of the endpoint to which the current address belongs."""
        self._waiting: list[UdpAddress] = []
        """Addresses of the current endpoint that were not tried yet."""
        self.asked: dict[tuple[Endpoint, str], None] = {}
        """Endpoints and hosts that were tried since the last answer, in this order."""

    @property
    def is_home(self) -> bool:
        """The current address belongs to the link's own endpoint."""
        return self._index <= 0

    async def next(self, families: Sequence[int], names: Names) -> UdpAddress:
        """The next address to try; endpoints without a suitable address are skipped.

        Args:
            families: The address families that the link has, the preferred one first.
            names: Where names are looked up.

        Raises:
            OSError: No endpoint has a suitable address; the text is that of the first endpoint that was tried.
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
        """The link's own endpoint has answered, so it becomes the current one."""
        self._index, self._waiting = 0, []

    def note_asked(self, address: UdpAddress) -> None:
        """Remembers that the link tries this address now."""
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
    """The addresses of these families, interleaved, beginning with the first family (RFC 8305 section 4)."""
    known = list(dict.fromkeys(addresses))
    rows = [[address for address in known if family(address) == wanted] for wanted in dict.fromkeys(families)]
    return [address for row in zip_longest(*rows) for address in row if address is not None]


def family(address: UdpAddress) -> int:
    """The family of an address: AF_INET or AF_INET6."""
    return family_of(address[0])
