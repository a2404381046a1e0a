"""Which stream sends next: interactive streams first, each with at most its fair share of the peer's credit."""

from collections import deque
from typing import Final

from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import SendCredit, fair_share
from tandem_transport.streams.send import SendStream

_CRUMB: Final = 256
"""Minimum bytes of credit for a packet; a stream that has more to send waits until its share is this large."""


class SendTurns:
    """Streams with something to cut, and the credit of the whole session."""

    __slots__ = ("_bulk", "_credit", "_interactive", "_queued", "_share", "_starved")

    def __init__(self, credit: int) -> None:
        """`credit`: bytes that may initially be sent on all streams together."""
        self._credit = SendCredit(credit)
        self._interactive: deque[SendStream] = deque()
        self._bulk: deque[SendStream] = deque()
        """Bulk streams with something to cut; each stream starts as interactive and moves here when its turn comes."""
        self._queued: set[int] = set()
        self._share = 0
        """Bytes of the session's credit that the stream whose turn it is may use."""
        self._starved: dict[int, SendStream] = {}
        """Streams that have used their fair share of the peer's credit; they are skipped until the credit grows."""

    def add(self, sending: SendStream) -> None:
        """A stream may have something to cut now."""
        if sending.is_ready and sending.stream_id not in self._queued:
            self._queued.add(sending.stream_id)
            self._interactive.append(sending)

    def revive(self, sending: SendStream) -> None:
        """The peer accepts more data of a stream (a MAX_STREAM_DATA frame)."""
        self._starved.pop(sending.stream_id, None)
        self.add(sending)

    def remove(self, stream_id: int) -> None:
        """A stream has ended; if it is still queued, it is skipped when its turn comes."""
        self._starved.pop(stream_id, None)

    def raise_credit(self, limit: int, window: int) -> None:
        """The peer accepts more data on all streams together (a MAX_DATA frame)."""
        if limit <= self._credit.limit:
            return
        self._credit.raise_limit(limit, window, self._credit.used)
        starved, self._starved = self._starved, {}
        for sending in starved.values():
            self.add(sending)

    def has_data(self, *, takes_bulk: bool = True) -> bool:
        """Whether some stream may have data to cut; `takes_bulk` counts bulk streams too."""
        return bool(self._interactive) or (takes_bulk and bool(self._bulk))

    def has_backlog(self, size: float) -> bool:
        """Whether the bulk streams have a backlog of more than `size` bytes."""
        for sending in self._bulk:
            size -= sending.backlog
            if size < 0:
                return True
        return False

    def cut(self, room: int, *, takes_bulk: bool = True, now: float) -> Chunk | None:
        """The next chunk of new data, from each interactive stream in turn, then from each bulk one.

        It fits in `room` bytes; None where there is none. Without `takes_bulk`, only interactive data is sent.
        """
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
        """Whether a stream may send. If not, because it has no data or no fair share left, it leaves its queue."""
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
        """Cuts a chunk from the first stream in a queue, which must be ready."""
        chunk = queue[0].cut(room, max(self._share, 0), is_interactive=is_interactive)
        if chunk is not None:
            self._credit.used += chunk.data_size
            if len(queue) > 1:
                queue.rotate(-1)
        return chunk
