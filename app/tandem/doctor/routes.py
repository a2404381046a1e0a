"""The kernel's routes (Linux), to find out why a link does not reach the internet."""

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tandem.base.addresses import IPAddress, IPNetwork, interface_addresses

_ROUTE = Path("/proc/net/route")
_ROUTE_V6 = Path("/proc/net/ipv6_route")
_LEASES = Path("/run/systemd/netif/leases")
_CLASS = Path("/sys/class/net")
_IFF_POINTOPOINT = 0x10
_RTF_UP, _RTF_GATEWAY, _RTF_REJECT = 0x0001, 0x0002, 0x0200

_METRIC_STEP = 100
"""How much higher the metric of a suggested default route is than the highest one of the others."""


class Route(NamedTuple):
    """One active route of the main table."""

    device: str
    network: IPNetwork
    gateway: IPAddress | None
    metric: int

    @property
    def is_default(self) -> bool:
        """Whether it is a default route."""
        return self.network.prefixlen == 0


def read_routes(file: Path = _ROUTE, file_v6: Path = _ROUTE_V6) -> list[Route]:
    """All routes; empty where the system does not tell."""
    return [*_routes_v4(file), *_routes_v6(file_v6)]


def leads_to(routes: list[Route], device: str, host: str) -> bool:
    """Whether a route over this interface covers a literal address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return any(route.device == device and address in route.network for route in routes)


def has_default(routes: list[Route], device: str) -> bool:
    """Whether the interface has a default route of any family."""
    return any(route.device == device and route.is_default for route in routes)


def default_route_command(routes: list[Route], device: str, host: str) -> tuple[str, str]:
    """The command that adds a default route for an interface with this local address, and a hint about the gateway."""
    version = ipaddress.ip_address(host.partition("%")[0]).version
    gateway = _gateway(routes, device, version)
    needs_gateway = gateway is not None or not _is_point_to_point(device)
    defaults = [route.metric for route in routes if route.is_default and route.network.version == version]
    metric = f" metric {max(defaults) + _METRIC_STEP}" if defaults else ""
    command = "ip -6 route add default" if version == 6 else "ip route add default"
    via = f" via {gateway or 'GATEWAY'}" if needs_gateway else ""
    hint = _gateway_hint(routes, device, version) if needs_gateway and gateway is None else ""
    return f"{command}{via} dev {device}{metric}", hint


def _is_point_to_point(device: str) -> bool:
    """Whether the interface has a single peer, as with PPP and many modems: its route needs no gateway."""
    flags = "".join(_lines(_CLASS / device / "flags")) or "0"
    return bool(int(flags, 16) & _IFF_POINTOPOINT)


def _gateway(routes: list[Route], device: str, version: int) -> str | None:
    """The router of an interface: from its other routes, or from the DHCP lease of systemd-networkd."""
    for route in routes:
        if route.device == device and route.gateway is not None and route.network.version == version:
            return str(route.gateway)
    return _leased_gateway(device) if version == 4 else None


def _leased_gateway(device: str) -> str | None:
    try:
        lines = (_LEASES / str(socket.if_nametoindex(device))).read_text().splitlines()
    except OSError:
        return None
    routers = (line.partition("=")[2] for line in lines if line.startswith("ROUTER="))
    return next((router.split()[0] for router in routers if router.split()), None)


def _gateway_hint(routes: list[Route], device: str, version: int) -> str:
    networks = [
        route.network
        for route in routes
        if route.device == device and route.network.version == version and not route.network.is_link_local
    ]
    if version == 6 or not networks:
        return f"GATEWAY is its router's address; `ip neigh show dev {device}` lists who is there."
    network = networks[0]
    who = f"`ip neigh show dev {device}` lists who is there"
    return f"GATEWAY is its router's address in {network}, often {network[1]}; {who}."


def addresses_without_default(routes: list[Route]) -> Iterator[tuple[str, str]]:
    """Interfaces that are up with an address, but without a default route; each with one address, IPv4 preferred."""
    for device, hosts in interface_addresses().items():
        outside = [host for host in hosts if not ipaddress.ip_address(host.partition("%")[0]).is_loopback]
        if outside and not has_default(routes, device):
            yield device, min(outside, key=lambda host: ":" in host)


def _routes_v4(file: Path) -> Iterator[Route]:
    for line in _lines(file)[1:]:
        fields = line.split()
        flags = int(fields[3], 16)
        if flags & _RTF_UP and not flags & _RTF_REJECT:
            network = ipaddress.IPv4Network((_v4(fields[1]), bin(int(fields[7], 16)).count("1")))
            gateway = ipaddress.IPv4Address(_v4(fields[2])) if flags & _RTF_GATEWAY else None
            yield Route(fields[0], network, gateway, int(fields[6]))


def _v4(text: str) -> int:
    """An IPv4 address or mask as a number: the kernel prints the network-order bytes as a native hex integer."""
    return socket.ntohl(int(text, 16))


def _routes_v6(file: Path) -> Iterator[Route]:
    for line in _lines(file):
        fields = line.split()
        flags = int(fields[8], 16)
        if flags & _RTF_UP and not flags & _RTF_REJECT and fields[9] != "lo":
            network = ipaddress.IPv6Network((int(fields[0], 16), int(fields[1], 16)))
            gateway = ipaddress.IPv6Address(int(fields[4], 16)) if flags & _RTF_GATEWAY else None
            yield Route(fields[9], network, gateway, int(fields[5], 16))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
