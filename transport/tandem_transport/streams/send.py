"""The sending half of a stream: unsent bytes, bytes in flight, the end."""

from typing import Final

from tandem_transport.errors import LocalProtocolError
from tandem_transport.parameters import (
    INTERACTIVE_BACKLOG,
    INTERACTIVE_FIRST,
    INTERACTIVE_LEVEL,
    INTERACTIVE_RATE,
    MAX_SEND_AHEAD,
    SEEN_BACKLOG,
    SEEN_SHARE,
    SEND_AHEAD,
)
from tandem_transport.recovery.chunk import Chunk, Origin
from tandem_transport.streams.flow_control import PeerWindow
from tandem_transport.wire.frames import stream_frame_header
from tandem_transport.wire.varint import varint_size

_MIN_ROOM: Final = 32
"""Minimum bytes of room for data in a packet; with less, the frame header would be larger than the data."""


class SendStream(Origin):
    """Cuts what the application writes into chunks; each byte is cut exactly once."""

    __slots__ = (
        "_ahead",
        "_buffer",
        "_fin_cut",
        "_fin_done",
        "_finished",
        "_id_size",
        "_level",
        "_level_at",
        "_peer",
        "offset",
        "unacked",
    )

    def __init__(self, stream_id: int, limit: int) -> None:
        super().__init__(stream_id)
        self._id_size = varint_size(stream_id)
        self._buffer = bytearray()
        self._ahead = SEND_AHEAD
        self._peer = PeerWindow(limit)
        self.offset = 0
        """Bytes cut into chunks so far."""
        self.unacked = 0
        """Bytes cut into chunks and not acknowledged."""
        self._finished = self._fin_cut = self._fin_done = False
        self._level, self._level_at = 0.0, 0.0

    @property
    def unsent(self) -> int:
        """Bytes that wait to be cut."""
        return len(self._buffer)

    @property
    def buffered(self) -> int:
        """Bytes that this stream buffers: unsent and unacknowledged ones."""
        return len(self._buffer) + self.unacked

    @property
    def ahead(self) -> int:
        """Bytes that may be written now: up to as many unsent bytes as are unacknowledged, or SEND_AHEAD if more.

        On a fast link it is more than SEND_AHEAD (`on_awaited`).
        """
        return max(self._ahead, self.unacked) - len(self._buffer)

    @property
    def is_done(self) -> bool:
        """Whether everything is acknowledged, or the stream was reset."""
        return self.is_reset or (self._fin_done and not self.unacked)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to cut, and the peer's limit allows it."""
        if self.is_reset:
            return False
        if self._buffer:
            return self.offset < self._peer.limit
        return self._finished and not self._fin_cut

    def level(self, *, now: float) -> float:
        """Bytes cut recently: a leaky bucket with the rate INTERACTIVE_RATE."""
        # The bucket must also leak here: that of a stream which was quiet for a second is empty.
        self._level = max(0.0, self._level - (now - self._level_at) * INTERACTIVE_RATE)
        self._level_at = now
        return self._level

    def is_interactive(self, *, now: float) -> bool:
        """Whether someone waits for the next data: the stream is young, or has little to send and sent little recently.

        A stream with a backlog is bulk at any rate: thirty downloads are not thirty small streams.
        """
        if self.offset < INTERACTIVE_FIRST:
            return True
        return len(self._buffer) <= INTERACTIVE_BACKLOG and self.level(now=now) < INTERACTIVE_LEVEL

    @property
    def backlog(self) -> int:
        """Unsent bytes, plus, if the buffer is well filled, an estimate of what the writer still has.

        Long transfers tend to continue. The tail of a short one must not go to a slow path.
        """
        unsent = len(self._buffer)
        if unsent < SEND_AHEAD // 2 or self._finished:
            return unsent
        return unsent + min(self.offset // SEEN_SHARE, SEEN_BACKLOG)

    def write(self, data: bytes, *, end_stream: bool) -> None:
        """Buffers data to send. Raises LocalProtocolError where the stream is finished or reset."""
        if self._finished or self.is_reset:
            raise LocalProtocolError(f"stream {self.stream_id} was already {'reset' if self.is_reset else 'finished'}")
        self._buffer += data
        self._finished = end_stream

    def on_awaited(self) -> None:
        """The writer has waited until now. Where the buffer has run dry meanwhile, it may write more ahead."""
        if not self._buffer and self.unacked <= self._ahead:
            self._ahead = min(2 * self._ahead, MAX_SEND_AHEAD)
        elif len(self._buffer) >= SEND_AHEAD // 2:
            self._ahead = max(self._ahead // 2, SEND_AHEAD)

    def raise_limit(self, limit: int, window: int) -> None:
        """The peer accepts more data (a MAX_STREAM_DATA frame)."""
        if limit > self._peer.limit:
            self._peer.raise_limit(limit, window, self.offset)

    @property
    def unread(self) -> int:
        """Sent bytes that the peer's application has not read, as far as its limits show."""
        return self.offset - self._peer.read

    def cut(self, room: int, session_credit: int, *, is_interactive: bool) -> Chunk | None:
        """The next chunk whose frame fits in `room` bytes, None where nothing fits or may be sent."""
        offset = self.offset
        header_size = 3 + self._id_size + varint_size(offset)
        size = min(len(self._buffer), room - header_size, self._peer.limit - offset, session_credit)
        is_fin = self._finished and size == len(self._buffer)
        if room < header_size + _MIN_ROOM or (size <= 0 and not (is_fin and size == 0)):
            return None
        frame = stream_frame_header(self.stream_id, offset, size, is_fin) + self._buffer[:size]
        del self._buffer[:size]
        self.offset += size
        self.unacked += size
        self._level += size
        self._fin_cut = is_fin
        return Chunk(frame, self, size, is_fin=is_fin, is_interactive=is_interactive)

    def on_chunk_acked(self, chunk: Chunk) -> None:
        """A chunk of this stream has arrived."""
        self.unacked -= chunk.data_size
        if chunk.is_fin:
            self._fin_done = True

    def reset(self) -> int:
        """Discards all data that is not acknowledged; returns the final size for RESET_STREAM."""
        self.is_reset = True
        self._buffer.clear()
        self.unacked = 0
        return self.offset
