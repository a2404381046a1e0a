"""Which interfaces of this machine can be links: those that lead out, and are not built on other interfaces."""

import fnmatch
import ipaddress
import sys
from pathlib import Path

from tandem.base.addresses import interface_addresses

_ROUTE = Path("/proc/net/route")
_ROUTE_V6 = Path("/proc/net/ipv6_route")
_CLASS = Path("/sys/class/net")
_RTF_UP = 0x0001

_TUNNEL_TYPES = frozenset(("768", "769", "776", "778", "823"))
"""Types of tunnel interfaces: ARPHRD_TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE."""

_MADE_OF_OTHERS = frozenset(("bridge", "wireguard", "vxlan", "geneve", "bond", "team", "vti", "xfrm"))
"""DEVTYPE of interfaces whose packets leave by another one, or, as with those of containers, not at all."""


def leading_out() -> list[str]:
    """Interfaces with a default route, IPv4 before IPv6 (Linux); elsewhere all that are not loopback.

    Tunnels and bridges are left out, unless there is nothing else. The local address of a connected socket
    would show one interface only, and not always the right one.
    """
    names = _with_default_route() if sys.platform == "linux" else _with_global_address()
    return [name for name in names if not is_virtual(name)] or names


def matching(pattern: str) -> list[str]:
    """Interfaces with an address whose name matches a pattern such as `usb*`; `*` stands for those that lead out.

    Tunnels, bridges and loopback never match a pattern such as `usb*`.
    """
    if pattern == "*":
        return leading_out()
    named = [name for name, hosts in interface_addresses().items() if hosts and fnmatch.fnmatchcase(name, pattern)]
    return sorted(name for name in named if name != "lo" and not is_virtual(name))


def is_virtual(name: str, directory: Path = _CLASS) -> bool:
    """Whether an interface is a tunnel or a bridge (Linux), whose packets leave by another interface."""
    place = directory / name
    if (place / "tun_flags").exists() or (place / "bridge").exists():
        return True
    described = dict(line.split("=", 1) for line in _lines(place / "uevent") if "=" in line)
    return described.get("DEVTYPE") in _MADE_OF_OTHERS or "".join(_lines(place / "type")) in _TUNNEL_TYPES


def _with_default_route() -> list[str]:
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


def _with_global_address() -> list[str]:
    addresses = interface_addresses()
    return [name for name, hosts in addresses.items() if any(_is_global_enough(host) for host in hosts)]


def _is_global_enough(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return not address.is_loopback and not address.is_link_local


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
