"""A TCP connection without read-ahead: it reads only on request, and waits until the kernel has what it wrote.

asyncio's streams read up to 256 KB ahead on each connection. With two thousand connections whose
senders do not stop, that is half a gigabyte; here it is nothing.
"""

import asyncio
import contextlib
import socket
import struct
import sys
import weakref
from collections.abc import Callable
from typing import cast

READ_LIMIT = 64 << 10
"""Maximum bytes that one read returns."""

_EARLY_LIMIT = 512

_BUFFER = memoryview(bytearray(READ_LIMIT))
"""The receive buffer of all connections: each copies its bytes out before the kernel delivers the next."""

_NEVER_SENT = struct.pack("ii", 1, 0)

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 6}
"""TCP keepalive options: a dead peer is detected within three minutes; an idle one may stay silent for ever."""

_LOOK_INTERVAL = 1.0
"""Seconds between two checks of the connections that nobody reads from."""

_TCP_CLOSE = 7
"""Linux's TCP state (tcpi_state) of a closed connection."""


class TcpConnection(asyncio.BufferedProtocol):
    """Both directions of one connection; one task may read while another writes.

    Created as an asyncio protocol: by `loop.create_server` with `on_made`, or by `loop.create_connection`.
    """

    def __init__(self, on_made: "Callable[[TcpConnection], None] | None" = None) -> None:
        self._on_made = on_made
        self._transport: asyncio.Transport
        self._limit = _EARLY_LIMIT
        self._early = b""
        """Bytes that arrived while nobody read: uvloop starts to read before it can be paused."""
        self._reading: asyncio.Future[bytes] | None = None
        self._is_ended = self._is_lost = False
        self._error: Exception | None = None
        self._is_finished = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self.on_lost: Callable[[], None] | None = None
        """Called once when the other side resets the connection, even while nobody reads or writes."""

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """Some bytes, at most `limit`; b"" at the end of data. Raises OSError."""
        if self._error is not None:
            raise self._error
        if self._early:
            data, self._early = self._early[:limit], self._early[limit:]
            return data
        if self._is_ended or self._is_lost:
            return b""
        self._limit = min(limit, READ_LIMIT)
        self._reading = asyncio.get_running_loop().create_future()
        self._transport.resume_reading()
        reading = self._reading
        try:
            return await reading
        except asyncio.CancelledError:
            if reading.done() and not reading.cancelled() and reading.exception() is None:
                self._early = reading.result() + self._early  # it arrived just as the reader was cancelled
            raise
        finally:
            self._reading, self._limit = None, _EARLY_LIMIT
            self._pause()

    async def write(self, data: bytes) -> None:
        """Writes bytes; returns when the kernel has all of them. Raises OSError."""
        self._check_writable()
        if data:
            self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            self._check_writable()

    @property
    def unsent(self) -> int:
        """Number of bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        """Ends this side's direction (sends a FIN)."""
        self._is_finished = True
        if not self._is_lost and not self._transport.is_closing():
            self._transport.write_eof()

    async def close(self) -> None:
        """Closes the connection; written bytes are still delivered."""
        self.on_lost = None
        self._transport.close()
        await self._lost.wait()

    def reset(self) -> None:
        """Ends the connection with a RST instead of a FIN; does nothing if it is lost already."""
        self.on_lost = None
        if self._is_lost:
            return
        reset_socket(cast("socket.socket", self._transport.get_extra_info("socket")))
        self._transport.abort()

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed or lost: nothing can be read or written any more."""
        return self._is_lost

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of this end."""
        return _host_port(self._transport.get_extra_info("sockname"))

    @property
    def peer_address(self) -> tuple[str, int]:
        """Host and port of the other end."""
        return _host_port(self._transport.get_extra_info("peername"))

    @property
    def socket(self) -> socket.socket:
        """The socket, for questions about it."""
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    def look(self) -> None:
        """Asks the kernel (Linux) whether the peer has reset: the event loop notices that only while it reads."""
        if sys.platform != "linux" or self._reading is not None or self._is_lost or self._is_over:
            return
        sock = cast("socket.socket", self._transport.get_extra_info("socket"))
        with contextlib.suppress(OSError, ValueError):  # it may be closed already
            if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
                self._error = ConnectionResetError("reset while nobody read from it")
                self._transport.abort()

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._transport.pause_reading()
        with contextlib.suppress(OSError):
            _set_options(cast("socket.socket", self._transport.get_extra_info("socket")))
        _watch().add(self)
        if self._on_made is not None:
            self._on_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER[: self._limit]

    def buffer_updated(self, nbytes: int) -> None:
        self._transport.pause_reading()
        data = bytes(_BUFFER[:nbytes])
        if not self._finish_read(data):
            self._early += data

    def eof_received(self) -> bool:
        self._is_ended = True
        self._finish_read(b"")
        return True  # the other direction stays open

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._error = True, self._error or exc
        _watch().remove(self)
        if self._reading is not None and not self._reading.done():
            if exc is not None:
                self._reading.set_exception(exc)
            else:
                self._reading.set_result(b"")
        self._writable.set()
        self._lost.set()
        if self._error is not None and self.on_lost is not None:
            self.on_lost()

    # --- inside ---

    @property
    def _is_over(self) -> bool:
        """Whether both sides have ended, or this side is closing."""
        return (self._is_finished and self._is_ended) or self._transport.is_closing()

    def _finish_read(self, data: bytes) -> bool:
        if self._reading is None or self._reading.done():
            return False
        self._reading.set_result(data)
        return True

    def _pause(self) -> None:
        if not self._is_lost and not self._transport.is_closing():
            self._transport.pause_reading()

    def _check_writable(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_lost or self._transport.is_closing():
            raise ConnectionAbortedError("the connection is closed")


class _Watch:
    """Checks all connections of an event loop once a second, which is far cheaper than a timer for each."""

    def __init__(self) -> None:
        self._connections: set[TcpConnection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: TcpConnection) -> None:
        """Adds a new connection."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_INTERVAL, self._look)

    def remove(self, connection: TcpConnection) -> None:
        """Removes a lost connection."""
        self._connections.discard(connection)

    def _look(self) -> None:
        self._timer = None
        for connection in list(self._connections):
            connection.look()
        if self._connections:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_INTERVAL, self._look)


_watches: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch]" = weakref.WeakKeyDictionary()


def _watch() -> _Watch:
    """The watch of the running event loop."""
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch()
    return watch


def reset_socket(sock: socket.socket) -> None:
    """Makes the close of a socket send a RST instead of a FIN; the socket may be closed already."""
    with contextlib.suppress(OSError, ValueError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NEVER_SENT)


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # a relay cannot carry an urgent byte out of band
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _host_port(address: tuple[str, int] | tuple[str, int, int, int]) -> tuple[str, int]:
    return address[0], address[1]
