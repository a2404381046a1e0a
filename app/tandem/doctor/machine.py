"""Reasons on this machine why a link does not work: addresses, routes, filters, and errors of the system."""

import asyncio
import errno
import socket
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from tandem.base.addresses import format_host_port, interface_of, parse_host_port
from tandem.base.errors import os_error_text
from tandem.client.interfaces import is_virtual
from tandem.config.config import Config
from tandem.doctor.findings import Finding, Verdict
from tandem.doctor.pings import Pinger, route_source
from tandem.doctor.routes import Route, addresses_without_default, default_route_command, leads_to
from tandem_transport.driver import LocalAddress, UdpAddress, family_of

_CONF = Path("/proc/sys/net/ipv4/conf")
_NETSTAT = Path("/proc/net/netstat")

_STRICT = 1
"""The value of net.ipv4.conf.*.rp_filter for the strict filter; 0 is off, 2 loose."""

_FILTER_PINGS, _FILTER_INTERVAL = 4, 0.1

RP_FILTER_ADVICE = (
    "`sysctl -w net.ipv4.conf.all.rp_filter=2` makes it loose at once; "
    "`echo net.ipv4.conf.all.rp_filter=2 > /etc/sysctl.d/90-tandem.conf` keeps it so after a restart."
)


# --- errors of the system ---


def send_error(error: OSError, device: str | None) -> tuple[str, str]:
    """The error of a packet to the server in words, and what to do."""
    text = os_error_text(error)
    where = f" dev {device}" if device else ""
    match error.errno:
        case errno.EPERM:
            advice = "`nft list ruleset` or `iptables -S OUTPUT` (`ip6tables -S OUTPUT`) shows the rule."
            return f"{text}: a firewall on this machine does not let it out", advice
        case errno.EACCES:
            advice = f"`ip route show{where}` and `ip rule` show it; `nft list ruleset` shows the firewall."
            return f"{text}: a route or a rule of this machine forbids it", advice
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            return f"{text}: no route", f"`ip route show{where}` shows where this link leads."
        case errno.ECONNREFUSED:
            advice = "Is the server running (`tandem status` there), and is this one of its ports?"
            return f"{text}: that machine answers, but nothing listens at this port", advice
        case _:
            return text, ""


def bind_error(error: OSError) -> tuple[str, str]:
    """Why a socket for a link cannot be made, in words, and what to do."""
    if error.errno in (errno.EPERM, errno.EACCES):
        advice = "Older kernels let only root do so: run it as root, or give the link by address."
        return f"binding to the device: {os_error_text(error)}", advice
    return send_error(error, None)


# --- routes ---


def missing_route(routes: list[Route], local: LocalAddress, remote: UdpAddress) -> tuple[str, str] | None:
    """The missing route to the server and the command that adds it; None where there is a route, or it is not known."""
    device = local.device
    if not routes or device is None or leads_to(routes, device, remote[0]):
        return None
    command, hint = default_route_command(routes, device, local.host)
    return "it has no default route", f"`{command}`. {hint}".strip()


def links_without_route(
    config: Config, routes: list[Route], taken: Collection[str], known: Collection[str]
) -> Iterator[Finding]:
    """Findings about interfaces that could be links if they had a default route.

    Args:
        config: Its links say whether any interface can be a link.
        routes: The routes of the kernel; empty (the system does not tell them) gives no findings.
        taken: Interfaces of links that are examined anyway.
        known: Interfaces of the running client's links, which were links before.
    """
    can_be_any = not config.link or any(link.bind == "*" for link in config.link)
    for device, host in addresses_without_default(routes) if routes else ():
        if device in taken or is_virtual(device) or not (can_be_any or device in known):
            continue
        command, hint = default_route_command(routes, device, host)
        verdict: Verdict = "problem" if device in known else "warning"
        text = f"it is up with {host}, but has no default route" + (" any more" if device in known else "")
        lead = "" if device in known else "No fault, unless it should be a link. "
        yield Finding(
            subject=device, check="route", verdict=verdict, text=text, advice=f"{lead}`{command}`. {hint}".strip()
        )


# --- reverse path filter ---


def is_strict(device: str, directory: Path = _CONF) -> bool:
    """Whether Linux drops packets that arrive on an interface that it would not use to send to their source.

    The kernel uses the larger of two settings (Documentation/networking/ip-sysctl.rst).
    """
    values: list[int] = []
    for name in ("all", device):
        try:
            values.append(int((directory / name / "rp_filter").read_text()))
        except (OSError, ValueError):
            continue
    return max(values, default=0) == _STRICT


def filtered_packets(file: Path = _NETSTAT) -> int | None:
    """Number of packets that reverse path filtering has dropped so far; None where the system does not tell."""
    try:
        lines = [line.split() for line in file.read_text().splitlines() if line.startswith("TcpExt:")]
    except OSError:
        return None
    values = dict(zip(*lines, strict=True)) if len(lines) == 2 else {}
    return int(values["IPReversePathFilter"]) if "IPReversePathFilter" in values else None


async def drops_answers(pinger: Pinger, local: LocalAddress, remote: UdpAddress) -> bool:
    """Whether reverse path filtering causes a link's silence; pings again, and compares the drop counts."""
    if sys.platform != "linux" or local.family != socket.AF_INET or local.device is None or not is_strict(local.device):
        return False
    source = route_source(remote)
    if source is not None and interface_of(source) == local.device:
        return False  # the filter accepts packets on the interface that the route back uses
    before = filtered_packets()
    await pinger.count(_FILTER_PINGS, _FILTER_INTERVAL)
    after = filtered_packets()
    return before is None or after is None or after > before


def rp_filter_text(device: str, remote: UdpAddress) -> str:
    """The finding's text where the filter drops what arrives on a link."""
    return (
        f"reverse path filtering is strict: what arrives on {device} is dropped, "
        f"because the route to {remote[0]} leads over another interface"
    )


# --- the local port ---


async def local_port(config: Config, taken: str = "") -> Finding:
    """The finding whether the SOCKS port is free; `taken`: the port of a client that runs."""
    host, port = parse_host_port(config.socks.listen, what="socks")
    place = format_host_port(host, port)
    error = await asyncio.to_thread(_bind_error, host, port)
    if error is None:
        return Finding(subject="this machine", check="SOCKS port", verdict="ok", text=f"{place} is free")
    if taken == place:
        return Finding(subject="this machine", check="SOCKS port", verdict="ok", text=f"{place}: the client that runs")
    text = f"{place}: {os_error_text(error)}"
    advice = "Another program has it: --socks HOST:PORT takes another one."
    verdict: Verdict = "warning" if error.errno == errno.EADDRINUSE else "problem"
    return Finding(subject="this machine", check="SOCKS port", verdict=verdict, text=text, advice=advice)


def _bind_error(host: str, port: int) -> OSError | None:
    with socket.socket(family_of(host), socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":  # there it would let two processes share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
