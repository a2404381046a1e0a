"""Looks up the addresses of the server's names. All links share one look-up of a name, so that a name server that does
not answer blocks neither the links that need no name nor the few threads of the system's resolver."""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from tandem_transport.driver.sockets import UdpAddress

log = logging.getLogger("tandem.client")

_LOOKUP_TIMEOUT = 5.0
"""Seconds that a link waits for a look-up of a name. Afterwards the look-up continues, and its answer is used later."""

_LOOKUP_TIMEOUT_KNOWN = 1.0
"""Seconds that a link waits for a look-up of a name with a known earlier answer."""

LookUp = Callable[[str], Awaitable[list[UdpAddress]]]
"""Finds all addresses of a host, with any port. Raises OSError."""


async def ask_system(host: str) -> list[UdpAddress]:
    """The addresses that the system's resolver finds, in its order. Raises OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "it is no name") from error
    return [cast("UdpAddress", address) for *_, address in found]


class Names:
    """Looks names up, and remembers the last answers."""

    def __init__(self, look_up: LookUp = ask_system) -> None:
        self._look_up = look_up
        self._running: dict[str, tuple[float, asyncio.Task[list[UdpAddress]]]] = {}
        """The look-ups that are running, by host: when each began, by the loop's clock, and its task."""
        self._known: dict[str, list[UdpAddress]] = {}

    async def addresses(self, host: str, port: int) -> list[UdpAddress]:
        """All addresses of an endpoint; the last known ones where there is no new answer. Raises OSError."""
        if is_literal(host):
            return _literal(host, port)
        try:
            found = await self._ask(host)
        except (OSError, TimeoutError) as error:
            text = getattr(error, "strerror", None) or "no answer from the name server"
            if host not in self._known:
                raise OSError(errno.EHOSTUNREACH, f"cannot resolve {host}: {text}") from error
            log.debug("cannot resolve %s: %s; its last addresses are used", host, text)
            found = self._known[host]
        return [_with_port(address, port) for address in found]

    async def _ask(self, host: str) -> list[UdpAddress]:
        """Waits for the look-up of a name, which another link may have begun. Raises OSError or TimeoutError."""
        if host not in self._running:
            self._begin(host)
        began, task = self._running[host]
        timeout = _LOOKUP_TIMEOUT_KNOWN if host in self._known else _LOOKUP_TIMEOUT
        async with asyncio.timeout_at(began + timeout):
            return await asyncio.shield(task)

    def _begin(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._find(host))
        self._running[host] = (loop.time(), task)
        task.add_done_callback(lambda done: self._on_done(host, done))

    async def _find(self, host: str) -> list[UdpAddress]:
        return await self._look_up(host)

    def _on_done(self, host: str, task: asyncio.Task[list[UdpAddress]]) -> None:
        del self._running[host]
        if not task.cancelled() and task.exception() is None:
            self._known[host] = task.result()


def is_literal(host: str) -> bool:
    """Whether `host` is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _literal(host: str, port: int) -> list[UdpAddress]:
    """The address of a literal host, without a name server or a thread. Raises OSError for an unknown IPv6 scope."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    return [cast("UdpAddress", address) for *_, address in found]


def _with_port(address: UdpAddress, port: int) -> UdpAddress:
    return (address[0], port) if len(address) == 2 else (address[0], port, address[2], address[3])
