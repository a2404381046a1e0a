"""The client's links: what BIND means, and which interfaces are links when none are named."""

import errno
import ipaddress
import socket
import sys
from pathlib import Path

from tandem.addresses import interface_addresses, interface_of, parse_host_port
from tandem.config import Config, LinkConfig
from tandem.errors import UsageError
from tandem.invites import Invite
from tandem.units import parse_rate
from tandem_transport import PathUse, PathWish
from tandem_transport.driver import Link, LocalAddress, Resolve

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
    """Finds the local addresses of a link that is bound to an address or to an interface, IPv4 before IPv6."""

    def resolve() -> list[LocalAddress]:
        return _resolve(bind)

    return resolve


def make_links(config: Config, invite: Invite) -> list[Link]:
    """The configured links, or one for each interface with a default route now. Raises UsageError."""
    return [make_link(i, link, invite) for i, link in enumerate(list(config.link) or found_links())]


def make_link(index: int, link: LinkConfig, invite: Invite) -> Link:
    """Link number `index`. It begins with another endpoint than its neighbours. Raises UsageError."""
    endpoints = [parse_host_port(endpoint, what="invite: endpoint") for endpoint in invite.endpoints]
    if link.endpoint is not None:
        own = [parse_host_port(link.endpoint, what=f"link {link.name}: endpoint")]
    else:
        fitting = [endpoint for endpoint in endpoints if _same_family(link.bind, endpoint[0])]
        start = index % len(fitting) if fitting else 0
        own = fitting[start:] + fitting[:start]
    if not own:
        raise UsageError(f"link {link.name}: no endpoint of the invite fits {link.bind}", "--link NAME=BIND@HOST:PORT")
    return Link(link.name, resolver(link.bind), own)


def wishes(links: list[LinkConfig]) -> tuple[PathWish, ...]:
    """What the configuration wants of the links, in their order."""
    uses = {"normal": PathUse.AVAILABLE, "metered": PathUse.METERED, "backup": PathUse.BACKUP}
    rates = [parse_rate(link.max_rate) if link.max_rate is not None else 0 for link in links]
    return tuple(PathWish(i, uses[link.cost], rate) for i, (link, rate) in enumerate(zip(links, rates, strict=True)))


def _same_family(bind: str, host: str) -> bool:
    """Names fit every link; an IPv6 address fits a link that is not bound to an IPv4 one, and so on."""
    bind_is_v6, host_is_v6 = ":" in bind, ":" in host
    bind_is_v4, host_is_v4 = _looks_like_v4(bind), _looks_like_v4(host)
    return not (bind_is_v6 and host_is_v4) and not (bind_is_v4 and host_is_v6)


def _looks_like_v4(text: str) -> bool:
    return text.replace(".", "").isdigit()


def _resolve(bind: str) -> list[LocalAddress]:
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        return _resolve_interface(bind)
    if address.is_loopback:
        return [LocalAddress(bind, None)]
    device = interface_of(bind)
    if device is None:
        raise OSError(errno.EADDRNOTAVAIL, f"this machine has no address {bind} now")
    return [_on_device(bind, device)]


def _resolve_interface(name: str) -> list[LocalAddress]:
    hosts = interface_addresses().get(name)
    if hosts is None:
        raise OSError(errno.ENODEV, f"there is no interface {name} now, or it is down")
    if not hosts:
        raise OSError(errno.EADDRNOTAVAIL, f"interface {name} has no address now")
    return [_on_device(host, name) for host in sorted(hosts, key=lambda host: ":" in host)]


def _on_device(host: str, device: str) -> LocalAddress:
    if ipaddress.ip_address(host).is_loopback:
        return LocalAddress(host, None)
    return LocalAddress(host, device, socket.if_nametoindex(device))


def _is_global_enough(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return not address.is_loopback and not address.is_link_local


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
