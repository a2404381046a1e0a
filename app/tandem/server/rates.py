"""The rate that the owner has set for a client: all its connections share it, in each direction."""

import asyncio
import time
from collections.abc import Callable

from tandem_transport import BoundedTable
from tandem_transport.driver import Stream

SMALL = 400
"""Bytes up to which a piece does not wait, because somebody waits for it; it is charged all the same."""

_MIN_PIECE = 1500
"""Fewest bytes that a connection takes at a time."""

_BURST = 0.1
"""Seconds of the rate that an idle client may use at once."""

_PIECE = 0.02
"""Seconds of the rate that one connection takes at a time, so that many of them take turns."""

_MAX_AHEAD = 1.0
"""Seconds of the rate that small pieces may be ahead; beyond that they wait, and datagrams are dropped."""

_MAX_CLIENTS = 65_536

Rate = Callable[[], int | None]
"""Returns the present rate in bytes per second, None for no limit."""


class Bucket:
    """A token bucket for one client and one direction. What is passed is charged, and those after it wait."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._debt = 0.0
        """Bytes that were passed and are not paid for yet; less than 0 is what may be used at once."""
        self._at = time.monotonic()

    @property
    def piece(self) -> int | None:
        """Most bytes that one connection should take at a time, None for no limit."""
        rate = self._rate()
        return None if rate is None else max(_MIN_PIECE, int(rate * _PIECE))

    def _ahead(self) -> float:
        """Seconds by which the client is ahead of its present rate, after what time has paid for."""
        rate, now = self._rate(), time.monotonic()
        if rate is None:
            self._debt, self._at = 0.0, now
            return 0.0
        self._debt = max(-rate * _BURST, self._debt - (now - self._at) * rate)
        self._at = now
        return max(0.0, self._debt / rate)

    def charge(self, size: int) -> float:
        """Charges for `size` bytes; returns the seconds by which the client was ahead of its rate before."""
        ahead = self._ahead()
        if self._rate() is not None:
            self._debt += size
        return ahead

    async def wait(self, size: int) -> None:
        """Charges for `size` bytes, and returns when they may pass."""
        ahead = self.charge(size)
        if ahead > (_MAX_AHEAD if size <= SMALL else 0.0):
            await asyncio.sleep(ahead)

    def admits(self, size: int) -> bool:
        """Whether a datagram may pass, which cannot wait; charges for it if so."""
        if self._ahead() > _MAX_AHEAD:
            return False
        self.charge(size)
        return True


class ClientRates:
    """The buckets of all clients, by name."""

    def __init__(self, rate_of: Callable[[str], int | None]) -> None:
        self._rate_of = rate_of
        self._buckets: BoundedTable[str, tuple[Bucket, Bucket]] = BoundedTable(_MAX_CLIENTS)

    def of(self, client: str) -> tuple[Bucket, Bucket]:
        """The buckets of a client: what it sends, and what it is sent."""
        found = self._buckets.get(client)
        if found is None:
            found = Bucket(lambda: self._rate_of(client)), Bucket(lambda: self._rate_of(client))
            self._buckets.put(client, found)
        return found


class RatedStream:
    """A stream of a client with a rate. The methods are those of `ByteStream`."""

    def __init__(self, stream: Stream, buckets: tuple[Bucket, Bucket]) -> None:
        self._stream = stream
        self._up, self._down = buckets
        self.finish = stream.finish
        self.watch_reset = stream.watch_reset

    async def read(self) -> bytes:
        """Bytes that the client has sent, when they may pass."""
        piece = self._up.piece
        data = await (self._stream.read() if piece is None else self._stream.read(piece))
        await self._up.wait(len(data))
        return data

    async def room(self) -> int:
        """Number of bytes that `write` accepts now."""
        room, piece = await self._stream.room(), self._down.piece
        return room if piece is None else min(room, piece)

    async def write(self, data: bytes) -> None:
        """Sends bytes to the client when they may pass."""
        await self._down.wait(len(data))
        await self._stream.write(data)

    def reset(self) -> None:
        """Resets both directions."""
        self._stream.reset()

    @property
    def is_reset(self) -> bool:
        """Whether either side has reset the stream."""
        return self._stream.is_reset

    @property
    def is_suspended(self) -> bool:
        """Whether all links of the client are down."""
        return self._stream.is_suspended
