"""STATS frames: what each end counts for the other."""

from collections.abc import Mapping, Sequence

from tandem_transport.path.order import in_order
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.wire.frames import PathCount, StatsFrame


class Reports:
    """Sends our STATS frames, and keeps the newest values of the peer."""

    def __init__(self) -> None:
        self._sequence = 0
        self._peer_sequence = 0
        self.peer_rescued = 0
        """Chunks that the peer's copies have saved, as the peer counts them."""
        self.peer_copied = 0
        """Bytes that the peer has sent again, as copies or retransmissions."""

    def send(self, rescued: int, copied: int, paths: Sequence[Path], *, now: float) -> None:
        """Tells the peer, on each path that works, what we counted of its packets."""
        self._sequence += 1
        counts = [PathCount(path.path_id, *path.counters.received_and_missing(now=now)) for path in paths]
        frame = StatsFrame(self._sequence, rescued, copied, tuple(counts)).encode()
        for path in in_order(paths):
            if path.probing.reachability is Reachability.ACTIVE:
                path.own_frames.append(frame)

    def take(self, frame: StatsFrame, paths: Mapping[int, Path]) -> None:
        """Takes the values of the peer's STATS frame; ignores a frame that a newer one has overtaken."""
        if frame.sequence <= self._peer_sequence:
            return
        self._peer_sequence = frame.sequence
        self.peer_rescued, self.peer_copied = frame.rescued, frame.copied
        for count in frame.counts:
            if count.path_id in paths:
                paths[count.path_id].counters.on_peer_count(count.received, count.missing)
