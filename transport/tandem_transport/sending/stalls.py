"""Data that is overdue: its only packet should already have been acknowledged."""

from collections import deque
from collections.abc import Sequence

from tandem_transport.parameters import MAX_COPY_QUEUE, MAX_STALL_LOOK, STALL_LOOK
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.sources import Draft, Source, purge


class StalledChunks(Source):
    """Looks for overdue packets on all paths, and offers their data to the other paths."""

    def __init__(self, *, max_ack_delay: float) -> None:
        """`max_ack_delay` is the peer's, in seconds."""
        self._max_ack_delay = max_ack_delay
        self._stalled: deque[Chunk] = deque()
        self._looked_up_to: dict[int, int] = {}
        """By path id: packets up to this number were found overdue already."""
        self._looked_at = 0.0

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return self._first_for(path) is not None

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        while (chunk := self._first_for(path)) is not None and len(chunk.frame) <= draft.room:
            self._stalled.popleft()
            if chunk not in draft.chunks:
                draft.add(chunk)

    def is_late(self, path: Path) -> bool:
        """Nothing has arrived of what was sent after a packet that is overdue: the path carries less than it did."""
        if path.network.congestion.is_starting:
            return False  # its first packets count as overdue only because its delays were not known yet
        return self._looked_up_to.get(path.path_id, -1) > path.recovery.largest_acked

    def handle_timeout(self, paths: Sequence[Path], *, now: float) -> None:
        """Looks for packets that have become overdue."""
        if len(paths) > 1 and now >= self._looked_at + STALL_LOOK:
            self._looked_at = now
            for path in paths:
                self._look(path, paths[0].network.rtt.smoothed, now)

    def next_timeout(self, paths: Sequence[Path]) -> float | None:
        """When `handle_timeout` has something to do."""
        if len(paths) <= 1:
            return None
        times = [self._overdue_at(path, paths[0].network.rtt.smoothed) for path in paths]
        return min((time for time in times if time is not None), default=None)

    def _first_for(self, path: Path) -> Chunk | None:
        """The first chunk, where this path can help it. Those that are too large for the path go to the end."""
        stalled, looks = self._stalled, MAX_STALL_LOOK
        while stalled and looks:
            chunk = stalled[0]
            if not chunk.is_wanted:
                stalled.popleft()
            elif len(chunk.frame) <= path.network.room:
                return None if chunk.paths_in_flight & path.bit else chunk
            else:
                stalled.rotate(-1)
                looks -= 1
        return None

    def _overdue_after(self, path: Path, best_rtt: float) -> float:
        """Age at which a packet should have been acknowledged.

        It follows from the path's own delay and jitter, and from the time that the bytes in flight take to arrive.
        But a path whose queue grows without end would get more and more time, so the best path's RTT limits this age.
        """
        rtt, congestion, jitter = path.network.rtt, path.network.congestion, 4 * path.network.queue.packet_noise
        own = rtt.smoothed + max(4 * rtt.variation, jitter)
        if congestion.capacity:
            own = max(own, path.recovery.bytes_in_flight / congestion.capacity)
        return min(own, rtt.minimum + jitter + 2 * (congestion.queue_target + best_rtt)) + self._max_ack_delay

    def _look(self, path: Path, best_rtt: float, now: float) -> None:
        latest = now - self._overdue_after(path, best_rtt)
        for packet in path.recovery.outstanding_after(self._looked_up_to.get(path.path_id, -1)):
            if packet.sent_at > latest:
                return
            self._looked_up_to[path.path_id] = packet.number
            for chunk in packet.chunks:
                if chunk.is_wanted and not chunk.is_queued and not chunk.paths_in_flight & ~path.bit:
                    self._stalled.append(chunk)
        if len(self._stalled) > MAX_COPY_QUEUE:
            purge(self._stalled)

    def _overdue_at(self, path: Path, best_rtt: float) -> float | None:
        """When the oldest packet that was not found overdue yet becomes overdue; None without such a packet."""
        oldest = next(path.recovery.outstanding_after(self._looked_up_to.get(path.path_id, -1)), None)
        if oldest is None:
            return None
        return max(oldest.sent_at + self._overdue_after(path, best_rtt), self._looked_at + STALL_LOOK)
