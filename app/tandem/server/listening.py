"""The addresses on which a server listens, which change with those of its machine."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from tandem.base.addresses import WILDCARDS, expand_wildcards, format_host_port
from tandem.base.errors import TandemError, os_error_text
from tandem.base.waking import until_multiple

log = logging.getLogger("tandem.server")

_SCAN_INTERVAL = 10.0
"""Seconds between two scans of this machine's addresses."""

HostPort = tuple[str, int]


def cannot_listen(host: str, port: int, error: OSError) -> TandemError:
    """The error of a configured address that cannot be listened on."""
    hint = "is another Tandem running? --listen HOST:PORT takes an address of this machine, and a free port"
    return TandemError(f"udp {format_host_port(host, port)}: {os_error_text(error)}", hint)


def cannot_listen_tls(host: str, port: int, error: OSError) -> TandemError:
    """The error of an address for TLS that cannot be listened on."""
    hint = "a port below 1024 needs CAP_NET_BIND_SERVICE; a web server on it can pass TCP on to another port"
    return TandemError(f"tls {format_host_port(host, port)}: {os_error_text(error)}", hint)


async def follow_addresses(listen: list[HostPort], apply: Callable[[list[HostPort]], Awaitable[None]]) -> None:
    """Applies the addresses that wildcards stand for, again and again, until it is cancelled; returns where none is."""
    while any(host in WILDCARDS for host, _ in listen):
        await asyncio.sleep(until_multiple(_SCAN_INTERVAL))
        try:
            with contextlib.suppress(OSError):  # an address that is not ready yet; the next scan tries again
                await apply(expand_wildcards(listen))
        except Exception:  # any error: the loop must go on
            log.exception("looking at this machine's addresses has failed")
