"""Addresses that stand for names: a device gets one for a name, and connects to it; the name goes to the server."""

import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Sequence

MAX_NAMES = 65_536
"""Names that have an address at the same time; a further one takes the address that was not used for longest."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Pool:
    """The addresses of one network."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._size = min(network.num_addresses - 2, MAX_NAMES)
        self._first = secrets.randbelow(max(1, network.num_addresses - 1 - self._size))
        """Random, so that an address which a device has kept since an earlier start stands for nothing."""
        self._names: OrderedDict[str, int] = OrderedDict()
        """Names and the number of their address, the one that was not used for longest first."""
        self._by_number: dict[int, str] = {}

    def address(self, name: str) -> str:
        """The address of a name, the same as before where it still has one."""
        number = self._names.get(name)
        if number is None:
            number = self._free_number()
            self._names[name], self._by_number[number] = number, name
        self._names.move_to_end(name)
        return str(self.network[self._first + number + 1])

    def name(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
        """The name that an address stands for."""
        name = self._by_number.get(int(address) - int(self.network[0]) - 1 - self._first)
        if name is not None:
            self._names.move_to_end(name)
        return name

    def _free_number(self) -> int:
        if len(self._names) < self._size:
            return len(self._names)
        _, number = self._names.popitem(last=False)
        return number


class FakeNames:
    """The fake addresses of all names, at most one of each family."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._pools = [_Pool(network) for network in networks]

    def address(self, name: str, version: int) -> str | None:
        """A fake address of a name: of IPv4 or IPv6, None where there is no pool of that version."""
        pool = next((pool for pool in self._pools if pool.network.version == version), None)
        return None if pool is None else pool.address(name.lower().rstrip("."))

    def is_fake(self, host: str) -> bool:
        """Whether an address is of a pool."""
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(address in pool.network for pool in self._pools)

    def name(self, host: str) -> str | None:
        """The name that a fake address stands for, None for other addresses and for those that stand for none now."""
        address = ipaddress.ip_address(host.partition("%")[0])
        for pool in self._pools:
            if address in pool.network:
                return pool.name(address)
        return None
