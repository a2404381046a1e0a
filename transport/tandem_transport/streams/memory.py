"""The memory that all streams of a session share, and how much each stream may take (docs/decisions/0003)."""

from collections.abc import Callable
from typing import Final

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import MAX_SEGMENT_OVERHEAD, SESSION_BUFFER
from tandem_transport.streams.flow_control import Budget, ReceiveWindow, fair_share
from tandem_transport.streams.send import SendStream
from tandem_transport.wire.frames import Frame, MaxDataFrame

_WORTH_WAKING: Final = 16 << 10
"""Bytes of room from which on a waiting writer is woken; with less, every packet would wake it."""

_SEGMENTS_MIN: Final = 1 << 20
"""Bytes of out-of-order data that every session may buffer, however small its window is."""


class SendMemory:
    """The unsent and unacknowledged bytes of all streams, and the writers that wait for room."""

    __slots__ = ("_budget", "_waiting", "buffered")

    def __init__(self, budget: Budget | None) -> None:
        """`budget` is shared with other sessions; without one, the session has its own."""
        self._budget = budget or Budget(2 * SESSION_BUFFER)
        self._waiting: dict[int, SendStream] = {}
        """Streams whose writers wait, by stream id, in order of arrival."""
        self.buffered = 0

    def reserve(self, growth: int) -> None:
        """Takes `growth` bytes of memory, or frees them where it is negative."""
        self.buffered += growth
        self._budget.used += growth

    def release(self) -> None:
        """The session is over: frees the memory that it took from the shared budget."""
        self.reserve(-self.buffered)
        self._budget = Budget(0)  # later calls must not count in the shared budget

    def capacity(self, sending: SendStream) -> int:
        """Bytes that may be written to a stream now; if 0, its writer waits for `writable`."""
        room = self._room
        capacity = min(room, fair_share(room, room + self.buffered) - sending.buffered, sending.ahead)
        if capacity <= 0:
            self._waiting[sending.stream_id] = sending
        return max(0, capacity)

    def forget(self, stream_id: int) -> None:
        """A stream has ended."""
        self._waiting.pop(stream_id, None)

    def writable(self) -> list[int]:
        """Returns the streams that have room again; their writers no longer wait."""
        if not self._waiting or (room := self._room) <= 0:
            return []
        share = fair_share(room, room + self.buffered)
        woken = [stream_id for stream_id, sending in self._waiting.items() if _is_worth_waking(sending, room, share)]
        for stream_id in woken:
            self._waiting.pop(stream_id).on_awaited()
        return woken

    @property
    def _room(self) -> int:
        """Bytes that all streams together may take now."""
        return min(SESSION_BUFFER - self.buffered, self._budget.left_for(self.buffered))


class ReceiveMemory:
    """The receive window of the session, and its memory for out-of-order data."""

    __slots__ = ("_buffered", "_send_control", "_told_share", "window")

    def __init__(self, window: int, budget: Budget | None, send_control: Callable[[Frame], None]) -> None:
        """`window`: bytes that the peer may send initially; `budget` is shared with other sessions."""
        self.window = ReceiveWindow(window, SESSION_BUFFER, budget)
        self._send_control = send_control
        self._told_share = self.window.share_of_each
        """The share of each stream by which the peer was last told what streams have read."""
        self._buffered = 0

    def receive(self, growth: int) -> None:
        """So many new bytes have arrived. Raises PeerError where they exceed the limit."""
        window = self.window
        window.received += growth
        if window.received > window.limit:
            raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "the session's window is exceeded")
        if window.left <= window.window // 2:
            self._offer(window.on_filled())

    def consume(self, size: int, *, rtt: float, now: float) -> None:
        """The application has read `size` bytes."""
        self._offer(self.window.on_consumed(size, self.window.share_of_each, rtt=rtt, now=now))

    def buffer(self, growth: int, stream_id: int) -> None:
        """The out-of-order data of a stream has grown by `growth` bytes, or shrunk where it is negative.

        Raises PeerError where overlapping data takes too much more memory than the window allows.
        """
        self._buffered += growth
        if growth > 0 and self._buffered > max(MAX_SEGMENT_OVERHEAD * self.window.window, _SEGMENTS_MIN):
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"stream {stream_id} overlaps itself without end")

    def fallen_share(self) -> int | None:
        """The share of each stream if it has fallen, else None: the peer must then learn of smaller advances."""
        share = self.window.share_of_each
        if share >= self._told_share // 2:
            self._told_share = max(self._told_share, share)
            return None
        self._told_share = share
        return share

    def _offer(self, limit: int | None) -> None:
        if limit is not None:
            self._send_control(MaxDataFrame(limit, self.window.window))


def _is_worth_waking(sending: SendStream, room: int, share: int) -> bool:
    """Whether a waiting writer has enough room; this must be cheap, because a thousand may wait with each packet."""
    buffered = sending.buffered
    minimum = _WORTH_WAKING if buffered else 1
    return min(room, share - buffered) >= minimum and sending.ahead >= minimum
