"""A TCP connection that holds nothing back: it reads what it is asked for, and waits for what it wrote.

asyncio's streams read up to 256 KB ahead on each connection, wanted or not. With two thousand
connections whose senders do not stop that is half a gigabyte; here it is nothing.
"""

import asyncio
import contextlib
import socket
import struct
import weakref
from collections.abc import Callable
from typing import cast

READ_LIMIT = 64 << 10
"""Most bytes that one read returns."""

_EARLY_LIMIT = 512

_BUFFER = memoryview(bytearray(READ_LIMIT))
"""Where bytes land that come from the kernel, of all connections: each takes its own before the next lands."""

_NEVER_SENT = struct.pack("ii", 1, 0)

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 6}
"""A peer that is gone without a word is noticed within three minutes, with no limit on how long one is silent."""

_LOOK_INTERVAL = 1.0
"""Seconds between two looks at connections that nobody reads from."""

_TCP_CLOSE = 7
"""Linux's state of a socket whose connection is no more (tcpi_state)."""


class TcpConnection(asyncio.BufferedProtocol):
    """Both directions of one connection; one task may read while another one writes.

    Made as a protocol: by `loop.create_server` with `on_made`, or by `loop.create_connection`.
    """

    def __init__(self, on_made: "Callable[[TcpConnection], None] | None" = None) -> None:
        self._on_made = on_made
        self._transport: asyncio.Transport
        self._limit = _EARLY_LIMIT
        self._early = b""
        """What arrived while nobody read: uvloop begins to read before it can be told not to."""
        self._reading: asyncio.Future[bytes] | None = None
        self._is_ended = self._is_lost = False
        self._error: Exception | None = None
        self._is_finished = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self.on_lost: Callable[[], None] | None = None
        """Called once when the other side resets it, also while nobody reads or writes."""

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
                self._early = reading.result() + self._early  # it came at the moment at which nobody wanted it
            raise
        finally:
            self._reading, self._limit = None, _EARLY_LIMIT
            self._pause()

    async def write(self, data: bytes) -> None:
        """Returns once the kernel has all of it. Raises OSError."""
        self._check_writable()
        if data:
            self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            self._check_writable()

    @property
    def unsent(self) -> int:
        """Bytes that `write` still waits for the kernel to take."""
        return self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        """Ends our direction."""
        self._is_finished = True
        if not self._is_lost and not self._transport.is_closing():
            self._transport.write_eof()

    async def close(self) -> None:
        """Closes it; what was written still arrives."""
        self.on_lost = None
        self._transport.close()
        await self._lost.wait()

    def reset(self) -> None:
        """Ends it with a RST instead of a FIN; does nothing to one that is over."""
        self.on_lost = None
        if self._is_lost:
            return
        reset_socket(cast("socket.socket", self._transport.get_extra_info("socket")))
        self._transport.abort()

    @property
    def is_lost(self) -> bool:
        """Nothing can be read or written any more."""
        return self._is_lost

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of our end."""
        return _host_port(self._transport.get_extra_info("sockname"))

    @property
    def peer_address(self) -> tuple[str, int]:
        """Host and port of the other end."""
        return _host_port(self._transport.get_extra_info("peername"))

    def look(self) -> None:
        """A reset is news to the event loop only while it reads; this asks the kernel (Linux)."""
        if self._reading is not None or self._is_lost or self._is_over or not hasattr(socket, "TCP_INFO"):
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
        return True  # the other direction goes on

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
        """Both sides have ended it, or we are about to."""
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
    """Looks at all connections of an event loop once a second: far cheaper than a timer for each."""

    def __init__(self) -> None:
        self._connections: set[TcpConnection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: TcpConnection) -> None:
        """It was made."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_INTERVAL, self._look)

    def remove(self, connection: TcpConnection) -> None:
        """It is lost."""
        self._connections.discard(connection)

    def _look(self) -> None:
        self._timer = None
        for connection in list(self._connections):
            connection.look()
        if self._connections:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_INTERVAL, self._look)


_watches: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch]" = weakref.WeakKeyDictionary()


def _watch() -> _Watch:
    """The one of the running loop."""
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch()
    return watch


def reset_socket(sock: socket.socket) -> None:
    """Makes its close a RST instead of a FIN; it may be closed already."""
    with contextlib.suppress(OSError, ValueError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NEVER_SENT)


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # a stream cannot carry an urgent byte beside the others
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _host_port(address: tuple[str, int] | tuple[str, int, int, int]) -> tuple[str, int]:
    return address[0], address[1]
