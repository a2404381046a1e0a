"""What is missing on a router so that a client serves the devices behind it. Nothing is changed."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from tandem.base.addresses import interface_addresses
from tandem.lan.ruleset import MARK, ROUTES, TABLE, House

_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing, and what to do."""

    what: str
    advice: str


def missing(house: House) -> list[Missing]:
    """Everything that is missing, in the order in which it should be mended."""
    return [*_interfaces(house), *_forwarding(), *_listening(house), *_rules(house), *_routes(house)]


def _interfaces(house: House) -> Iterator[Missing]:
    known = interface_addresses()
    for name in house.interfaces:
        if not known.get(name):
            yield Missing(f"interface {name} is not there, is down, or has no address", "`ip -br addr` lists them")


def _forwarding() -> Iterator[Missing]:
    if not _is_set("net/ipv4/ip_forward"):
        yield Missing("this machine forwards nothing (ip_forward)", "sysctl -w net.ipv4.ip_forward=1")


def _is_set(setting: str) -> bool:
    try:
        return Path("/proc/sys", setting).read_text().strip() == "1"
    except OSError:
        return False


def _listening(house: House) -> Iterator[Missing]:
    """Ports on which nobody listens; and the client that does, if it may take datagrams."""
    if not _listens(house.port, socket.SOCK_STREAM):
        yield Missing(f"nobody listens on TCP port {house.port}", "`listen` in [transparent], and a running client")
    elif house.takes_datagrams and not _listens(house.port, socket.SOCK_DGRAM):
        advice = "the client needs CAP_NET_ADMIN (AmbientCapabilities in its unit); its log says more"
        yield Missing(f"nobody listens on UDP port {house.port}", advice)
    if house.names_port is not None and not _listens(house.names_port, socket.SOCK_DGRAM):
        yield Missing(f"nobody listens on UDP port {house.names_port}", "`dns_listen` in [transparent]")


def _listens(port: int, kind: int) -> bool:
    return any(
        found.type == kind and found.laddr and found.laddr[1] == port and found.status in ("LISTEN", "NONE")
        for found in psutil.net_connections("inet")
    )


def _rules(house: House) -> Iterator[Missing]:
    if shutil.which("nft") is None:
        yield Missing("there is no nft", "install nftables")
        return
    found = _run("nft", "list", "table", "inet", TABLE)
    advice = "tandem lan nft --lan INTERFACE > tandem.nft; nft -f tandem.nft"
    if found is None:
        yield Missing(f"table inet {TABLE} is not loaded, or this user may not see it", advice)
        return
    for name in house.interfaces:
        if f'"{name}"' not in found:
            yield Missing(f"the ruleset does not name {name}", advice)
    wanted = f"tproxy ip to :{house.port}" if house.takes_datagrams else f"redirect to :{house.port}"
    if wanted not in found:
        yield Missing(f"the ruleset has no `{wanted}`", advice)
    if house.names_port is not None and f"redirect to :{house.names_port}" not in found:
        yield Missing(f"the ruleset sends no name queries to port {house.names_port}", advice)


def _routes(house: House) -> Iterator[Missing]:
    if not house.takes_datagrams:
        return
    for family in ("-4", "-6"):
        if family == "-6" and not Path("/proc/net/if_inet6").exists():
            continue
        rules = cast("list[dict[str, Any]]", json.loads(_run("ip", "-j", family, "rule", "show") or "[]"))
        if not any(str(rule.get("fwmark")) == f"{MARK:#x}" for rule in rules):
            yield Missing(
                f"IPv{family[1]}: marked packets are not looked up in table {ROUTES}",
                f"ip {family} rule add fwmark {MARK:#x} lookup {ROUTES}",
            )
        if "local" not in (_run("ip", family, "route", "show", "table", str(ROUTES)) or ""):
            yield Missing(
                f"IPv{family[1]}: table {ROUTES} does not lead to this machine",
                f"ip {family} route add local default dev lo table {ROUTES}",
            )


def _run(*command: str) -> str | None:
    """What a command prints, None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
