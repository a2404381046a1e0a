"""STATS frames: what each end counts for the other."""

from collections.abc import Iterable, Mapping

from tandem_transport.path.path import Path
from tandem_transport.wire.frames import PathCount, StatsFrame


class Reports:
    """Sends ours, keeps the peer's newest."""

    def __init__(self) -> None:
        self._sequence = 0
        self._peer_sequence = 0
        self.peer_rescued = 0
        """Chunks that copies of the peer's saved, by its count."""
        self.peer_copied = 0
        """Bytes that the peer has sent again."""

    def make(self, rescued: int, copied: int, paths: Iterable[Path], *, now: float) -> StatsFrame:
        """What we counted of the peer's packets."""
        self._sequence += 1
        counts = [PathCount(path.path_id, *path.counters.received_and_missing(now=now)) for path in paths]
        return StatsFrame(self._sequence, rescued, copied, tuple(counts))

    def take(self, frame: StatsFrame, paths: Mapping[int, Path]) -> None:
        """The peer's; one that a newer one has overtaken is ignored."""
        if frame.sequence <= self._peer_sequence:
            return
        self._peer_sequence = frame.sequence
        self.peer_rescued, self.peer_copied = frame.rescued, frame.copied
        for count in frame.counts:
            if count.path_id in paths:
                paths[count.path_id].peer_count = count
