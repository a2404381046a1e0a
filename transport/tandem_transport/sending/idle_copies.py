"""Copies of what waits for an acknowledgement, in moments in which nothing else is to be sent."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from tandem_transport.parameters import GRANULARITY, IDLE_AFTER, MAX_COPY_QUEUE, MAX_IDLE_LOOK
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.outbox import MIN_ROOM
from tandem_transport.sending.preference import is_slow
from tandem_transport.sending.sources import Draft, Source, purge
from tandem_transport.streams.turns import SendTurns
from tandem_transport.wire.frames import PathUse


class IdleCopies(Source):
    """What was sent last arrives sooner where an idle path carries it once more."""

    def __init__(self, turns: SendTurns) -> None:
        self._turns = turns
        self._unacked: deque[Chunk] = deque()
        """In order of their first sending; what is done is dropped from the front."""
        self._idle_at = 0.0
        """When the session has had nothing new to send for long enough."""
        self._idle_seen_at = 0.0
        """When it was first found to be so."""

    def on_new(self, chunk: Chunk, *, now: float) -> None:
        """A chunk leaves for the first time."""
        self._unacked.append(chunk)
        # After a stream's end nobody takes breath: what is slow elsewhere is all that is missing.
        self._idle_at, self._idle_seen_at = now + (0.0 if chunk.is_fin else IDLE_AFTER), float("inf")
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
