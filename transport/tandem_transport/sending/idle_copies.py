"""Copies of unacknowledged data, at moments when there is nothing else to send."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import inf

from tandem_transport.parameters import GRANULARITY, IDLE_AFTER, MAX_COPY_QUEUE, MAX_IDLE_LOOK
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.outbox import MIN_ROOM
from tandem_transport.sending.preference import is_slow
from tandem_transport.sending.sources import Draft, Source, purge
from tandem_transport.streams.turns import SendTurns
from tandem_transport.wire.frames import PathUse


class IdleCopies(Source):
    """Copies of unacknowledged data on idle paths, so that what was sent last arrives sooner."""

    def __init__(self, turns: SendTurns) -> None:
        self._turns = turns
        self._unacked: deque[Chunk] = deque()
        """Chunks in the order of their first sending; those that are done are dropped from the front."""
        self._idle_at = 0.0
        """When the session becomes idle if nothing new is sent before."""
        self._idle_seen_at = 0.0
        """When the session was first found to be idle; infinite after something new was sent."""

    def on_new(self, chunk: Chunk, *, now: float) -> None:
        """A chunk leaves for the first time."""
        self._unacked.append(chunk)
        # The end of a stream is not a short pause: only the data on slow paths is missing, so copy it at once.
        self._idle_at, self._idle_seen_at = now + (0.0 if chunk.is_fin else IDLE_AFTER), inf
        if len(self._unacked) > MAX_IDLE_LOOK:
            self._forget_done()

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        return bool(self._unacked) and self._is_idle(path, paths, now) and self._next(path) is not None

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        if draft.chunks or not self._unacked or not self._is_idle(path, paths, now):
            return
        while draft.room >= MIN_ROOM:
            chunk = self._next(path, besides=draft.chunks)
            if chunk is None or len(chunk.frame) > draft.room:
                return
            draft.add(chunk)

    def next_timeout(self, paths: Sequence[Path], *, now: float) -> float | None:
        """When the session may have become idle."""
        if self._unacked and self._idle_seen_at >= now and not all(path.is_window_limited() for path in paths):
            return max(self._idle_at, now + GRANULARITY)
        return None

    def _is_idle(self, path: Path, paths: Sequence[Path], now: float) -> bool:
        """Nothing new waits, and a short pause in a download is not idle.

        A path whose copies would come too late, or would make a queue longer, is not idle either.
        """
        if path.use is PathUse.METERED or path.network.has_queue(path.recovery.bytes_in_flight) or is_slow(path, paths):
            return False
        if self._turns.has_data() or now < self._idle_at:
            return False
        # To a late event loop every moment looks idle, so the application gets a turn first to fill the streams.
        self._idle_seen_at = min(self._idle_seen_at, now)
        return now > self._idle_seen_at

    def _next(self, path: Path, besides: Sequence[Chunk] = ()) -> Chunk | None:
        """The oldest chunk that waits for an acknowledgement and that this path has not carried."""
        self._forget_done()
        for chunk in islice(self._unacked, MAX_IDLE_LOOK):
            if chunk.is_queued or not chunk.is_missing_on(path.bit, path.network.room):
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
