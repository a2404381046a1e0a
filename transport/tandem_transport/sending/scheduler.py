"""What a path that may send carries next: the seam, and what all schedulers have in common."""

from collections.abc import Sequence
from typing import Protocol

from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.wire.frames import PathUse

_SLOW_RTTS = 3.0
"""RTTs of the best path: it finds a loss after 9/8 of one, and what it sends then takes another half."""


class Scheduler(Protocol):
    """An order of preference for a path that has room to send. `paths` are those in use, best first."""

    def select(self, path: Path, room: int, new_room: int, *, paths: Sequence[Path], now: float) -> list[Chunk]:
        """Chunks for one packet, whose frames fit in `room` bytes; empty for nothing to send.

        New ones fit in `new_room`, so that any path in use can carry a copy.
        """
        ...

    def has_work_for(self, path: Path, *, paths: Sequence[Path], now: float) -> bool:
        """Whether `select` would find something."""
        ...

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Sequence[Path], now: float) -> None:
        """These chunks, selected or probed, leave on `path`; called before they are marked as in flight."""
        ...

    def handle_timeout(self, *, paths: Sequence[Path], now: float) -> None:
        """`next_timeout` may have passed."""
        ...

    def next_timeout(self, *, paths: Sequence[Path], now: float) -> float | None:
        """When `has_work_for` may change although nothing arrives."""
        ...


def may_repair(path: Path, paths: Sequence[Path]) -> bool:
    """Lost data goes on a suspect path only where no active one exists, and so does bulk data."""
    # The best path is an active one, if there is any.
    return path.probing.reachability is Reachability.ACTIVE or paths[0].probing.reachability is not Reachability.ACTIVE


def is_slow(path: Path, paths: Sequence[Path]) -> bool:
    """What this path carries arrives later than what the best one sends when it finds the first packet lost."""
    best = paths[0]
    if best.probing.reachability is not Reachability.ACTIVE or not best.network.rtt.smoothed:
        return False
    return path.network.rtt.smoothed > _SLOW_RTTS * best.network.rtt.smoothed


def may_resend(path: Path, paths: Sequence[Path]) -> bool:
    """Lost data goes on a path that may repair, and on which it does not arrive late."""
    return may_repair(path, paths) and not is_slow(path, paths)


def is_spared(path: Path, paths: Sequence[Path]) -> bool:
    """A metered path carries nothing but copies of interactive data while one that costs nothing works."""
    if path.use is not PathUse.METERED:
        return False
    return any(other.use is PathUse.AVAILABLE and other.probing.reachability is Reachability.ACTIVE for other in paths)
