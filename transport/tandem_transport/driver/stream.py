"""A stream of a session as an application sees it: read, write, finish, reset."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from tandem_transport.errors import ErrorCode, LocalProtocolError, SessionClosed, StreamReset, TransportError
from tandem_transport.parameters import SMALL_DATA
from tandem_transport.session.connection import Connection

log = logging.getLogger("tandem.transport")

_READ_LIMIT = 256 << 10
"""Maximum number of bytes that one `read` returns."""


class Wake(Protocol):
    """Requests a turn for the session, as `TurnTaker.wake` does."""

    def __call__(self, *, hurries: bool = False) -> None: ...


class Stream:
    """A stream of ordered bytes in both directions, with back-pressure and an end for each direction."""

    def __init__(
        self,
        stream_id: int,
        connection: Connection,
        wake: Wake,
        on_over: "Callable[[Stream], None]",
    ) -> None:
        """`on_over` is called when nothing more can happen to the stream."""
        self._on_over = on_over
        self.stream_id = stream_id
        self._connection = connection
        self._wake = wake
        self._received = bytearray()
        self._unconsumed = 0
        """Bytes that the last `read` has returned, and that do not count as processed yet."""
        self._is_ended = self._is_finished = False
        self._error: TransportError | None = None
        self._is_reset_below = False
        """The session already knows about a reset; its event comes with the next turn."""
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._on_reset: Callable[[], None] | None = None
        self.on_datagram_frame: Callable[[bytes], None] | None = None
        """Called with the data of each DATAGRAM frame that the peer sends for this stream."""

    async def read(self, limit: int = _READ_LIMIT) -> bytes:
        """Reads some bytes, at most `limit`; returns b"" once the peer has finished.

        The bytes that one call returns count as processed when the next call is made. Until then
        they use flow control credit, so that a slow reader's data is never buffered twice.

        Raises:
            StreamReset: the stream was reset by either side; unread data is discarded.
            SessionClosed: the session ended.
        """
        self._consume()
        while not self._received:
            if self._error is not None:
                raise self._error
            if self._is_ended:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._received[:limit])
        del self._received[:limit]
        self._unconsumed = len(data)
        return data

    async def read_exactly(self, size: int) -> bytes:
        """Reads exactly `size` bytes. Raises EOFError where the stream ends before that, and like `read`."""
        data = b""
        while len(data) < size:
            more = await self.read(size - len(data))
            if not more:
                raise EOFError(f"{len(data)} of {size} bytes")
            data += more
        self._consume()
        return data

    async def room(self) -> int:
        """Waits until `write` can take data; returns how many bytes it takes without waiting. Raises like `read`."""
        while True:
            if self._error is not None:
                raise self._error
            size = self._connection.send_capacity(self.stream_id)
            if size:
                return size
            self._writable.clear()
            await self._writable.wait()

    async def write(self, data: bytes) -> None:
        """Queues all of the data, and waits while the session has no room. Raises like `read`."""
        view = memoryview(data)
        while view:
            size = min(len(view), await self.room())
            try:
                self._connection.send_stream_data(self.stream_id, bytes(view[:size]))
            except LocalProtocolError as error:
                self._is_reset_below = True
                raise StreamReset(ErrorCode.STREAM_CANCELLED) from error
            self._wake(hurries=len(data) <= SMALL_DATA)
            view = view[size:]

    def finish(self) -> None:
        """Ends our direction; what was written still arrives. Does nothing on a stream that is finished or reset."""
        if self._error is None and not self._is_finished:
            self._is_finished = True
            # The session may already know about a reset, whose event only comes with the next turn.
            with contextlib.suppress(LocalProtocolError):
                self._connection.send_stream_data(self.stream_id, b"", end_stream=True)
            self._wake(hurries=True)
            self._check_over()

    def reset(self, code: int = ErrorCode.STREAM_CANCELLED) -> None:
        """Ends both directions at once, which the other end sees as a TCP reset."""
        if self._error is None:
            self._fail(StreamReset(code), is_remote=False)
            self._connection.reset_stream(self.stream_id, code)
            self._wake(hurries=True)

    def send_datagram_frame(self, data: bytes) -> bool:
        """Sends a DATAGRAM frame for this stream (as in RFC 9297), copied on all links and never retransmitted.

        False where it was dropped: the stream is over, or the data is larger than `datagram_room`.
        """
        if self._error is not None:
            return False
        self._wake(hurries=True)
        try:
            return self._connection.send_datagram_frame(self.stream_id, data)
        except LocalProtocolError:  # closed; its event comes with the next turn
            return False

    @property
    def datagram_room(self) -> int:
        """Most bytes of data that a DATAGRAM frame may have now."""
        return self._connection.datagram_room

    def watch_reset(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once when the peer or the end of the session resets the stream; at once if it is reset."""
        self._on_reset = callback
        if self._error is not None:
            callback()

    @property
    def is_reset(self) -> bool:
        """The stream was reset by either side, or by the end of its session."""
        return self._is_reset_below or self._error is not None

    @property
    def is_suspended(self) -> bool:
        """The stream is suspended, because all links are down: the peer's silence means nothing."""
        return self._connection.is_out

    @property
    def heard_at(self) -> float:
        """When the peer of the session was last heard, by `time.monotonic`."""
        return self._connection.last_received_at

    # --- called by the session ---

    def feed(self, data: bytes, *, end_stream: bool) -> None:
        """In-order data has arrived."""
        self._received += data
        self._is_ended = self._is_ended or end_stream
        self._readable.set()
        self._check_over()

    def on_peer_reset(self, code: int) -> None:
        """The peer has reset the stream."""
        self._fail(StreamReset(code), is_remote=True)

    def on_session_closed(self, error: SessionClosed) -> None:
        """The session is over."""
        self._fail(error, is_remote=True)

    def deliver_datagram_frame(self, data: bytes) -> None:
        """A DATAGRAM frame for this stream has arrived; an error in its handler must not end the common turn."""
        if self.on_datagram_frame is None:
            return
        try:
            self.on_datagram_frame(data)
        except Exception:
            log.exception("stream %d: a message", self.stream_id)

    def on_writable(self) -> None:
        """The session can take data of this stream again."""
        self._writable.set()

    def _consume(self) -> None:
        if self._unconsumed:
            self._connection.consume(self.stream_id, self._unconsumed)
            self._unconsumed = 0
            self._wake()

    def _fail(self, error: TransportError, *, is_remote: bool) -> None:
        if self._error is not None:
            return
        self._error = error
        self._received.clear()
        self._readable.set()
        self._writable.set()
        self._on_over(self)
        if is_remote and self._on_reset is not None:
            self._on_reset()

    def _check_over(self) -> None:
        if self._is_finished and self._is_ended:
            self._on_over(self)
