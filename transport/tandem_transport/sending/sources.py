"""Kinds of data that a packet may carry. A scheduler is an ordered list of these."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from tandem_transport.parameters import MAX_COPY_QUEUE
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.outbox import Outbox
from tandem_transport.sending.preference import may_resend


class Draft:
    """A packet that is being filled."""

    __slots__ = ("chunks", "full_room", "new_room", "room")

    def __init__(self, room: int, new_room: int) -> None:
        """Frames of `room` bytes fit in; new data gets `new_room` bytes, so that any path in use can carry a copy."""
        self.chunks: list[Chunk] = []
        self.room = self.full_room = room
        """Bytes that are left (`room`), and bytes of an empty packet (`full_room`)."""
        self.new_room = new_room

    @property
    def room_for_new(self) -> int:
        """Bytes that are left for new data."""
        return self.room - self.full_room + self.new_room

    def add(self, chunk: Chunk) -> None:
        """Adds a chunk that fits."""
        self.chunks.append(chunk)
        self.room -= len(chunk.frame)


class Source(ABC):
    """One kind of data to send. `paths` are those in use, best first."""

    @abstractmethod
    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        """Whether `take` would find something for an empty packet."""

    @abstractmethod
    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        """Moves what fits into the packet."""


class ControlFrames(Source):
    """Control frames, which must arrive."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return bool(self._outbox.control)

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        if self._outbox.control:
            draft.room = self._outbox.take_waiting(self._outbox.control, draft.chunks, draft.room, draft.full_room)


class LostChunks(Source):
    """Chunks that were declared lost and are still wanted."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return may_resend(path, paths) and self._outbox.has_lost()

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        if self._outbox.lost and may_resend(path, paths):
            draft.room = self._outbox.take_waiting(self._outbox.lost, draft.chunks, draft.room, draft.full_room)


class PlannedCopies(Source):
    """Copies of interactive data that are due."""

    def __init__(self, planner: CopyPlanner) -> None:
        self._planner = planner

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return self._planner.has_due(path)

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        draft.room = self._planner.take(path, draft.chunks, draft.room)


def purge(queue: deque[Chunk]) -> None:
    """Makes room in a queue of chunks: drops those that are no longer wanted, then the oldest."""
    wanted = [chunk for chunk in queue if chunk.is_wanted][-MAX_COPY_QUEUE // 2 :]
    queue.clear()
    queue.extend(wanted)
