"""A TCP connection as the stream to a far side, for what does not go through a session."""

import asyncio
from collections.abc import Callable

from tandem_socks import FarReset, TcpConnection

HALF_CLOSE_LINGER = 30.0
"""Seconds of silence after which a target is given up that got an end of data, but sends none back."""

_ROOM = 64 << 10
"""Bytes that a write may have; it returns when the kernel has them."""


class TcpStream:
    """A `ByteStream` of tandem_socks. The connection is closed when both directions have ended."""

    def __init__(self, tcp: TcpConnection, carried: Callable[[int], None]) -> None:
        """`carried` counts the bytes in both directions, and raises OSError where no more may pass."""
        self._tcp, self._carried = tcp, carried
        self._is_read_over = self._is_finished = self._is_reset = False
        self._reads = 0
        """Number of reads that have begun."""
        self._is_reading = False
        self._closing: asyncio.Task[None] | None = None
        self._lingering: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        self._reads += 1
        self._is_reading = True
        try:
            data = await self._tcp.read()
            self._carried(len(data))
        except OSError as error:
            raise self._reset_by(error) from error
        finally:
            self._is_reading = False
        if self._is_reset:
            raise FarReset("reset")
        if not data:
            self._is_read_over = True
            self._close_if_over()
        return data

    async def write(self, data: bytes) -> None:
        try:
            self._carried(len(data))
            await self._tcp.write(data)
        except OSError as error:
            raise self._reset_by(error) from error

    async def room(self) -> int:
        return _ROOM

    def finish(self) -> None:
        self._is_finished = True
        try:
            self._tcp.write_eof()
        except OSError:  # the target has reset, and nobody has read that yet
            self.reset()
        else:
            self._lingering = asyncio.get_running_loop().create_task(self._linger())
            self._close_if_over()

    def reset(self) -> None:
        self._is_reset = True
        self._tcp.reset()
        self._end_lingering()

    def watch_reset(self, callback: Callable[[], None]) -> None:
        def on_lost() -> None:
            self._is_reset = True
            callback()

        self._tcp.on_lost = on_lost

    @property
    def is_reset(self) -> bool:
        return self._is_reset

    @property
    def is_suspended(self) -> bool:
        return False

    def _reset_by(self, error: OSError) -> FarReset:
        self._is_reset = True
        self._end_lingering()
        return FarReset(error.strerror or str(error))

    async def _linger(self) -> None:
        """Resets a target that is silent after our end of data, while somebody waits for what it says."""
        while True:
            before = self._reads, self._tcp.unsent, self._is_reading
            await asyncio.sleep(HALF_CLOSE_LINGER)
            if self._tcp.is_lost:
                return
            if self._is_reading and before == (self._reads, self._tcp.unsent, True):
                self._is_reset = True
                self._tcp.reset()
                return

    def _end_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()

    def _close_if_over(self) -> None:
        if self._is_read_over and self._is_finished and self._closing is None:
            self._end_lingering()
            self._closing = asyncio.get_running_loop().create_task(self._tcp.close())
