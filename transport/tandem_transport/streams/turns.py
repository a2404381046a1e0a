"""Whose turn it is to send: streams that somebody waits for first, each as much as is fair of the peer's credit."""

from collections import deque

from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import SendCredit, fair_share
from tandem_transport.streams.send import SendStream

_CRUMB = 256
"""Credit that is worth a packet: a stream with more to send than that waits for more."""


class SendTurns:
    """Streams with something to cut, and the credit of the whole session."""

    __slots__ = ("_bulk", "_credit", "_interactive", "_queued", "_share", "_starved")

    def __init__(self, credit: int) -> None:
        """`credit`: bytes that may be sent on all streams together at first."""
        self._credit = SendCredit(credit)
        self._interactive: deque[SendStream] = deque()
        self._bulk: deque[SendStream] = deque()
        """Each stream begins as interactive, and is found out when its turn comes."""
        self._queued: set[int] = set()
        self._share = 0
        """Bytes of the session's credit that the stream may use whose turn it is."""
        self._starved: dict[int, SendStream] = {}
        """Streams that have all of the peer's credit that is fair; until it grows they are not asked."""

    def add(self, sending: SendStream) -> None:
        """A stream may have something to cut now."""
        if sending.is_ready and sending.stream_id not in self._queued:
            self._queued.add(sending.stream_id)
            self._interactive.append(sending)

    def revive(self, sending: SendStream) -> None:
        """The peer takes more of a stream."""
        self._starved.pop(sending.stream_id, None)
        self.add(sending)

    def remove(self, stream_id: int) -> None:
        """A stream has ended; where it still has a turn, it is passed over."""
        self._starved.pop(stream_id, None)

    def raise_credit(self, limit: int, window: int) -> None:
        """The peer takes more of all streams together (a MAX_DATA frame)."""
        if limit <= self._credit.limit:
            return
        self._credit.raise_limit(limit, window, self._credit.used)
        starved, self._starved = self._starved, {}
        for sending in starved.values():
            self.add(sending)

    def has_data(self, *, takes_bulk: bool = True) -> bool:
        """Whether some stream could be cut from."""
        return bool(self._interactive) or (takes_bulk and bool(self._bulk))

    def has_backlog(self, size: float) -> bool:
        """Whether more than so many bytes of bulk data wait."""
        for sending in self._bulk:
            size -= sending.backlog
            if size < 0:
                return True
        return False

    def cut(self, room: int, *, takes_bulk: bool = True, now: float) -> Chunk | None:
        """The next chunk of new data: of each interactive stream in turn, then of each bulk one."""
        while self._interactive:
            sending = self._interactive[0]
            if not sending.is_interactive(now=now):
                self._bulk.append(self._interactive.popleft())
            elif self._is_ready(sending, self._interactive):
                return self._cut(self._interactive, room, is_interactive=True)
        while takes_bulk and self._bulk:
            if self._is_ready(self._bulk[0], self._bulk):
                return self._cut(self._bulk, room, is_interactive=False)
        return None

    def _is_ready(self, sending: SendStream, queue: deque[SendStream]) -> bool:
        """Takes a stream out of its queue that has nothing to send, or as much of the peer's credit as is fair."""
        if sending.is_ready:
            left = self._credit.left
            self._share = min(left, fair_share(left, self._credit.window) - sending.unread)
            if self._share >= _CRUMB or self._share >= sending.unsent:
                return True
            self._starved[sending.stream_id] = sending
        self._queued.discard(sending.stream_id)
        queue.popleft()
        return False

    def _cut(self, queue: deque[SendStream], room: int, *, is_interactive: bool) -> Chunk | None:
        """A chunk of the first stream in a queue, which is ready."""
        chunk = queue[0].cut(room, max(self._share, 0), is_interactive=is_interactive)
        if chunk is not None:
            self._credit.used += chunk.data_size
            if len(queue) > 1:
                queue.rotate(-1)
        return chunk
