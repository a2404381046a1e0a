"""The scheduler of mode `adaptive`: interactive data on all paths, bulk data spread over them."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from tandem_transport.parameters import BULK_LOSSES, GRANULARITY, IDLE_AFTER, MAX_COPY_QUEUE, MAX_IDLE_LOOK, STALL_LOOK
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.duplicate import purge
from tandem_transport.sending.outbox import LEAST_ROOM, Outbox
from tandem_transport.sending.scheduler import is_slow, is_spared, may_repair, may_resend
from tandem_transport.streams.turns import SendTurns
from tandem_transport.wire.frames import PathUse

_LEAST_SHARE = 1 / 16
"""Of the faster paths' rate: what a slow path with less than that could add is not worth waiting for."""

_TRIAL_SHARE = 8
"""Bytes of backlog for each byte in flight on a slow path that has not shown yet what it carries."""


class Adaptive:
    """In this order: control frames and lost data, copies that are due, data that stalls elsewhere, new data,
    and in an idle moment copies of what is oldest.

    A path takes bulk data only where waiting for the faster ones would take longer than its own
    extra delay (earliest completion first), so that a slow path never makes things slower.
    """

    def __init__(self, outbox: Outbox, turns: SendTurns, *, max_ack_delay: float) -> None:
        """`turns` has the new data of all streams; `max_ack_delay` is the peer's, in seconds."""
        self._outbox = outbox
        self._turns = turns
        self._max_ack_delay = max_ack_delay
        self._copies = CopyPlanner(max_ack_delay=max_ack_delay)
        self._stalled: deque[Chunk] = deque()
        self._looked_up_to: dict[int, int] = {}
        """By path id: packets up to this number were found overdue already."""
        self._looked_at = 0.0
        self._unacked: deque[Chunk] = deque()
        """In order of their first sending; what is done is dropped from the front."""
        self._idle_at = 0.0
        """When the session has had nothing new to send for long enough."""
        self._idle_seen_at = 0.0
        """When it was first found to be so."""

    def select(self, path: Path, room: int, new_room: int, *, paths: Sequence[Path], now: float) -> list[Chunk]:
        outbox, chunks, full = self._outbox, list[Chunk](), room
        if is_spared(path, paths):
            self._copies.take(path, chunks, room)
            return chunks
        if outbox.control:
            room = outbox.take_waiting(outbox.control, chunks, room, full)
        if outbox.lost and may_resend(path, paths):
            room = self._take_lost(path, paths, chunks, room, full)
        room = self._copies.take(path, chunks, room)
        if self._stalled:
            room = self._take_stalled(path, chunks, room)
        if self._turns.has_data():
            takes_bulk = path is self._best(paths) or (may_repair(path, paths) and self._takes_bulk(path, paths))
            outbox.take_new(chunks, room - full + new_room, takes_bulk=takes_bulk, now=now)
        if not chunks and self._unacked and self._is_idle(path, paths, now):
            self._take_idle(path, chunks, room)
        return chunks

    def has_work_for(self, path: Path, *, paths: Sequence[Path], now: float) -> bool:
        if is_spared(path, paths):
            return self._copies.has_due(path)
        outbox, repairs = self._outbox, may_repair(path, paths)
        if outbox.control or self._copies.has_due(path):
            return True
        if may_resend(path, paths) and outbox.has_lost():
            return True
        if self._turns.has_data(takes_bulk=False):
            return True
        if repairs and self._turns.has_data() and self._takes_bulk(path, paths):
            return True
        if any(_lacks(path, chunk) for chunk in self._stalled):
            return True
        return bool(self._unacked) and self._is_idle(path, paths, now) and self._next_idle(path) is not None

    def on_sent(self, chunks: list[Chunk], path: Path, *, paths: Sequence[Path], now: float) -> None:
        for chunk in chunks:
            if chunk.first_packet is not None:
                continue
            self._unacked.append(chunk)
            # After a stream's end nobody takes breath: what is slow elsewhere is all that is missing.
            self._idle_at, self._idle_seen_at = now + (0.0 if chunk.is_fin else IDLE_AFTER), float("inf")
            if chunk.is_interactive:
                begin_here = [path, *(other for other in paths if other is not path)]
                self._copies.plan(chunk, begin_here, now=now)
        if len(self._unacked) > MAX_IDLE_LOOK:
            self._forget_done()

    def handle_timeout(self, *, paths: Sequence[Path], now: float) -> None:
        if not paths:
            return
        self._copies.handle_timeout(paths, now=now)
        if len(paths) > 1 and now >= self._looked_at + STALL_LOOK:
            self._looked_at = now
            for path in paths:
                self._look_for_stalls(path, paths[0].network.rtt.smoothed, now)

    def next_timeout(self, *, paths: Sequence[Path], now: float) -> float | None:
        times = [self._copies.next_timeout(paths)]
        if self._unacked and self._idle_seen_at >= now and not all(path.is_window_limited() for path in paths):
            times.append(max(self._idle_at, now + GRANULARITY))
        if len(paths) > 1:
            times += [self._stalls_at(path, paths[0].network.rtt.smoothed) for path in paths]
        return min((time for time in times if time is not None), default=None)

    # --- kinds of data ---

    def _take_lost(self, path: Path, paths: Sequence[Path], chunks: list[Chunk], room: int, full: int) -> int:
        before = len(chunks)
        room = self._outbox.take_waiting(self._outbox.lost, chunks, room, full)
        other = next((other for other in paths if other is not path), None)
        is_dear = other is not None and is_spared(other, paths)
        for chunk in chunks[before:]:
            if other is not None and (chunk.is_interactive or (chunk.losses >= BULK_LOSSES and not is_dear)):
                self._copies.add_now(chunk, other)
        return room

    def _take_stalled(self, path: Path, chunks: list[Chunk], room: int) -> int:
        """Data whose only packet is overdue elsewhere."""
        for _ in range(len(self._stalled)):
            chunk = self._stalled[0]
            if chunk.is_wanted and len(chunk.frame) > path.network.room:
                self._stalled.rotate(-1)  # another path takes it
                continue
            if chunk.is_wanted and (chunk.paths_in_flight & path.bit or len(chunk.frame) > room):
                return room
            self._stalled.popleft()
            if chunk.is_wanted and chunk not in chunks:
                chunks.append(chunk)
                room -= len(chunk.frame)
        return room

    def _is_late(self, path: Path) -> bool:
        """Nothing has arrived of what was sent after a packet that is overdue: the path carries less than it did."""
        if path.network.congestion.is_starting:
            return False  # its first packets are overdue by a clock that did not know it
        return self._looked_up_to.get(path.path_id, -1) > path.recovery.largest_acked

    def _best(self, paths: Sequence[Path]) -> Path:
        """The path that takes bulk data in any case."""
        first: Path | None = None
        for path in paths:
            if is_spared(path, paths):
                continue
            if not self._is_late(path):
                return path
            first = first or path
        return first or paths[0]

    def _takes_bulk(self, path: Path, paths: Sequence[Path]) -> bool:
        """Earliest completion first: whether the backlog keeps faster paths busy for longer than this one delays."""
        if self._is_late(path):
            return False
        rtt = path.network.rtt.smoothed
        rate, least_rtt = 0.0, rtt
        for other in paths:
            other_rtt = other.network.rtt.smoothed
            if is_spared(other, paths) or other.probing.reachability is not Reachability.ACTIVE:
                continue
            if other_rtt and (other_rtt < rtt or not rtt):
                rate += other.network.congestion.pacing_rate
                least_rtt = min(least_rtt, other_rtt)
        if not rate:
            return True
        if not rtt:
            return False
        needed, congestion = rate * (rtt - least_rtt) / 2, path.network.congestion
        if congestion.is_starting:
            # What is in flight there is sent again in no time should it turn out to be the end, and a path that
            # is never tried stays slow.
            needed = min(needed, _TRIAL_SHARE * path.recovery.bytes_in_flight)
        elif is_slow(path, paths) and congestion.pacing_rate < _LEAST_SHARE * rate:
            return False
        return self._turns.has_backlog(needed)

    def _is_idle(self, path: Path, paths: Sequence[Path], now: float) -> bool:
        """There is nothing new, or only what faster paths carry sooner; a download that takes breath is not idle.

        A copy that comes too late, or makes a queue longer, helps nobody.
        """
        if path.use is PathUse.METERED or path.network.has_queue(path.recovery.bytes_in_flight) or is_slow(path, paths):
            return False
        if self._turns.has_data():
            return True
        if now < self._idle_at:
            return False
        # An event loop that comes late finds everything old. Who fills the streams gets a turn first.
        self._idle_seen_at = min(self._idle_seen_at, now)
        return now > self._idle_seen_at

    def _take_idle(self, path: Path, chunks: list[Chunk], room: int) -> None:
        while room >= LEAST_ROOM:
            chunk = self._next_idle(path, besides=chunks)
            if chunk is None or len(chunk.frame) > room:
                return
            chunks.append(chunk)
            room -= len(chunk.frame)

    def _next_idle(self, path: Path, besides: Sequence[Chunk] = ()) -> Chunk | None:
        """The oldest chunk that waits for an acknowledgement and that this path has not carried."""
        self._forget_done()
        for chunk in islice(self._unacked, MAX_IDLE_LOOK):
            if chunk.is_queued or not _lacks(path, chunk):
                continue
            if chunk not in besides:
                return chunk
        return None

    def _forget_done(self) -> None:
        unacked = self._unacked
        while unacked and not unacked[0].is_wanted:
            unacked.popleft()
        if len(unacked) > MAX_COPY_QUEUE:
            purge(unacked)

    # --- stalls ---

    def _overdue_after(self, path: Path, best_rtt: float) -> float:
        """Age at which a packet should have been acknowledged.

        The path's own clock says how late it usually is, and how long what is in flight takes to arrive; but a path
        whose queue grows without end gives itself ever more time, and so the best path's RTT limits that.
        """
        rtt, congestion, jitter = path.network.rtt, path.network.congestion, 4 * path.network.queue.packet_noise
        own = rtt.smoothed + max(4 * rtt.variation, jitter)
        if congestion.capacity:
            own = max(own, path.recovery.bytes_in_flight / congestion.capacity)
        return min(own, rtt.minimum + jitter + 2 * (congestion.queue_target + best_rtt)) + self._max_ack_delay

    def _look_for_stalls(self, path: Path, best_rtt: float, now: float) -> None:
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

    def _stalls_at(self, path: Path, best_rtt: float) -> float | None:
        """When the oldest packet that was not found overdue yet will be."""
        oldest = next(path.recovery.outstanding_after(self._looked_up_to.get(path.path_id, -1)), None)
        if oldest is None:
            return None
        return max(oldest.sent_at + self._overdue_after(path, best_rtt), self._looked_at + STALL_LOOK)


def _lacks(path: Path, chunk: Chunk) -> bool:
    """Whether a path could carry a chunk that is wanted, and does not."""
    return chunk.is_wanted and not chunk.paths_in_flight & path.bit and len(chunk.frame) <= path.network.room
