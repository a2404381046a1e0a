"""STATS and PATH_LIMITS frames: what each end finds out for the other."""

from collections.abc import Mapping, Sequence

from tandem_transport.path.order import in_order
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.wire.frames import PathCount, PathLimit, PathLimitsFrame, StatsFrame


class Reports:
    """Sends our STATS and PATH_LIMITS frames, and keeps the newest values of the peer."""

    def __init__(self, *, tells_limits: bool) -> None:
        """`tells_limits`: the peer knows PATH_LIMITS."""
        self._tells_limits = tells_limits
        self._sequence = 0
        self._peer_sequence = self._peer_limits_sequence = 0
        self.peer_rescued = 0
        """Chunks that the peer's copies have saved, as the peer counts them."""
        self.peer_copied = 0
        """Bytes that the peer has sent again, as copies or retransmissions."""

    def send(self, rescued: int, copied: int, paths: Sequence[Path], *, now: float) -> None:
        """Tells the peer, on each path that works, what we counted of its packets."""
        self._sequence += 1
        counts = [PathCount(path.path_id, *path.counters.received_and_missing(now=now)) for path in paths]
        frames = [StatsFrame(self._sequence, rescued, copied, tuple(counts)).encode()]
        limits = [
            PathLimit(path.path_id, int(path.network.policed_rate)) for path in paths if path.network.policed_rate
        ]
        if limits and self._tells_limits:
            frames.append(PathLimitsFrame(self._sequence, tuple(limits)).encode())
        for path in in_order(paths):
            if path.probing.reachability is Reachability.ACTIVE:
                path.own_frames.extend(frames)

    def take(self, frame: StatsFrame, paths: Mapping[int, Path]) -> None:
        """Takes the values of the peer's STATS frame; ignores a frame that a newer one has overtaken."""
        if frame.sequence <= self._peer_sequence:
            return
        self._peer_sequence = frame.sequence
        self.peer_rescued, self.peer_copied = frame.rescued, frame.copied
        for count in frame.counts:
            if count.path_id in paths:
                paths[count.path_id].counters.on_peer_count(count.received, count.missing)

    def take_limits(self, frame: PathLimitsFrame, paths: Mapping[int, Path], *, now: float) -> None:
        """Takes the limits that the peer has found; ignores a frame that a newer one has overtaken."""
        if frame.sequence <= self._peer_limits_sequence:
            return
        self._peer_limits_sequence = frame.sequence
        for limit in frame.limits:
            if limit.path_id in paths:
                paths[limit.path_id].counters.on_peer_limit(limit.rate, now=now)
