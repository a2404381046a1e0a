"""TLS over a TCP connection, with as little as possible waiting at this end.

An asyncio transport keeps 64 KB and more in buffers of its own. Here what the kernel does not take at once is kept
until it does, and `is_full` says so meanwhile; the kernel itself takes no more than it can send soon.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from tandem_transport.driver.framing import framed

UNSENT = 16 << 10
"""Bytes that the kernel takes before it has sent what it has (TCP_NOTSENT_LOWAT)."""

_READ = 256 << 10
_PLAIN = 64 << 10
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_CONGESTION = getattr(socket, "TCP_CONGESTION", 13)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)
_SILENCE = 15_000
"""Milliseconds for which sent bytes may stay unacknowledged before the connection is given up."""


def client_context() -> ssl.SSLContext:
    """A context that asks for no certificate. Noise authenticates, inside: who ends this TLS sees what UDP shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsPipe:
    """One connection, at either end. One task reads; anybody may write."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        is_server: bool,
        name: str | None = None,
        early: bytes = b"",
    ) -> None:
        """`sock` is connected and non-blocking. `name`: the server's name (SNI). `early`: bytes that were read before.

        Raises OSError where the socket is not connected any more.
        """
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(early)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server, server_hostname=name)
        self._waiting = bytearray()
        """Encrypted bytes that the kernel has not taken."""
        self._writing: asyncio.Task[None] | None = None
        self._is_closed = False
        self.on_room: Callable[[bool], None] | None = None
        """Called with whether bytes wait, each time when that changes."""
        set_options(sock)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closed

    async def handshake(self) -> None:
        """Agrees on keys. Raises OSError (an ssl.SSLError is one)."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                await self._receive()
            else:
                self._flush()
                return

    async def read(self) -> bytes:
        """Some bytes; b"" at the end. Raises OSError."""
        while True:
            try:
                return self._tls.read(_PLAIN)
            except ssl.SSLWantReadError:
                self._flush()  # TLS itself may have something to say
                await self._receive()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def write(self, data: bytes) -> None:
        """Sends bytes, as the kernel takes them. Does nothing on a connection that is over."""
        if self._is_closed:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self.close()
            return
        self._flush()

    def send(self, batch: list[bytes]) -> None:
        """Sends datagrams, each with its length before it."""
        self.write(framed(batch))

    def close(self) -> None:
        """Closes the connection; what waits is lost."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._writing is not None:
            self._writing.cancel()
        self._sock.close()

    async def finish(self, timeout: float) -> None:
        """Says that nothing follows, waits until the kernel has everything, and closes."""
        with contextlib.suppress(OSError, TimeoutError):
            self._tls.unwrap()
        with contextlib.suppress(OSError, TimeoutError):
            self._flush()
            async with asyncio.timeout(timeout):
                if self._writing is not None:
                    await self._writing
        self.close()

    # --- inside ---

    async def _receive(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self._sock, _READ)
        if not data:
            self._incoming.write_eof()
            raise ConnectionResetError("the other end has closed the connection")
        self._incoming.write(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if not data or self._is_closed:
            return
        if self._writing is not None:
            self._waiting += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._waiting += data[sent:]
            self._tell(is_full=True)
            self._writing = asyncio.create_task(self._write_waiting())

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                data, self._waiting = self._waiting, bytearray()
                await loop.sock_sendall(self._sock, data)
        except OSError:
            self.close()
        else:
            self._writing = None
            self._tell(is_full=False)

    def _tell(self, *, is_full: bool) -> None:
        if self.on_room is not None:
            self.on_room(is_full)


def set_options(sock: socket.socket) -> None:
    """Options for a connection that carries packets: nothing waits for company, little waits in the kernel.

    BBR, where the kernel has it and lets us, is not slowed down by random loss, and leaves the queue short.
    """
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (_NOTSENT_LOWAT, UNSENT),
        (_USER_TIMEOUT, _SILENCE),
    ):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, _CONGESTION, b"bbr")
