"""Carries bytes both ways between a TCP connection and a far stream, until both have ended.

An end of data is passed on as an end of data, a reset as a reset, and whoever reads slowly
slows whoever writes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tandem_socks.tcp import TcpConnection

_FIRST_READ = 4096
"""Bytes that a connection reads at first; one that has more to say reads four times as much the next time."""

HALF_CLOSE_LINGER = 30.0
"""Seconds without data after which a connection that is half closed is given up."""


class ByteStream(Protocol):
    """The far side. `read` and `write` raise ConnectionError once it is reset."""

    async def read(self) -> bytes:
        """Some bytes; b"" at the end of data. What the last call returned has been passed on."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once there is room for more."""
        ...

    async def room(self) -> int:
        """Bytes that it takes now, at least one; waits where it takes none."""
        ...

    def finish(self) -> None:
        """Passes on an end of data."""
        ...

    def reset(self) -> None:
        """Gives up both directions."""
        ...

    def watch_reset(self, callback: Callable[[], None]) -> None:
        """`callback` is called once when the far side is reset, whoever reads or writes then."""
        ...

    @property
    def is_held(self) -> bool:
        """The far side is out of reach for a while: its silence means nothing."""
        ...


@dataclass(slots=True)
class RelayResult:
    """What one connection has carried."""

    bytes_to_stream: int = 0
    bytes_to_tcp: int = 0
    ended_by: str = "both ends"


class Relay:
    """One TCP connection and its far stream."""

    def __init__(self, tcp: TcpConnection, stream: ByteStream) -> None:
        self._tcp, self._stream = tcp, stream
        self._result = RelayResult()
        self._is_over = False

    async def run(self, *, already_sent: int = 0) -> RelayResult:
        """`already_sent` bytes of the TCP side went ahead. Returns when both directions are over."""
        self._result.bytes_to_stream = already_sent
        self._stream.watch_reset(lambda: self._abort("far side: reset"))
        uplink = asyncio.create_task(self._tcp_to_stream())
        downlink = asyncio.create_task(self._stream_to_tcp())
        try:
            await asyncio.wait({uplink, downlink}, return_when=asyncio.FIRST_COMPLETED)
            if not self._is_over:
                await self._linger(uplink if downlink.done() else downlink)
        except asyncio.CancelledError:
            self._abort("shutdown")
            raise
        finally:
            for task in (uplink, downlink):
                task.cancel()
            await asyncio.gather(uplink, downlink, return_exceptions=True)
            await self._tcp.close()
        return self._result

    async def _tcp_to_stream(self) -> None:
        try:
            size = _FIRST_READ
            while data := await self._tcp.read(min(await self._stream.room(), size)):
                await self._stream.write(data)
                self._result.bytes_to_stream += len(data)
                size = max(_FIRST_READ, 4 * len(data))
            self._stream.finish()
        except OSError as error:
            self._abort(_who(error))

    async def _stream_to_tcp(self) -> None:
        try:
            while data := await self._stream.read():
                await self._tcp.write(data)
                self._result.bytes_to_tcp += len(data)
            self._tcp.write_eof()
        except OSError as error:
            self._abort(_who(error))

    async def _linger(self, remaining: "asyncio.Task[None]") -> None:
        """Waits for the other direction; gives it up when nothing comes for long."""
        while not remaining.done():
            before = self._progress()
            await asyncio.wait({remaining}, timeout=HALF_CLOSE_LINGER)
            if not remaining.done() and self._progress() == before and not self._stream.is_held:
                self._abort("silence after a half-close")
                return

    def _progress(self) -> tuple[int, int, int]:
        """Changes whenever anything moves; a slow reader takes a large piece little by little."""
        return self._result.bytes_to_stream, self._result.bytes_to_tcp, self._tcp.unsent

    def _abort(self, ended_by: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._result.ended_by = ended_by
        self._stream.reset()
        self._tcp.reset()


def _who(error: OSError) -> str:
    return "far side: reset" if isinstance(error, FarReset) else f"near side: {error.strerror or error}"


class FarReset(ConnectionResetError):
    """Raised by a `ByteStream` whose far end was reset."""
