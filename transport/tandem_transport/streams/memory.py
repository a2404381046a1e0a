"""The memory that all streams of a session share, and what each may take of it (docs/decisions/0003)."""

from collections.abc import Callable

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import MAX_SEGMENT_OVERHEAD, SESSION_BUFFER
from tandem_transport.streams.flow_control import Budget, ReceiveWindow, fair_share
from tandem_transport.streams.send import SendStream
from tandem_transport.wire.frames import Frame, MaxDataFrame

_WORTH_WAKING = 16 << 10
"""Room for which a waiting writer is woken; less would mean a wake-up for every packet."""

_SEGMENTS_MIN = 1 << 20
"""Memory for out-of-order data that every session may use, however small its window."""


class SendMemory:
    """Bytes that are unsent or unacknowledged, of all streams, and the writers that found no room."""

    __slots__ = ("_budget", "_waiting", "buffered")

    def __init__(self, budget: Budget | None) -> None:
        """`budget` is shared with other sessions; without one it is this session's own."""
        self._budget = budget or Budget(2 * SESSION_BUFFER)
        self._waiting: dict[int, SendStream] = {}
        """By stream id, first come first served."""
        self.buffered = 0

    def reserve(self, growth: int) -> None:
        """So many bytes more, or fewer."""
        self.buffered += growth
        self._budget.used += growth

    def release(self) -> None:
        """The session is over: what it held of memory shared with others is free."""
        self.reserve(-self.buffered)
        self._budget = Budget(0)  # nothing that follows counts there

    def capacity(self, sending: SendStream) -> int:
        """Bytes that a stream may be given now; where it is none, its writer waits."""
        room = self._room
        capacity = min(room, fair_share(room, room + self.buffered) - sending.buffered, sending.ahead)
        if capacity <= 0:
            self._waiting[sending.stream_id] = sending
        return max(0, capacity)

    def forget(self, stream_id: int) -> None:
        """A stream has ended."""
        self._waiting.pop(stream_id, None)

    def writable(self) -> list[int]:
        """Streams whose writers wait no longer."""
        if not self._waiting or (room := self._room) <= 0:
            return []
        share = fair_share(room, room + self.buffered)
        woken = [stream_id for stream_id, sending in self._waiting.items() if _is_worth_waking(sending, room, share)]
        for stream_id in woken:
            del self._waiting[stream_id]
        return woken

    @property
    def _room(self) -> int:
        """Bytes that all streams together may take now."""
        return min(SESSION_BUFFER - self.buffered, self._budget.left_for(self.buffered))


class ReceiveMemory:
    """The window of the session, and its memory for data that came out of order."""

    __slots__ = ("_buffered", "_send_control", "_told_share", "window")

    def __init__(self, window: int, budget: Budget | None, send_control: Callable[[Frame], None]) -> None:
        """`window`: bytes that the peer may send at first; `budget` is shared with other sessions."""
        self.window = ReceiveWindow(window, SESSION_BUFFER, budget)
        self._send_control = send_control
        self._told_share = self.window.share_of_each
        """The share by which streams were last told what was read of them."""
        self._buffered = 0

    def receive(self, growth: int) -> None:
        """So much new data has arrived. Raises PeerError where it is more than was offered."""
        window = self.window
        window.received += growth
        if window.received > window.limit:
            raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "the session's window is exceeded")
        if window.left <= window.window // 2:
            self._offer(window.on_filled())

    def consume(self, size: int, *, rtt: float, now: float) -> None:
        """So much has been read."""
        self._offer(self.window.on_consumed(size, self.window.share_of_each, rtt=rtt, now=now))

    def buffer(self, growth: int, stream_id: int) -> None:
        """Data of a stream waits for what is missing before it, or no longer does.

        Raises PeerError: data that overlaps may take more memory than the window says.
        """
        self._buffered += growth
        if growth > 0 and self._buffered > max(MAX_SEGMENT_OVERHEAD * self.window.window, _SEGMENTS_MIN):
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"stream {stream_id} overlaps itself without end")

    def fallen_share(self) -> int | None:
        """The share of each stream, where it has fallen: streams must hear of less than before."""
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
    """The cheap question first: a thousand may wait, and this is asked with each packet."""
    buffered = sending.buffered
    minimum = _WORTH_WAKING if buffered else 1
    return min(room, share - buffered) >= minimum and sending.ahead >= minimum
