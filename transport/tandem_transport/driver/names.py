"""The addresses of the server's names. All links share one look-up of a name, so that a name server that does not
answer blocks neither the links that need no name nor the few threads that the system's resolver gets."""

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
"""Seconds that a link waits for the answer to a look-up. The look-up goes on, and its answer is used later."""

_LOOKUP_TIMEOUT_KNOWN = 1.0
"""The same where an earlier answer is known."""

LookUp = Callable[[str], Awaitable[list[UdpAddress]]]
"""Finds all addresses of a host, with any port. Raises OSError."""


async def ask_system(host: str) -> list[UdpAddress]:
    """What the system's resolver says, in its order. Raises OSError."""
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
        """When each look-up that is under way began, by the loop's clock, and the look-up."""
        self._known: dict[str, list[UdpAddress]] = {}

    async def addresses(self, host: str, port: int) -> list[UdpAddress]:
        """All addresses of an endpoint; the last answer where there is no new one. Raises OSError."""
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
        """Waits for the look-up of a name, which others may have begun. Raises OSError or TimeoutError."""
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
    """Whether it is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _literal(host: str, port: int) -> list[UdpAddress]:
    """Asks no name server and waits for no thread. Raises OSError for a scope that does not exist."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    return [cast("UdpAddress", address) for *_, address in found]


def _with_port(address: UdpAddress, port: int) -> UdpAddress:
    return (address[0], port) if len(address) == 2 else (address[0], port, address[2], address[3])
