"""Relays bytes in both directions between a TCP connection and a far stream, until both have ended.

An end of data is passed on as an end of data, a reset as a reset, and a slow reader slows down
its writer (backpressure).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tandem_socks.far_side import ByteStream
from tandem_socks.tcp.connection import TcpConnection

_FIRST_READ = 4096
"""Size in bytes of the first read; the next one is four times the bytes received (but not below this size)."""

HALF_CLOSE_LINGER = 30.0
"""Seconds of silence after which a relay gives up a TCP side that got an end of data, but sends none back."""


Read = Callable[[int], Awaitable[bytes]]
"""Reads at most a given number of bytes; b"" at the end of data. Raises OSError."""


@dataclass(slots=True)
class RelayResult:
    """How many bytes one relay has carried, and what ended it."""

    bytes_to_stream: int = 0
    bytes_to_tcp: int = 0
    ended_by: str = "both ends"


class Relay:
    """Relays between one TCP connection and its far stream."""

    def __init__(
        self,
        tcp: TcpConnection,
        stream: ByteStream,
        *,
        read: Read | None = None,
        idle_timeout: float = 0.0,
        keeps_open: Callable[[], bool] = lambda: False,
    ) -> None:
        """`read` replaces the connection's own; a silence of `idle_timeout` seconds ends the relay, 0 for never.

        `keeps_open`: whether the TCP connection stays open for another use when the stream has ended.
        """
        self._tcp, self._stream = tcp, stream
        self._read = read or tcp.read
        self._idle_timeout = idle_timeout
        self._keeps_open = keeps_open
        self._result = RelayResult()
        self._is_over = False
        self._goes_on = False
        """The stream has ended, but not the connection: decided when the last bytes of the stream have passed."""

    @property
    def result(self) -> RelayResult:
        """What the relay has carried so far; kept up to date."""
        return self._result

    @property
    def goes_on(self) -> bool:
        """Whether the connection stays open for another use after `run`."""
        return self._goes_on

    async def run(self, *, already_sent: int = 0) -> RelayResult:
        """Relays until both directions are over and the connection is closed.

        Where the connection stays open for another use, it returns when the stream has ended. `already_sent` bytes
        of the TCP side were sent before.
        """
        self._result.bytes_to_stream = already_sent
        self._stream.watch_reset(lambda: self._abort("far side: reset"))
        self._tcp.on_lost = lambda: self._abort("near side: reset")
        uplink = asyncio.create_task(self._tcp_to_stream())
        downlink = asyncio.create_task(self._stream_to_tcp())
        try:
            await self._wait_for_an_end(uplink, downlink)
            if not self._is_over and downlink.done() and not self._goes_on:
                await self._linger(uplink)
            elif not self._is_over and not downlink.done():
                # The bytes sent may be in flight or unread for minutes. Only the far end knows when its reader has
                # them all; if that end gives up, a reset arrives.
                await asyncio.wait({downlink})
        except asyncio.CancelledError:
            self._abort("shutdown")
            raise
        finally:
            for task in (uplink, downlink):
                task.cancel()
            await asyncio.gather(uplink, downlink, return_exceptions=True)
            self._tcp.on_lost = None
            if self._is_over or not self._goes_on:
                await self._tcp.close()
            self._is_over = True
        return self._result

    async def _tcp_to_stream(self) -> None:
        try:
            size = _FIRST_READ
            while data := await self._read(min(await self._stream.room(), size)):
                await self._stream.write(data)
                self._result.bytes_to_stream += len(data)
                size = max(_FIRST_READ, 4 * len(data))
            self._stream.finish()
        except OSError as error:
            self._abort(self._who(error))

    async def _stream_to_tcp(self) -> None:
        try:
            while data := await self._stream.read():
                await self._tcp.write(data)
                self._result.bytes_to_tcp += len(data)
            self._goes_on = self._keeps_open()
            if not self._goes_on:
                self._tcp.write_eof()
        except OSError as error:
            self._abort(self._who(error))

    async def _wait_for_an_end(self, *directions: "asyncio.Task[None]") -> None:
        """Waits until one direction is over, or nothing has moved for `idle_timeout`."""
        before, done = self._progress(), set[asyncio.Task[None]]()
        while not done:
            done, _ = await asyncio.wait(
                directions, timeout=self._idle_timeout or None, return_when=asyncio.FIRST_COMPLETED
            )
            if not done and self._progress() == before and not self._stream.is_suspended:
                self._abort("idle for too long")
                return
            before = self._progress()

    async def _linger(self, uplink: "asyncio.Task[None]") -> None:
        """Waits for the rest of the TCP side's data; gives up after a long silence.

        It resets only the stream: resetting the TCP connection would discard what its peer has not read yet.
        """
        while not uplink.done():
            before = self._progress()
            await asyncio.wait({uplink}, timeout=HALF_CLOSE_LINGER)
            if not uplink.done() and self._progress() == before and not self._stream.is_suspended:
                self._is_over, self._result.ended_by = True, "silence after a half-close"
                self._stream.reset()
                return

    def _progress(self) -> tuple[int, int, int]:
        """Changes whenever bytes move; `unsent` shows a slow reader that takes a large chunk bit by bit."""
        return self._result.bytes_to_stream, self._result.bytes_to_tcp, self._tcp.unsent

    def _abort(self, ended_by: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._result.ended_by = ended_by
        self._stream.reset()
        self._tcp.reset()

    def _who(self, error: OSError) -> str:
        return "far side: reset" if self._stream.is_reset else f"near side: {error.strerror or error}"
