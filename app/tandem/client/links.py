"""The client's links: what BIND means, and which interfaces are links when none are named."""

import errno
import ipaddress
from collections.abc import Container, Sequence
from itertools import chain, count

from tandem.base.addresses import interface_addresses, interface_of, parse_endpoint
from tandem.base.errors import UsageError
from tandem.base.units import parse_rate
from tandem.client.interfaces import matching
from tandem.config.config import LinkConfig
from tandem.config.invites import Invite
from tandem_transport import PathPreference, PathUse
from tandem_transport.driver import Endpoint, Gate, Link, LocalAddress, Names, Resolve, Transport, interface_index

_ANY = LinkConfig(name="*", bind="*")
"""Each interface that leads out, named after itself: what a client uses where no link is configured."""


def is_pattern(bind: str) -> bool:
    """Whether `bind` stands for all interfaces that match, also those that appear later."""
    return "*" in bind


def follows_interfaces(configured: Sequence[LinkConfig]) -> bool:
    """Whether a new interface can become a link."""
    return not configured or any(is_pattern(link.bind) for link in configured)


def unmatched(configured: Sequence[LinkConfig]) -> list[LinkConfig]:
    """The patterns, the one of a client without configured links included, that no interface matches now."""
    patterns = [link for link in configured or [_ANY] if is_pattern(link.bind)]
    return [link for link in patterns if not matching(link.bind)]


def planned_links(configured: Sequence[LinkConfig], present: Sequence[LinkConfig] = ()) -> list[LinkConfig]:
    """The links that are wanted now, without those that are `present` already.

    All configured links are wanted, with each interface that matches in place of a pattern. Where nothing is
    configured, each interface that leads out is wanted, named after itself.
    """
    known = {link.bind for link in [*configured, *present]}
    names = {link.name for link in present}
    planned: list[LinkConfig] = []
    for template in configured or [_ANY]:
        wanted = matching(template.bind) if is_pattern(template.bind) else [template.bind]
        for bind in wanted:
            is_taken = bind in known if bind != template.bind else template.name in names
            if not is_taken:
                name = _free_name(bind if template.name == "*" else template.name, names)
                planned.append(template.model_copy(update={"name": name, "bind": bind}))
                known.add(bind)
                names.add(name)
    return planned


def _free_name(name: str, taken: Container[str]) -> str:
    """A name that is not taken: the second interface of a pattern is NAME-2, and so on."""
    candidates = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def resolver(bind: str) -> Resolve:
    """A function that finds the local addresses of a link bound to an address or an interface, IPv4 before IPv6."""

    def resolve() -> list[LocalAddress]:
        return _resolve(bind)

    return resolve


def make_link(
    index: int, link: LinkConfig, invite: Invite, names: Names | None = None, gate: Gate | None = None
) -> Link:
    """Link number `index`. It begins with another endpoint than its neighbours. Raises UsageError where none fits.

    `names`: where the server's names are looked up; the links of a client share it. `gate`: what may shut the link.
    """
    endpoints = [parse_endpoint(endpoint, what="invite: endpoint") for endpoint in invite.endpoints]
    fitting = [endpoint for endpoint in endpoints if _same_family(link.bind, endpoint[0])]
    if link.endpoint is not None:
        own = parse_endpoint(link.endpoint, what=f"link {link.name}: endpoint")
        fitting = [own] if own[2] else [own, *(other for other in fitting if other[2])]
    by_udp = _from_index(index, [(host, port) for host, port, is_tls in fitting if not is_tls])
    by_tls = _from_index(index, [(host, port) for host, port, is_tls in fitting if is_tls])
    return Link(
        link.name,
        resolver(link.bind),
        by_udp,
        transport=_transport(link, by_udp, by_tls),
        tls_endpoints=by_tls,
        names=names or Names(),
        gate=gate,
    )


def _from_index(index: int, endpoints: list[Endpoint]) -> list[Endpoint]:
    """The endpoints in their order, but from another one on for each link."""
    start = index % len(endpoints) if endpoints else 0
    return endpoints[start:] + endpoints[:start]


def _transport(link: LinkConfig, by_udp: list[Endpoint], by_tls: list[Endpoint]) -> Transport:
    """How a link can carry packets. Raises UsageError where it has no endpoint of the kind that it is to use."""
    wish = Transport(link.transport)
    if wish is Transport.TLS and not by_tls:
        hint = "the server needs `listen_tls`, and its invite an endpoint such as tls://HOST:443"
        raise UsageError(f'link {link.name}: transport = "tls", but no tls:// endpoint is known', hint)
    if not by_udp and (wish is Transport.UDP or not by_tls):
        raise UsageError(f"link {link.name}: no endpoint of the invite fits {link.bind}", "--link NAME=BIND@HOST:PORT")
    return wish if by_udp else Transport.TLS


def preference_of(link: LinkConfig, path_id: int) -> PathPreference:
    """The use and the maximum rate of a link, as the configuration sets them."""
    uses = {"available": PathUse.AVAILABLE, "metered": PathUse.METERED, "backup": PathUse.BACKUP}
    rate = parse_rate(link.max_rate) if link.max_rate is not None else 0
    return PathPreference(path_id, uses[link.use], rate)


def _same_family(bind: str, host: str) -> bool:
    """Whether a host fits a link: names fit all links, addresses those that are not bound to the other family."""
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
    return LocalAddress(host, device, interface_index(device))
