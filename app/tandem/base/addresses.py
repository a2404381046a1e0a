"""Addresses: HOST:PORT as text, and the local addresses of this machine."""

import ipaddress
import socket
from collections.abc import Iterable

import psutil

from tandem.base.errors import UsageError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def family_of(host: str) -> socket.AddressFamily:
    """The address family of a literal address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


WILDCARDS = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}


def parse_host_port(text: str, *, what: str, default_host: str | None = None) -> tuple[str, int]:
    """Parses `HOST:PORT`, `[V6]:PORT`, or a bare PORT where there is a default host. Raises UsageError."""
    host, separator, port_text = text.rpartition(":")
    if not separator:
        host = default_host or ""
    host = host.removeprefix("[").removesuffix("]")
    accepted = "HOST:PORT or [IPV6]:PORT" + (", or PORT" if default_host else "")
    if not host or not port_text.isascii() or not port_text.isdigit() or not 0 < int(port_text) < 65536:
        raise UsageError(f"{what}: {text!r} is not an address and a port", f"accepted is {accepted}")
    if ":" in host and "[" not in text:
        raise UsageError(f"{what}: {text!r} is ambiguous", f"put brackets around an IPv6 address: [{host}]:{port_text}")
    return host, int(port_text)


TLS_SCHEME = "tls://"
"""The beginning of an endpoint that is reached by TLS."""


def parse_endpoint(text: str, *, what: str) -> tuple[str, int, bool]:
    """Parses `HOST:PORT` or `tls://HOST:PORT`: the host, the port, and whether it is TLS. Raises UsageError."""
    host, port = parse_host_port(text.removeprefix(TLS_SCHEME), what=what)
    return host, port, text.startswith(TLS_SCHEME)


def format_host_port(host: str, port: int) -> str:
    """Writes a host and a port as `parse_host_port` reads them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_forms(text: str) -> tuple[IPAddress, ...]:
    """The forms of a literal address, without its scope: IPv4 instead of IPv4-mapped, and a 6to4 address in both forms.

    Raises ValueError where it is a name.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return (address.ipv4_mapped,)
        if address.sixtofour is not None:
            return (address, address.sixtofour)
    return (address,)


def literal_address(host: str) -> str:
    """The canonical form of a literal address, "" for a name, which has to be looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_address(host: str) -> bool:
    """Whether a host is this machine: loopback, or an address of one of its interfaces."""
    return is_loopback(host) or any(host in addresses for addresses in interface_addresses().values())


def interface_addresses() -> dict[str, list[str]]:
    """The addresses of each interface that is up, without IPv6 link-local ones."""
    stats = psutil.net_if_stats()
    found: dict[str, list[str]] = {}
    for name, addresses in psutil.net_if_addrs().items():
        if name in stats and not stats[name].isup:
            continue
        hosts = [a.address for a in addresses if a.family in (socket.AF_INET, socket.AF_INET6)]
        found[name] = [host for host in hosts if not host.startswith("fe80:")]
    return found


def interface_of(address: str) -> str | None:
    """The name of the interface that has the address, None where none has it."""
    wanted = ipaddress.ip_address(address)
    for name, hosts in interface_addresses().items():
        if any(ipaddress.ip_address(host) == wanted for host in hosts):
            return name
    return None


def source_of(family: socket.AddressFamily, sources: Iterable[str]) -> str | None:
    """The address of `family` in `sources`, which has at most one of each family; None where there is none."""
    return next((source for source in sources if family_of(source) == family), None)


def expand_wildcards(addresses: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Replaces each wildcard host with this machine's addresses of its family, so that each one gets a socket."""
    expanded: dict[tuple[str, int], None] = {}
    for host, port in addresses:
        family = WILDCARDS.get(host)
        for local in [host] if family is None else _all_of(family):
            expanded[(local, port)] = None
    return list(expanded)


def _all_of(family: socket.AddressFamily) -> list[str]:
    hosts = [host for hosts in interface_addresses().values() for host in hosts]
    return [host for host in hosts if (":" in host) == (family == socket.AF_INET6)]
