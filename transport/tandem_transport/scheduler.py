"""What a path that may send carries next."""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from tandem_transport.outbox import Outbox
from tandem_transport.parameters import MAX_COPY_QUEUE
from tandem_transport.paths import Path, Reachability
from tandem_transport.sent_packet import Chunk

_LEAST_ROOM = 64
"""Room below which a packet counts as full."""


class Scheduler(Protocol):
    """An order of preference for a path that has room to send."""

    def select(self, path: Path, room: int, *, paths: Iterable[Path]) -> list[Chunk]:
        """Chunks for one packet, whose frames fit in `room` bytes; empty for nothing to send."""
        ...

    def has_work_for(self, path: Path, *, paths: Iterable[Path]) -> bool:
        """Whether `select` would find something."""
        ...

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Iterable[Path]) -> None:
        """These chunks, selected or probed, have left on `path`."""
        ...


class Duplicate:
    """Lost data, then copies of what another path carries, then new data.

    Every path works through its own queue of copies, oldest first. What was acknowledged in
    the meantime is skipped, so the slower path never holds the faster one back.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._copies: dict[int, deque[Chunk]] = {}

    def select(self, path: Path, room: int, *, paths: Iterable[Path]) -> list[Chunk]:
        outbox, chunks = self._outbox, list[Chunk]()
        room = outbox.take_waiting(outbox.control, chunks, room)
        if _may_repair(path, paths):
            room = outbox.take_waiting(outbox.lost, chunks, room)
        room = self._take_copies(path, chunks, room)
        if room >= _LEAST_ROOM:
            outbox.take_new(chunks, room)
        return chunks

    def has_work_for(self, path: Path, *, paths: Iterable[Path]) -> bool:
        outbox = self._outbox
        if outbox.control or outbox.streams.has_fresh_data or self._next_copy(path) is not None:
            return True
        return outbox.has_lost() and _may_repair(path, paths)

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Iterable[Path]) -> None:
        to_copy = [chunk for chunk in chunks if chunk.paths_in_flight == path.bit]
        for other in paths:
            if other is path:
                continue
            queue = self._copies.setdefault(other.path_id, deque())
            for chunk in to_copy:
                if chunk.first_lost_at is None:
                    queue.append(chunk)
                else:
                    queue.appendleft(chunk)  # a retransmission: its copy is urgent
            if len(queue) > MAX_COPY_QUEUE:
                _purge(queue)

    def _take_copies(self, path: Path, chunks: list[Chunk], room: int) -> int:
        while room >= _LEAST_ROOM:
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
            if chunk.is_wanted and not chunk.is_queued and not chunk.paths_in_flight & path.bit:
                return chunk
            queue.popleft()
        return None


def _may_repair(path: Path, paths: Iterable[Path]) -> bool:
    """Lost data goes on a suspect path only where no active one exists."""
    if path.reachability is Reachability.ACTIVE:
        return True
    return not any(other.reachability is Reachability.ACTIVE for other in paths)


def _purge(queue: deque[Chunk]) -> None:
    wanted = [chunk for chunk in queue if chunk.is_wanted][-MAX_COPY_QUEUE // 2 :]
    queue.clear()
    queue.extend(wanted)
