"""The receiving half of a stream: reassembly, flow control, the end."""

from heapq import heappop, heappush
from typing import Final

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import MAX_STREAM_WINDOW
from tandem_transport.streams.flow_control import ReceiveWindow

_SEGMENT_COST: Final = 160
"""Memory in bytes that a segment takes besides its data, roughly."""


class ReceiveStream:
    """Puts the data of a stream in order. Copies are normal: data that arrives again is dropped."""

    __slots__ = (
        "_delivered",
        "_final_size",
        "_is_end_told",
        "_offsets",
        "_ready",
        "_segments",
        "buffered",
        "is_abandoned",
        "is_reset",
        "stream_id",
        "window",
    )

    def __init__(self, stream_id: int, window: int) -> None:
        self.stream_id = stream_id
        self.window = ReceiveWindow(window, MAX_STREAM_WINDOW)
        self._segments: dict[int, bytes] = {}
        """Out-of-order data by offset."""
        self._offsets: list[int] = []
        """Heap of the keys of `_segments`."""
        self.buffered = 0
        """Bytes of memory that `_segments` takes."""
        self._ready: list[bytes] = []
        """In-order data that the application has not taken."""
        self._delivered = 0
        """Offset up to which all data has arrived in order."""
        self._final_size: int | None = None
        self._is_end_told = False
        self.is_reset = False
        self.is_abandoned = False
        """The application wants no more data: it is dropped on arrival."""

    @property
    def unread(self) -> int:
        """In-order bytes that the application has not consumed."""
        return self._delivered - self.window.consumed

    @property
    def has_gap(self) -> bool:
        """Whether data has arrived behind a gap."""
        return bool(self._offsets)

    @property
    def is_complete(self) -> bool:
        """Whether all data up to the final size has arrived."""
        return self._delivered == self._final_size

    @property
    def is_done(self) -> bool:
        """Whether nothing more can happen: all data was consumed, or the stream was reset."""
        return self.is_reset or (self.is_complete and self.window.consumed >= self._delivered)

    @property
    def has_ended(self) -> bool:
        """Whether the final size is known: the peer has finished or reset the stream."""
        return self._final_size is not None

    def receive(self, offset: int, data: bytes, *, fin: bool) -> tuple[int, bool]:
        """Processes a STREAM frame.

        Returns how far the highest offset advanced, for the session's flow control, and
        whether any byte was new. Raises PeerError where the peer exceeds its credit or
        changes the final size (RFC 9000 sections 4.1 and 4.5).
        """
        end = offset + len(data)
        self._check(end, fin)
        growth = max(0, end - self.window.received)
        self.window.received += growth
        if end <= self._delivered:
            return growth, False
        if self.is_abandoned:
            self._delivered = end
            return growth, False
        if offset <= self._delivered:
            self._append(offset, data)
            self._join()
            return growth, True
        return growth, self._hold(offset, data)

    def take(self) -> tuple[bytes, bool]:
        """All in-order data that was not taken yet, and whether the stream has just ended."""
        ready, self._ready = self._ready, []
        ends = self.is_complete and not self._is_end_told
        self._is_end_told = self._is_end_told or ends
        return ready[0] if len(ready) == 1 else b"".join(ready), ends

    def reset(self, final_size: int) -> int:
        """Processes a RESET_STREAM frame. Returns how far the highest offset advanced; raises like `receive`."""
        self._check(final_size, True)
        growth = max(0, final_size - self.window.received)
        self.window.received += growth
        self.is_reset = True
        self._drop()
        return growth

    def abandon(self) -> None:
        """Drops all data now and on arrival, because the application wants no more."""
        self.is_abandoned = True
        self._drop()
        self._delivered = self.window.received

    def _check(self, end: int, fin: bool) -> None:
        final_size = self._final_size
        if final_size is not None and (end > final_size or (fin and end != final_size)):
            raise PeerError(ErrorCode.FINAL_SIZE_ERROR, f"stream {self.stream_id} goes on after its end")
        if end > self.window.limit:
            raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, f"stream {self.stream_id} exceeds its window")
        if fin:
            if end < self.window.received:
                raise PeerError(ErrorCode.FINAL_SIZE_ERROR, f"stream {self.stream_id} ends before its data")
            self._final_size = end

    def _append(self, offset: int, data: bytes) -> None:
        new = data[self._delivered - offset :] if offset < self._delivered else data
        if new:
            self._ready.append(new)
            self._delivered += len(new)

    def _join(self) -> None:
        while self._offsets and self._offsets[0] <= self._delivered:
            offset = heappop(self._offsets)
            segment = self._segments.pop(offset)
            self.buffered -= len(segment) + _SEGMENT_COST
            if offset + len(segment) > self._delivered:
                self._append(offset, segment)

    def _hold(self, offset: int, data: bytes) -> bool:
        if not data:
            return False
        known = self._segments.get(offset)
        if known is not None and len(known) >= len(data):
            return False
        if known is None:
            heappush(self._offsets, offset)
            self.buffered += _SEGMENT_COST
        self._segments[offset] = data
        self.buffered += len(data) - len(known or b"")
        return True

    def _drop(self) -> None:
        self._segments.clear()
        self._offsets.clear()
        self._ready.clear()
        self.buffered = 0
