"""The scheduler of mode `duplicate`: everything on every path."""

from collections import deque
from collections.abc import Sequence

from tandem_transport.parameters import MAX_COPY_QUEUE
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.outbox import LEAST_ROOM, Outbox
from tandem_transport.sending.scheduler import is_slow, is_spared, may_resend
from tandem_transport.streams.turns import SendTurns


class Duplicate:
    """Lost data, then copies of what another path carries, then new data.

    Every path works through its own queue of copies, oldest first. What was acknowledged in
    the meantime is skipped, so the slower path never holds the faster one back. Interactive
    data that nobody acknowledges is copied again, on every path.
    """

    def __init__(self, outbox: Outbox, turns: SendTurns, *, max_ack_delay: float) -> None:
        """`turns` has the new data of all streams; `max_ack_delay` is the peer's, in seconds."""
        self._outbox = outbox
        self._turns = turns
        self._again = CopyPlanner(max_copies=1, max_ack_delay=max_ack_delay)
        self._copies: dict[int, deque[Chunk]] = {}

    def select(self, path: Path, room: int, new_room: int, *, paths: Sequence[Path], now: float) -> list[Chunk]:
        outbox, chunks, full = self._outbox, list[Chunk](), room
        if is_spared(path, paths):
            self._take_copies(path, chunks, self._again.take(path, chunks, room))
            return chunks
        if outbox.control:
            room = outbox.take_waiting(outbox.control, chunks, room, full)
        if outbox.lost and may_resend(path, paths):
            room = outbox.take_waiting(outbox.lost, chunks, room, full)
        room = self._again.take(path, chunks, room)
        room = self._take_copies(path, chunks, room)
        outbox.take_new(chunks, room - full + new_room, takes_bulk=not is_slow(path, paths), now=now)
        return chunks

    def has_work_for(self, path: Path, *, paths: Sequence[Path], now: float) -> bool:
        if is_spared(path, paths):
            return self._next_copy(path) is not None or self._again.has_due(path)
        outbox, takes_bulk = self._outbox, not is_slow(path, paths)
        if outbox.control or self._turns.has_data(takes_bulk=takes_bulk) or self._next_copy(path) is not None:
            return True
        return self._again.has_due(path) or (may_resend(path, paths) and outbox.has_lost())

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Sequence[Path], now: float) -> None:
        for chunk in chunks:
            if chunk.is_interactive and chunk.first_packet is None:
                self._again.watch(chunk, paths, now=now)
        to_copy = [chunk for chunk in chunks if not chunk.paths_in_flight]
        if not to_copy:
            return
        for other in paths:
            if other is path:
                continue
            queue = self._copies.setdefault(other.path_id, deque())
            is_dear = is_spared(other, paths)
            for chunk in to_copy:
                if is_dear and not chunk.is_interactive:
                    continue
                if chunk.first_lost_at is None:
                    queue.append(chunk)
                else:
                    queue.appendleft(chunk)  # a retransmission: its copy is urgent
            if len(queue) > MAX_COPY_QUEUE:
                purge(queue)

    def handle_timeout(self, *, paths: Sequence[Path], now: float) -> None:
        if paths:
            self._again.handle_timeout(paths, now=now)

    def next_timeout(self, *, paths: Sequence[Path], now: float) -> float | None:
        return self._again.next_timeout(paths)

    def _take_copies(self, path: Path, chunks: list[Chunk], room: int) -> int:
        while room >= LEAST_ROOM:
            chunk = self._next_copy(path)
            if chunk is None or len(chunk.frame) > room:
                break
            self._copies[path.path_id].popleft()
            if chunk not in chunks:
                chunks.append(chunk)
                room -= len(chunk.frame)
        return room

    def _next_copy(self, path: Path) -> Chunk | None:
        """The oldest chunk that is worth copying on this path; drops what is not."""
        queue = self._copies.get(path.path_id)
        while queue:
            chunk = queue[0]
            is_missing = chunk.is_wanted and not chunk.is_queued and not chunk.paths_in_flight & path.bit
            if is_missing and len(chunk.frame) <= path.network.room:
                return chunk
            queue.popleft()
        return None


def purge(queue: deque[Chunk]) -> None:
    """Makes room in a queue of chunks: what is no longer wanted goes first, then the oldest."""
    wanted = [chunk for chunk in queue if chunk.is_wanted][-MAX_COPY_QUEUE // 2 :]
    queue.clear()
    queue.extend(wanted)
