"""Compares what a running client says of its links with what `tandem doctor` finds over the same links."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

from pydantic import ValidationError

from tandem.admin import admin_client
from tandem.admin.status import ClientStatus, LinkStatus
from tandem.base.addresses import interface_of, parse_host_port
from tandem.base.errors import TandemError
from tandem.config.config import CLIENT_ADMIN_PORT, Config, LinkConfig
from tandem.doctor.findings import Finding
from tandem.doctor.machine import RP_FILTER_ADVICE, is_strict

_ONE_WAY = "nothing comes back"
"""The client's reason for a link on which it sends but receives nothing."""

_SILENT = ("no answer", "never answered", "no session yet")
"""The client's reasons for silent links, unlike links that are off, unplugged, refused or over their cap."""


class Heard(NamedTuple):
    """What answered over a link from a new port."""

    hosts: Set[str]
    """The link's local addresses."""
    places: Set[str]
    """HOST:PORT of each address of the server that answered."""


async def ask_client(config: Config) -> ClientStatus | None:
    """The running client's status; None where none runs, or where it does not answer."""
    listen = config.admin.listen
    place = parse_host_port(listen, what="admin") if listen else ("127.0.0.1", CLIENT_ADMIN_PORT)
    try:
        answer = await asyncio.to_thread(admin_client.ask, [place], "/status")
        return ClientStatus.model_validate(answer)
    except (TandemError, ValidationError):
        return None


def links_of(status: ClientStatus | None) -> list[LinkConfig]:
    """Those links of the running client that somebody has named, if they have an address.

    Each by its interface, or by its address where another link has the same interface. A link that the client has
    found by itself has the name of its interface: the doctor finds these as well, or says why not.
    """
    hosts = {link.name: host for link in (status.links if status else ()) if (host := _local_host(link)) is not None}
    devices = {name: _device(host) for name, host in hosts.items()}
    hosts = {name: host for name, host in hosts.items() if devices[name] != name}
    shared = Counter(devices.values())
    return [
        LinkConfig(name=name, bind=device if (device := devices[name]) and shared[device] == 1 else host)
        for name, host in hosts.items()
    ]


def known_devices(status: ClientStatus | None) -> set[str]:
    """The interfaces of those links of the running client that have an address now."""
    links = status.links if status is not None else []
    devices = [interface_of(host) for link in links if (host := _local_host(link)) is not None]
    return {device for device in devices if device is not None}


def compare(before: ClientStatus | None, after: ClientStatus | None, heard: Mapping[str, Heard]) -> Iterator[Finding]:
    """Findings about links that fail only for the running client.

    Args:
        before: The client's status when the doctor started.
        after: The client's status after the links were examined; a link must be silent in both, because a problem
            in only one of them has passed, or has just begun.
        heard: What answered over each link, by the link's name.
    """
    if before is None or after is None:
        return
    earlier = {link.path_id: link for link in before.links}
    for link in after.links:
        if _ONE_WAY in link.reason:
            yield _one_way(link)
        elif (place := _swallowed(earlier.get(link.path_id), link, _of_link(heard, link))) is not None:
            yield _fresh_port(link, place)


def _swallowed(before: LinkStatus | None, now: LinkStatus, heard: Heard | None) -> str | None:
    """The server's address that answers the doctor over this link, but not the client; None where there is none."""
    if heard is None or before is None or not (_is_silent(before) and _is_silent(now)):
        return None
    return next((link.remote for link in (now, before) if link.remote in heard.places), None)


def _is_silent(link: LinkStatus) -> bool:
    return link.state in ("down", "probing") and any(words in link.reason for words in _SILENT)


def _of_link(heard: Mapping[str, Heard], link: LinkStatus) -> Heard | None:
    """Finds a link by name, else by address: the running client may have other names for its links."""
    if link.name in heard:
        return heard[link.name]
    return next((one for one in heard.values() if _local_host(link) in one.hosts), None)


def _fresh_port(link: LinkStatus, place: str) -> Finding:
    port = parse_host_port(place, what="remote")[1]
    text = f"{place} answers a fresh port, but not the running client's ({link.local})"
    advice = (
        "A NAT, or a docker host, has swallowed the old flow. The client takes a new port by itself within 15 s. "
        f"For a docker host with the server on it: `conntrack -D -p udp --dport {port}` there."
    )
    return Finding(subject=link.name, check="running client", verdict="warning", text=text, advice=advice)


def _one_way(link: LinkStatus) -> Finding:
    host = _local_host(link)
    device = interface_of(host) if host is not None else None
    if device is not None and is_strict(device):
        cause = f"Reverse path filtering is strict on {device}. {RP_FILTER_ADVICE}"
    else:
        cause = "`sysctl net.ipv4.conf.all.rp_filter` must not say 1 (strict reverse path filtering)."
    advice = (
        f"{cause} Else something drops what the server sends: a firewall here (`nft list ruleset`, "
        "`iptables -S INPUT`), this network's, or the outgoing one of the server."
    )
    return Finding(subject=link.name, check="running client", verdict="warning", text=link.reason, advice=advice)


def _local_host(link: LinkStatus) -> str | None:
    return parse_host_port(link.local, what="local")[0] if link.local else None


def _device(host: str) -> str | None:
    """The interface that has this address; None for loopback, whose addresses are the links there."""
    return None if ipaddress.ip_address(host).is_loopback else interface_of(host)
