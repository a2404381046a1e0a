"""A TCP listener with a limit of accepted connections; beyond it, connections wait in the kernel."""

import asyncio
import errno
import logging
import socket
import sys
import time
from collections.abc import Callable

from tandem_socks.tcp.connection import TcpConnection, reset_socket

log = logging.getLogger("tandem.socks")

MAX_CONNECTIONS = 240 if sys.platform == "win32" else 4096
"""Limit of open connections that one listener has accepted. On Windows, `select` fails beyond 512 sockets, and each
connection may need a second one."""

_BACKLOG = 1024
_RETRY_AFTER = 0.5
"""Seconds to pause accepting after the process or the system ran out of descriptors or memory."""

_COMPLAIN_EVERY = 60.0
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Listener:
    """Accepts connections while there are fewer than the limit, and hands them on."""

    def __init__(
        self,
        on_connection: Callable[[TcpConnection], None],
        *,
        admits: Callable[[str], bool] | None = None,
        limit: int = MAX_CONNECTIONS,
        reuse_port: bool = False,
        prepare: Callable[[socket.socket], None] | None = None,
    ) -> None:
        """`admits` tells from an address whether that client may connect; other connections are reset.

        `reuse_port`: other processes may listen on the same port. `prepare` gets each socket before it is bound.
        """
        self._on_connection = on_connection
        self._admits = admits
        self._reuse_port, self._prepare = reuse_port, prepare
        self._free = asyncio.Semaphore(limit)
        self._places = limit
        self._sockets: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._complained_at = float("-inf")

    @property
    def port(self) -> int:
        """The port number that it listens on."""
        return int(self._sockets[0].getsockname()[1])

    async def listen(self, host: str, port: int) -> None:
        """Listens on all addresses of a host name. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((item[0], item[4]) for item in found):
            self._sockets.append(_open(family, address, self._prepare, reuse_port=self._reuse_port))
        self._tasks = [loop.create_task(self._accept(sock)) for sock in self._sockets]

    async def close(self) -> None:
        """Stops accepting; accepted connections stay open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        self._tasks = []

    def release(self) -> None:
        """Frees the place of an accepted connection that is over."""
        self._places += 1
        self._free.release()

    @property
    def free_places(self) -> int:
        """How many more connections it accepts before others end."""
        return self._places

    async def _accept(self, sock: socket.socket) -> None:
        while True:
            await self._free.acquire()
            if await self._accept_one(sock):
                self._places -= 1
            else:
                self._free.release()

    async def _accept_one(self, listening: socket.socket) -> bool:
        """Accepts one connection; tells whether it was handed on."""
        loop = asyncio.get_running_loop()
        try:
            accepted, address = await loop.sock_accept(listening)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._complain(error)
                await asyncio.sleep(_RETRY_AFTER)
            return False
        if self._admits is not None and not self._admits(address[0]):
            log.warning("%s is not let in (allow_from)", address[0])
            reset_socket(accepted)
            accepted.close()
            return False
        try:
            await loop.connect_accepted_socket(lambda: TcpConnection(self._on_connection), accepted)
        except OSError:  # the peer is gone already
            accepted.close()
            return False
        return True

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAIN_EVERY:
            self._complained_at = now
            log.error("%s: new connections wait; `ulimit -n` tells the limit", error.strerror)


def _open(
    family: int,
    address: tuple[str | int, ...] | tuple[int, bytes],
    prepare: Callable[[socket.socket], None] | None,
    *,
    reuse_port: bool,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if sys.platform != "win32":  # there it would let two processes share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            if sys.platform == "win32":
                raise OSError(errno.ENOPROTOOPT, "this system cannot share a port among processes")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if prepare is not None:
            prepare(sock)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
