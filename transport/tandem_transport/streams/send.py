"""The sending half of a stream: bytes that wait, bytes in flight, the end."""

from tandem_transport.errors import LocalProtocolError
from tandem_transport.parameters import (
    INTERACTIVE_BACKLOG,
    INTERACTIVE_FIRST,
    INTERACTIVE_LEVEL,
    INTERACTIVE_RATE,
    SEEN_BACKLOG,
    SEEN_SHARE,
    SEND_AHEAD,
)
from tandem_transport.recovery.chunk import Chunk, Origin
from tandem_transport.streams.flow_control import PeerWindow
from tandem_transport.wire.frames import stream_frame_header
from tandem_transport.wire.varint import varint_size

_MIN_ROOM = 32
"""A packet with less room than this gets no data: the header would outweigh it."""


class SendStream(Origin):
    """Cuts what the application writes into chunks, each exactly once."""

    __slots__ = (
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
        self._peer = PeerWindow(limit)
        self.offset = 0
        """Bytes cut so far."""
        self.unacked = 0
        """Bytes cut and not acknowledged."""
        self._finished = self._fin_cut = self._fin_done = False
        self._level, self._level_at = 0.0, 0.0

    @property
    def unsent(self) -> int:
        """Bytes that wait to be cut."""
        return len(self._buffer)

    @property
    def buffered(self) -> int:
        """Bytes for which this stream needs memory."""
        return len(self._buffer) + self.unacked

    @property
    def ahead(self) -> int:
        """Bytes that it may be given now: those that wait are as many as those on their way, or SEND_AHEAD."""
        return max(SEND_AHEAD, self.unacked) - len(self._buffer)

    @property
    def is_done(self) -> bool:
        """Everything is acknowledged, or the stream was reset."""
        return self.is_reset or (self._fin_done and not self.unacked)

    @property
    def is_ready(self) -> bool:
        """There is something to cut, and the peer takes it."""
        if self.is_reset:
            return False
        if self._buffer:
            return self.offset < self._peer.limit
        return self._finished and not self._fin_cut

    def level(self, *, now: float) -> float:
        """Bytes cut lately: a bucket that leaks INTERACTIVE_RATE."""
        # It has to leak when it is read too: a stream that was quiet for a second has an empty one.
        self._level = max(0.0, self._level - (now - self._level_at) * INTERACTIVE_RATE)
        self._level_at = now
        return self._level

    def is_interactive(self, *, now: float) -> bool:
        """Somebody waits for what comes next: the stream is young, or has little to say and said little lately.

        A stream with a backlog is bulk at whatever rate: thirty downloads are not thirty small streams.
        """
        if self.offset < INTERACTIVE_FIRST:
            return True
        return len(self._buffer) <= INTERACTIVE_BACKLOG and self.level(now=now) < INTERACTIVE_LEVEL

    @property
    def backlog(self) -> int:
        """Bytes that wait, here or, where the buffer is well filled, with whoever fills it: a guess.

        What has gone on for long goes on for long; a slow path must not be given the end of a short download.
        """
        unsent = len(self._buffer)
        if unsent < SEND_AHEAD // 2 or self._finished:
            return unsent
        return unsent + min(self.offset // SEEN_SHARE, SEEN_BACKLOG)

    def write(self, data: bytes, *, end_stream: bool) -> None:
        """Raises LocalProtocolError on a finished or reset stream."""
        if self._finished or self.is_reset:
            raise LocalProtocolError(f"stream {self.stream_id} was already {'reset' if self.is_reset else 'finished'}")
        self._buffer += data
        self._finished = end_stream

    def raise_limit(self, limit: int, window: int) -> None:
        """The peer takes more (MAX_STREAM_DATA)."""
        if limit > self._peer.limit:
            self._peer.raise_limit(limit, window, self.offset)

    @property
    def unread(self) -> int:
        """Bytes sent that the peer's application has not read, as far as its limits tell."""
        return self.offset - self._peer.read

    def cut(self, room: int, session_credit: int, *, is_interactive: bool) -> Chunk | None:
        """The next chunk whose frame fits in `room` bytes, None where nothing fits or may go."""
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
        """One of our chunks has arrived."""
        self.unacked -= chunk.data_size
        if chunk.is_fin:
            self._fin_done = True

    def reset(self) -> int:
        """Gives up what has not arrived; returns the final size for RESET_STREAM."""
        self.is_reset = True
        self._buffer.clear()
        self.unacked = 0
        return self.offset
