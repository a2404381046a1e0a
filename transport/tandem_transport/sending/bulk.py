"""New data in mode `adaptive`: interactive data on any path, bulk data where it arrives earliest."""

from collections.abc import Sequence
from typing import Final

from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.sending.outbox import Outbox
from tandem_transport.sending.preference import is_copies_only, is_slow, may_repair
from tandem_transport.sending.sources import Draft, Source
from tandem_transport.sending.stalls import StalledChunks
from tandem_transport.streams.turns import SendTurns

_MIN_SHARE: Final = 1 / 16
"""Minimum rate of a slow path, as a share of the faster paths' rate: less is not worth waiting for."""

_TRIAL_SHARE: Final = 8
"""Bytes of backlog for each byte in flight on a slow path that has not shown yet what it carries."""


class SpreadData(Source):
    """Spreads new data over the paths.

    A path takes bulk data only where waiting for the faster ones would take longer than its own
    extra delay (earliest completion first), so that a slow path never makes things slower.
    """

    def __init__(self, outbox: Outbox, turns: SendTurns, stalls: StalledChunks) -> None:
        self._outbox = outbox
        self._turns = turns
        self._stalls = stalls

    def has(self, path: Path, paths: Sequence[Path], *, now: float) -> bool:
        if self._turns.has_data(takes_bulk=False):
            return True
        return self._turns.has_data() and self._may_take_bulk(path, paths)

    def take(self, path: Path, paths: Sequence[Path], draft: Draft, *, now: float) -> None:
        if self._turns.has_data():
            takes_bulk = self._may_take_bulk(path, paths)
            self._outbox.take_new(draft.chunks, draft.room_for_new, takes_bulk=takes_bulk, now=now)

    def _may_take_bulk(self, path: Path, paths: Sequence[Path]) -> bool:
        return path is self._best(paths) or (may_repair(path, paths) and self._completes_early(path, paths))

    def _best(self, paths: Sequence[Path]) -> Path:
        """The path that takes bulk data in any case."""
        first: Path | None = None
        for path in paths:
            if is_copies_only(path, paths):
                continue
            if not self._stalls.is_late(path):
                return path
            first = first or path
        return first or paths[0]

    def _completes_early(self, path: Path, paths: Sequence[Path]) -> bool:
        """Earliest completion first: whether the backlog keeps faster paths busy for longer than this one delays."""
        if self._stalls.is_late(path):
            return False
        rtt = path.network.rtt.smoothed
        rate, min_rtt = 0.0, rtt
        for other in paths:
            other_rtt = other.network.rtt.smoothed
            if is_copies_only(other, paths) or other.probing.reachability is not Reachability.ACTIVE:
                continue
            if other_rtt and (other_rtt < rtt or not rtt):
                rate += other.network.congestion.pacing_rate
                min_rtt = min(min_rtt, other_rtt)
        if not rate:
            return True
        if not rtt:
            return False
        needed, congestion = rate * (rtt - min_rtt) / 2, path.network.congestion
        if congestion.is_starting:
            # If this data turns out to be the end of the transfer, it is soon sent again elsewhere; and a path
            # that is never tried stays slow.
            needed = min(needed, _TRIAL_SHARE * path.recovery.bytes_in_flight)
        elif is_slow(path, paths) and congestion.pacing_rate < _MIN_SHARE * rate:
            return False
        return self._turns.has_backlog(needed)
