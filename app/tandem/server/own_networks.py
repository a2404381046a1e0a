"""This machine's own addresses, and the networks that it is in."""

import ipaddress
import socket
import time

import psutil

from tandem.base.addresses import IPNetwork

_REFRESH = 5.0
"""Seconds after which the interfaces are looked at again."""

_WIDEST = {4: 8, 6: 32}
"""A shorter prefix is a mistake, or a tunnel that takes everything: then only the address itself counts."""


class OwnNetworks:
    """What a client could reach through this machine and hardly anybody from outside."""

    def __init__(self) -> None:
        self._networks: tuple[IPNetwork, ...] = ()
        self._looked_at = float("-inf")

    def __contains__(self, address: object) -> bool:
        if time.monotonic() - self._looked_at > _REFRESH:
            self._networks = tuple(dict.fromkeys(_look()))
            self._looked_at = time.monotonic()
        return any(address in network for network in self._networks)


def _look() -> list[IPNetwork]:
    found: list[IPNetwork] = []
    for addresses in psutil.net_if_addrs().values():
        for item in addresses:
            if item.family in (socket.AF_INET, socket.AF_INET6):
                found += _networks_of(item.address.partition("%")[0], item.netmask)
    return found


def _networks_of(address: str, netmask: str | None) -> list[IPNetwork]:
    """The address alone, and the network that it is in."""
    try:
        alone = ipaddress.ip_network(address)
        bits = _bits(netmask) if netmask else alone.max_prefixlen
        around = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        return []
    return [alone] if around.prefixlen < _WIDEST[around.version] else [alone, around]


def _bits(netmask: str) -> int:
    """Length of the prefix. Raises ValueError for what is no mask."""
    return int(ipaddress.ip_address(netmask)).bit_count()
