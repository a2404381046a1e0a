"""Copies of interactive data: how many, on which path, when."""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

from tandem_transport.parameters import (
    COPY_BUDGET,
    COPY_RTTS,
    COPY_SHARE,
    COPY_SPACING,
    INITIAL_PTO,
    MAX_COPIES,
    MAX_COPY_QUEUE,
    REPLAN_GROWTH,
    REPLAN_STEPS,
    RESIDUAL_LOSS,
    TINY_LEVEL,
)
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk


class CopyPlanner:
    """Plans copies when interactive data leaves, and again while it is not acknowledged.

    Within its limit it plans so many, round robin over the paths, that the probability of losing all
    of them is at most RESIDUAL_LOSS. Copies that still wait when the data is acknowledged are dropped.
    """

    def __init__(self, *, max_copies: int = MAX_COPIES, max_ack_delay: float) -> None:
        """`max_copies` limits the packets that carry a chunk, but one on each path is always allowed.

        `max_ack_delay` is the peer's, in seconds.
        """
        self._max_copies = max_copies
        self._max_ack_delay = max_ack_delay
        self._due: dict[int, deque[Chunk]] = {}
        """Copies that are due now, by path id."""
        self._later: list[tuple[float, int, int, Chunk]] = []
        """Copies that are due later: a heap of (time, tie-breaker, path id, chunk)."""
        self._again: list[tuple[float, int, int, Chunk]] = []
        """Chunks to plan for again: a heap of (time, tie-breaker, plans so far, chunk)."""
        self._order = count()
        self._budget = float(COPY_BUDGET)
        self._budget_at = 0.0

    def plan(self, chunk: Chunk, paths: Sequence[Path], *, plans: int = 0, now: float) -> None:
        """Plans copies of an interactive chunk that leaves on `paths[0]`; `paths` are those in use, best first."""
        copies = self._count(chunk, paths, now) - 1
        if copies * len(chunk.frame) > self._refilled(paths, now):
            copies = min(copies, 1)
        if self._budget < 0:
            return
        self._budget -= copies * len(chunk.frame)
        for number in range(1, copies + 1):
            turn, index = divmod(number, len(paths))
            if turn:
                entry = (now + turn * COPY_SPACING, next(self._order), paths[index].path_id, chunk)
                heappush(self._later, entry)
            else:
                self.add_now(chunk, paths[index])
        self.watch(chunk, paths, plans=plans, now=now)

    def watch(self, chunk: Chunk, paths: Sequence[Path], *, plans: int = 0, now: float) -> None:
        """Plans no copies of the chunk now, but will if it is not acknowledged in time."""
        if len(self._again) >= MAX_COPY_QUEUE:
            return
        wait = min(path.network.rtt.probe_timeout(self._max_ack_delay) for path in paths)
        again_at = now + wait * REPLAN_GROWTH ** min(plans, REPLAN_STEPS)
        heappush(self._again, (again_at, next(self._order), plans + 1, chunk))

    def add_now(self, chunk: Chunk, path: Path) -> None:
        """Queues a copy for this path, to leave as soon as the path may send."""
        queue = self._due.setdefault(path.path_id, deque())
        if len(queue) < MAX_COPY_QUEUE:
            queue.append(chunk)

    def take(self, path: Path, chunks: list[Chunk], room: int) -> int:
        """Moves copies that are due on this path and fit; returns the room that is left."""
        queue = self._due.get(path.path_id)
        while queue:
            chunk = queue[0]
            if chunk.is_wanted and chunk not in chunks and len(chunk.frame) <= path.network.room:
                if len(chunk.frame) > room:
                    break
                chunks.append(chunk)
                room -= len(chunk.frame)
            queue.popleft()
        return room

    def has_due(self, path: Path) -> bool:
        """Whether a copy waits for this path; drops those that are too large for it."""
        queue = self._due.get(path.path_id)
        while queue and not (queue[0].is_wanted and len(queue[0].frame) <= path.network.room):
            queue.popleft()
        return bool(queue)

    def handle_timeout(self, paths: Sequence[Path], *, now: float) -> None:
        """Queues the copies whose time has come; plans again for chunks that are not acknowledged."""
        while self._later and self._later[0][0] <= now:
            _, _, path_id, chunk = heappop(self._later)
            path = next((path for path in paths if path.path_id == path_id), paths[0])
            if chunk.is_wanted:
                self.add_now(chunk, path)
        while self._may_plan(paths) and self._again and self._again[0][0] <= now:
            _, _, plans, chunk = heappop(self._again)
            if chunk.is_wanted:
                self.add_now(chunk, paths[0])
                self.plan(chunk, paths, plans=plans, now=now)

    def next_timeout(self, paths: Sequence[Path]) -> float | None:
        """When `handle_timeout` has something to do."""
        heaps = (self._later, self._again) if self._may_plan(paths) else (self._later,)
        for heap in heaps:
            while heap and not heap[0][3].is_wanted:
                heappop(heap)
        return min((heap[0][0] for heap in heaps if heap), default=None)

    @staticmethod
    def _may_plan(paths: Sequence[Path]) -> bool:
        """Whether copies can help now: not while all paths are silent, when only their probes can."""
        return bool(paths) and paths[0].probing.reachability is not Reachability.SILENT

    def _count(self, chunk: Chunk, paths: Sequence[Path], now: float) -> int:
        """Number of packets that should carry the chunk, the first one included."""
        level = chunk.stream.level(now=now) if chunk.stream is not None else 0.0
        maximum = max(self._max_copies, len(paths)) if level <= TINY_LEVEL else len(paths)
        in_time = COPY_RTTS * min(path.network.rtt.smoothed or INITIAL_PTO for path in paths)
        number, residual = 0, 1.0
        while number < maximum and (number < len(paths) or residual > RESIDUAL_LOSS):
            path = paths[number % len(paths)]
            if (path.network.rtt.smoothed or INITIAL_PTO) <= in_time:
                residual *= path.network.loss_rate.value
            number += 1
        return number

    def _refilled(self, paths: Sequence[Path], now: float) -> float:
        """The budget as of now, in bytes; negative where it is overdrawn."""
        rate = COPY_SHARE * sum(path.network.congestion.pacing_rate for path in paths)
        self._budget = min(COPY_BUDGET, self._budget + (now - self._budget_at) * rate)
        self._budget_at = now
        return self._budget
