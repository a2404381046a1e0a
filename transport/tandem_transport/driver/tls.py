"""TLS over a TCP connection, with as little as possible waiting at this end.

An asyncio transport keeps 64 KB and more in buffers of its own. Here what the kernel does not take at once is kept
until it does, and `is_full` says so meanwhile; the kernel itself takes no more than it can send soon.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable

from tandem_transport.driver.framing import framed

UNSENT = 4 << 10
"""Bytes that the kernel takes before it has sent what it has (TCP_NOTSENT_LOWAT)."""

MAX_WAITING = 512 << 10
"""Bytes that wait for the kernel from which on datagrams are dropped; a path stops long before."""

_READ = 256 << 10
_PLAIN = 64 << 10
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_CONGESTION = getattr(socket, "TCP_CONGESTION", 13)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)
_LOSS_INTERVAL = 0.3
"""Seconds between two looks at what was sent again."""

_MIN_RESENT = 2
_BAD_LOOKS = 3
"""So many looks in a row with losses: one burst of them says nothing, for a full queue loses one, too."""

_LOSSY = 0.003
"""Share of segments that are sent again from which on a connection counts as lossy."""

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
        self._is_closed = self._is_receiving = False
        self.on_room: Callable[[bool], None] | None = None
        """Called with whether bytes wait, each time when that changes."""
        _set_options(sock)
        self._loss = LossWatch(sock)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closed

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken."""
        return len(self._waiting)

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
        if not self._is_closed:
            self._loss.look(time.monotonic())

    def send(self, batch: list[bytes]) -> None:
        """Sends datagrams, each with its length before it; drops them where too much waits already."""
        if len(self._waiting) < MAX_WAITING:
            self.write(framed(batch))

    def close(self) -> None:
        """Closes the connection; what waits is lost."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._writing is not None:
            self._writing.cancel()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # whoever waits for the socket comes back
        self._close_socket()

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

    def _close_socket(self) -> None:
        """Closes the socket, unless the event loop watches it: another one could get its descriptor meanwhile."""
        if not self._is_receiving and self._writing is None:
            self._sock.close()

    async def _receive(self) -> None:
        if self._is_closed:
            raise ConnectionAbortedError("the connection is closed")
        self._is_receiving = True
        try:
            data = await asyncio.get_running_loop().sock_recv(self._sock, _READ)
        finally:
            self._is_receiving = False
            if self._is_closed:
                self._close_socket()
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
            self._begin_writing()

    def _begin_writing(self) -> None:
        self._writing = asyncio.create_task(self._write_waiting())
        self._writing.add_done_callback(self._on_written)

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while self._waiting:
                data, self._waiting = self._waiting, bytearray()
                await loop.sock_sendall(self._sock, data)
            return
        self.close()

    def _on_written(self, _: "asyncio.Task[None]") -> None:
        """Nothing waits any more, or the connection is over."""
        self._writing = None
        if self._is_closed:
            self._close_socket()
        elif self._waiting:  # it came when the task had ended, but this was not called yet
            self._begin_writing()
        else:
            self._tell(is_full=False)

    def _tell(self, *, is_full: bool) -> None:
        if self.on_room is not None:
            self.on_room(is_full)


class LossWatch:
    """Chooses the congestion control of a connection, where the kernel has several and lets us.

    The path's own controller keeps the queue short. Below it CUBIC gets in nobody's way, as long as nothing is lost;
    where packets are lost by chance it becomes slow, and BBR does not. But BBR stops for 200 ms every ten seconds.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._looked_at = 0.0
        self._segments = self._resent = self._bad_looks = 0
        self._is_decided = not (_set_congestion(sock, b"cubic") or _set_congestion(sock, b"reno"))

    def look(self, now: float) -> None:
        """Counts what was sent again; to be called while data is sent."""
        if sys.platform != "linux" or self._is_decided or now - self._looked_at < _LOSS_INTERVAL:
            return
        self._looked_at = now
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 140)
        if len(info) < 140:
            self._is_decided = True
            return
        resent, segments = struct.unpack_from("=I", info, 100)[0], struct.unpack_from("=I", info, 136)[0]
        lost, sent = resent - self._resent, segments - self._segments
        self._resent, self._segments = resent, segments
        is_bad = lost >= _MIN_RESENT and lost > _LOSSY * sent
        self._bad_looks = self._bad_looks + 1 if is_bad else 0
        if self._bad_looks >= _BAD_LOOKS:
            self._is_decided = True
            _set_congestion(self._sock, b"bbr")


def _set_congestion(sock: socket.socket, name: bytes) -> bool:
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, _CONGESTION, name)
        return True
    return False


def _set_options(sock: socket.socket) -> None:
    """Options for a connection that carries packets: nothing waits for company, little waits in the kernel."""
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (_NOTSENT_LOWAT, UNSENT),
        (_USER_TIMEOUT, _SILENCE),
    ):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
