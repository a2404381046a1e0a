"""The client's links: what BIND means, and which interfaces are links when none are named."""

import errno
import ipaddress
import sys
from pathlib import Path

from tandem.addresses import interface_addresses, interface_of
from tandem.config import LinkConfig
from tandem_transport.driver import LocalAddress, Resolve

_ROUTE = Path("/proc/net/route")
_ROUTE_V6 = Path("/proc/net/ipv6_route")
_RTF_UP = 0x0001


def default_route_interfaces() -> list[str]:
    """Interfaces with a default route, IPv4 before IPv6 (Linux); elsewhere all that are not loopback.

    "Connect a socket and see" would name one of them only, and not always the right one.
    """
    if sys.platform != "linux":
        addresses = interface_addresses()
        return [name for name, hosts in addresses.items() if any(_is_global_enough(host) for host in hosts)]
    names: dict[str, None] = {}
    for line in _lines(_ROUTE)[1:]:
        fields = line.split()
        if fields[1] == "00000000" and int(fields[3], 16) & _RTF_UP:
            names[fields[0]] = None
    for line in _lines(_ROUTE_V6):
        fields = line.split()
        is_default = fields[0] == "0" * 32 and fields[1] == "00"
        if is_default and int(fields[8], 16) & _RTF_UP and fields[9] != "lo":
            names[fields[9]] = None
    return list(names)


def found_links() -> list[LinkConfig]:
    """A link for each interface with a default route, named after it."""
    return [LinkConfig(name=name, bind=name) for name in default_route_interfaces()]


def resolver(bind: str) -> Resolve:
    """Finds the local address of a link that is bound to an address or to an interface."""

    def resolve() -> LocalAddress:
        return _resolve(bind)

    return resolve


def _resolve(bind: str) -> LocalAddress:
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        return _resolve_interface(bind)
    if address.is_loopback:
        return LocalAddress(bind, None)
    device = interface_of(bind)
    if device is None:
        raise OSError(errno.EADDRNOTAVAIL, f"this machine has no address {bind} now")
    return LocalAddress(bind, device)


def _resolve_interface(name: str) -> LocalAddress:
    hosts = interface_addresses().get(name)
    if hosts is None:
        raise OSError(errno.ENODEV, f"there is no interface {name} now, or it is down")
    if not hosts:
        raise OSError(errno.EADDRNOTAVAIL, f"interface {name} has no address now")
    host = next((host for host in hosts if ":" not in host), hosts[0])
    return LocalAddress(host, None if ipaddress.ip_address(host).is_loopback else name)


def _is_global_enough(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return not address.is_loopback and not address.is_link_local


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
