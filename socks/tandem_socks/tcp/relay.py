"""Carries bytes both ways between a TCP connection and a far stream, until both have ended.

An end of data is passed on as an end of data, a reset as a reset, and whoever reads slowly
slows whoever writes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tandem_socks.far_side import ByteStream
from tandem_socks.tcp.connection import TcpConnection

_FIRST_READ = 4096
"""Bytes that a connection reads at first; one that has more to say reads four times as much the next time."""

HALF_CLOSE_LINGER = 30.0
"""Seconds of silence after which a connection is given up that has passed its end of data on, but got none back."""


Read = Callable[[int], Awaitable[bytes]]
"""Reads at most so many bytes; b"" at the end of data. Raises OSError."""


@dataclass(slots=True)
class RelayResult:
    """What one connection has carried."""

    bytes_to_stream: int = 0
    bytes_to_tcp: int = 0
    ended_by: str = "both ends"


class Relay:
    """One TCP connection and its far stream."""

    def __init__(
        self,
        tcp: TcpConnection,
        stream: ByteStream,
        *,
        read: Read | None = None,
        idle_timeout: float = 0.0,
        keeps_open: Callable[[], bool] = lambda: False,
    ) -> None:
        """`read` takes the place of the connection's own; a silence of `idle_timeout` seconds ends it, 0 for never.

        `keeps_open`: whether the connection goes on to something else when the stream has ended.
        """
        self._tcp, self._stream = tcp, stream
        self._read = read or tcp.read
        self._idle_timeout = idle_timeout
        self._keeps_open = keeps_open
        self._result = RelayResult()
        self._is_over = False
        self._goes_on = False
        """The stream has ended, and the connection has not: decided once, when the last of the stream has passed."""

    @property
    def result(self) -> RelayResult:
        """What it has carried until now; kept up to date."""
        return self._result

    @property
    def goes_on(self) -> bool:
        """Whether the connection is still open after `run`, for something else."""
        return self._goes_on

    async def run(self, *, already_sent: int = 0) -> RelayResult:
        """`already_sent` bytes of the TCP side went ahead.

        Returns when both directions are over and the connection is closed, or, where it goes on to something
        else, when the stream has ended.
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
                # What was sent may still be under way or unread for minutes. Only the far end can tell when its
                # reader has the whole of it; that end gives up, and we hear of it as a reset.
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
        """Until one direction is over, or nothing has moved for too long."""
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
        """Waits for what the TCP side still has to say; gives it up when nothing comes for long.

        Its own end stays: a reset would take from it what it has not read yet.
        """
        while not uplink.done():
            before = self._progress()
            await asyncio.wait({uplink}, timeout=HALF_CLOSE_LINGER)
            if not uplink.done() and self._progress() == before and not self._stream.is_suspended:
                self._is_over, self._result.ended_by = True, "silence after a half-close"
                self._stream.reset()
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

    def _who(self, error: OSError) -> str:
        return "far side: reset" if self._stream.is_reset else f"near side: {error.strerror or error}"
