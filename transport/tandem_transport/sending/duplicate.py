"""The scheduler of mode `duplicate`: everything on every path."""

from collections import deque
from collections.abc import Sequence

from tandem_transport.parameters import MAX_COPY_QUEUE
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.outbox import MIN_ROOM, Outbox
from tandem_transport.sending.preference import is_copies_only, is_slow
from tandem_transport.sending.scheduler import Scheduler
from tandem_transport.sending.sources import ControlFrames, Draft, LostChunks, PlannedCopies, Source, purge
from tandem_transport.streams.turns import SendTurns


class Duplicate(Scheduler):
    """Sends lost data, then copies of what another path carries, then new data.

    Interactive data that is not acknowledged is copied again, on every path.
    """

    def __init__(self, outbox: Outbox, turns: SendTurns, *, max_ack_delay: float) -> None:
        """`turns` has the new data of all streams; `max_ack_delay` is the peer's, in seconds."""
        self._again = CopyPlanner(max_copies=1, max_ack_delay=max_ack_delay)
        self._copies = PathCopies()
        again = PlannedCopies(self._again)
        new = NewData(outbox, turns)
        super().__init__(
            [ControlFrames(outbox), LostChunks(outbox), again, self._copies, new], copies=[again, self._copies]
        )

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Sequence[Path], now: float) -> None:
        for chunk in chunks:
            if chunk.is_interactive and chunk.first_packet is None:
                self._again.watch(chunk, paths, now=now)
        self._copies.on_sent(chunks, path, paths)

    def handle_timeout(self, *, paths: Sequence[Path], now: float) -> None:
        if paths:
            self._again.handle_timeout(paths, now=now)

    def next_timeout(self, *, paths: Sequence[Path], now: float) -> float | None:
        return self._again.next_timeout(paths)


class PathCopies(Source):
    """For each path, a queue of the chunks that other paths have carried, oldest first.

    Chunks that were acknowledged in the meantime are skipped, so the slower path never delays the faster one.
    """

    def __init__(self) -> None:
        self._queues: dict[int, deque[Chunk]] = {}
        """The queues, by path id."""

    def on_sent(self, chunks: list[Chunk], path: Path, paths: Sequence[Path]) -> None:
        """These chunks leave on a path: queues them for the other paths, too."""
        to_copy = [chunk for chunk in chunks if not chunk.paths_in_flight]
        if not to_copy:
            return
        for other in paths:
            if other is not path:
                self._queue(to_copy, other, is_metered=is_copies_only(other, paths))

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return self._next(path) is not None

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        while draft.room >= MIN_ROOM:
            chunk = self._next(path)
            if chunk is None or len(chunk.frame) > draft.room:
                return
            self._queues[path.path_id].popleft()
            if chunk not in draft.chunks:
                draft.add(chunk)

    def _queue(self, chunks: list[Chunk], path: Path, *, is_metered: bool) -> None:
        queue = self._queues.setdefault(path.path_id, deque())
        for chunk in chunks:
            if is_metered and not chunk.is_interactive:
                continue
            if chunk.first_lost_at is None:
                queue.append(chunk)
            else:
                queue.appendleft(chunk)  # a retransmission: its copy is urgent
        if len(queue) > MAX_COPY_QUEUE:
            purge(queue)

    def _next(self, path: Path) -> Chunk | None:
        """The oldest chunk that is worth copying on this path; drops what is not."""
        queue = self._queues.get(path.path_id)
        while queue:
            chunk = queue[0]
            is_missing = chunk.is_wanted and not chunk.is_queued and not chunk.paths_in_flight & path.bit
            if is_missing and len(chunk.frame) <= path.network.room:
                return chunk
            queue.popleft()
        return None


class NewData(Source):
    """New data of the streams; bulk data does not begin on a path that is much slower than the best one."""

    def __init__(self, outbox: Outbox, turns: SendTurns) -> None:
        self._outbox = outbox
        self._turns = turns

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return self._turns.has_data(takes_bulk=not is_slow(path, paths))

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        self._outbox.take_new(draft.chunks, draft.room_for_new, takes_bulk=not is_slow(path, paths), now=now)
