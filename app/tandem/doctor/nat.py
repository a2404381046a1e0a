"""How a NAT between this machine and the server maps addresses and ports."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tandem.base.addresses import format_host_port
from tandem.doctor.findings import Finding
from tandem_transport.driver import family_of

Place = tuple[str, int]


class Mapping(NamedTuple):
    """A socket's own address, the endpoint, and the socket's address as the server sees it."""

    own: Place
    remote: Place
    seen: Place


def nat(mappings: Sequence[Mapping]) -> tuple[str, str]:
    """Text and advice about the NAT (RFC 4787 section 4.1) that the mappings show; `mappings` is not empty."""
    own, _, seen = mappings[0]
    alike = [mapping for mapping in mappings if family_of(mapping.own[0]) == family_of(own[0])]
    place = format_host_port(*seen)
    if all(mapping.seen[0] == mapping.own[0] for mapping in alike):
        return f"none; the server sees {place}", ""
    port = "keeps the port" if seen[1] == own[1] else f"makes port {seen[1]} of {own[1]}"
    text = f"the server sees {place}; it {port}"
    if len(alike) < 2:
        return text, ""
    if len({mapping.seen for mapping in alike}) > 1:
        advice = "Tandem does not mind; programs that connect directly to each other do."
        return f"{text}, and another for the next endpoint (a symmetric NAT)", advice
    if len({mapping.remote[0] for mapping in alike}) > 1:
        return f"{text}, the same for each endpoint (endpoint-independent mapping)", ""
    return f"{text}, the same for each port of the server (whether for other hosts too, one server cannot tell)", ""


def shared_fate(hosts: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Warns of links with one public address, which fail together. `hosts`: link name, address seen by the server."""
    by_host: dict[str, list[str]] = {}
    for name, host in hosts:
        by_host.setdefault(host, []).append(name)
    for host, names in by_host.items():
        if len(names) > 1:
            text = f"{' and '.join(names)} reach the server from the same address, {host}"
            advice = "They go through one router, and fail together. A phone on its own contract is a second way."
            yield Finding(subject="links", check="shared fate", verdict="warning", text=text, advice=advice)
