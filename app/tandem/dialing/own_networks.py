"""This machine's own addresses, and the networks that they are in."""

import ipaddress
import socket
import time

import psutil

from tandem.base.addresses import IPNetwork

_REFRESH = 5.0
"""Seconds after which the interfaces are read again."""

_WIDEST = {4: 8, 6: 32}
"""Shortest prefix length of an own network, by IP version. A shorter prefix is a mistake, or a tunnel that takes all
traffic: then only the address itself counts."""


class OwnNetworks:
    """The addresses and networks that a client could reach through this machine, but usually not from outside."""

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
    """The address itself, and the network that it is in; empty where it is not an address."""
    try:
        alone = ipaddress.ip_network(address)
        bits = _bits(netmask) if netmask else alone.max_prefixlen
        around = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        return []
    return [alone] if around.prefixlen < _WIDEST[around.version] else [alone, around]


def _bits(netmask: str) -> int:
    """The prefix length of a netmask. Raises ValueError where it is not a netmask."""
    return int(ipaddress.ip_address(netmask)).bit_count()
