"""Decides what a path that may send carries next: each scheduler is an ordered list of sources."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.preference import is_copies_only
from tandem_transport.sending.sources import Draft, Source


class Scheduler(ABC):
    """An order of preference for a path that has room to send. `paths` are those in use, best first."""

    def __init__(self, sources: Sequence[Source], copies: Sequence[Source]) -> None:
        """`sources` in the order in which they fill a packet; `copies`: those that a metered path carries, too."""
        self._sources = tuple(sources)
        self._copies_only = tuple(copies)

    def select(self, path: Path, room: int, new_room: int, *, paths: Sequence[Path], now: float) -> list[Chunk]:
        """Chunks for one packet, whose frames fit in `room` bytes; empty if there is nothing to send.

        New chunks fit in `new_room`, so that any path in use can carry a copy.
        """
        draft = Draft(room, new_room)
        for source in self._copies_only if is_copies_only(path, paths) else self._sources:
            source.take(path, paths, draft, now=now)
        return draft.chunks

    def has_work_for(self, path: Path, *, paths: Sequence[Path], now: float) -> bool:
        """Whether `select` would find something."""
        for source in self._copies_only if is_copies_only(path, paths) else self._sources:
            if source.has(path, paths, now=now):
                return True
        return False

    @abstractmethod
    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Sequence[Path], now: float) -> None:
        """These chunks, from `select` or in a probe, leave on `path`; called before they are marked as in flight."""

    @abstractmethod
    def handle_timeout(self, *, paths: Sequence[Path], now: float) -> None:
        """To be called when `next_timeout` may have passed."""

    @abstractmethod
    def next_timeout(self, *, paths: Sequence[Path], now: float) -> float | None:
        """When `has_work_for` may change although nothing arrives."""
