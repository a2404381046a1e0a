"""Sums over the last seconds, for the figures that people see."""

from collections import deque
from math import inf
from typing import Final

_BUCKETS: Final = 10
_LIMIT_HOLD: Final = 5.0
"""Seconds for which a limit that the peer tells is taken for true; it repeats it every second."""


class _Sums:
    """Two sums; `tick` numbers the tenth of a period that they belong to."""

    __slots__ = ("first", "second", "tick")

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.first = self.second = 0.0


class RecentSums:
    """Sums of two values over a sliding period, in ten buckets."""

    __slots__ = ("_buckets", "_newest", "_now", "_per_second", "_totals")

    def __init__(self, period: float) -> None:
        self._per_second = _BUCKETS / period
        self._buckets: deque[_Sums] = deque()
        self._totals = _Sums(0)
        self._now = -inf
        self._newest = _Sums(0)
        """The bucket of `_now`, kept because most values are added many times in one turn."""

    def add(self, first: float, second: float, *, now: float) -> None:
        """Adds to both sums."""
        if now != self._now:
            self._move_to(now)
        newest, totals = self._newest, self._totals
        newest.first += first
        newest.second += second
        totals.first += first
        totals.second += second

    def totals(self, *, now: float) -> tuple[float, float]:
        """The sums of the period that ends now."""
        self._expire(int(now * self._per_second))
        self._now = -inf
        return self._totals.first, self._totals.second

    def _move_to(self, now: float) -> None:
        self._now = now
        tick = int(now * self._per_second)
        if not self._buckets or self._buckets[-1].tick != tick:
            self._expire(tick)
            self._buckets.append(_Sums(tick))
        self._newest = self._buckets[-1]

    def _expire(self, tick: int) -> None:
        totals = self._totals
        while self._buckets and self._buckets[0].tick <= tick - _BUCKETS:
            old = self._buckets.popleft()
            totals.first -= old.first
            totals.second -= old.second
        if not self._buckets:
            totals.first = totals.second = 0.0


class PathCounters:
    """What one path has done: rates, losses in both directions, frames that it brought first."""

    def __init__(self) -> None:
        self.bytes_sent = 0
        self.bytes_received = 0
        self._rates = RecentSums(1)
        self._sent = RecentSums(10)
        self._received = RecentSums(10)
        self._won = RecentSums(60)
        self._peer_count = (0, 0)
        self._peer_limit = (0, -inf)
        """The limit that the peer told last, in bytes per second, and when."""

    def on_sent(self, size: int, *, now: float) -> None:
        self.bytes_sent += size
        self._rates.add(size, 0, now=now)

    def on_received(self, size: int, advance: int, *, now: float) -> None:
        """A packet has arrived; `advance`: how far it moved the largest packet number, 0 for a late packet."""
        self.bytes_received += size
        self._rates.add(0, size, now=now)
        self._received.add(1, advance, now=now)

    def on_acked(self, packets: int, *, now: float) -> None:
        self._sent.add(packets, 0, now=now)

    def on_lost(self, packets: int, *, now: float) -> None:
        self._sent.add(0, packets, now=now)

    def on_won(self, *, now: float) -> None:
        """A frame on this path has brought bytes that no other path had brought."""
        self._won.add(1, 0, now=now)

    def on_peer_count(self, received: int, missing: int) -> None:
        """The peer's newest count of our packets (STATS)."""
        self._peer_count = (received, missing)

    def on_peer_limit(self, rate: int, *, now: float) -> None:
        """The peer has found that the path drops what exceeds a rate, in bytes per second, on its way here."""
        self._peer_limit = (rate, now)

    def peer_limit(self, *, now: float) -> int:
        """Bytes per second above which the path drops what the peer sends; 0 where it has no such limit."""
        rate, told_at = self._peer_limit
        return rate if now < told_at + _LIMIT_HOLD else 0

    @property
    def loss_at_peer(self) -> float | None:
        """Share of our packets that were missing at the peer in its last 10 s, None where it counted none."""
        received, missing = self._peer_count
        return missing / (received + missing) if received + missing else None

    def rates(self, *, now: float) -> tuple[float, float]:
        """The bytes sent and the bytes received in the last second."""
        sent, received = self._rates.totals(now=now)
        return sent, received

    def loss_sent(self, *, minimum: int = 1, now: float) -> float | None:
        """lost / (acked + lost) of the last 10 s, None with fewer packets than `minimum`."""
        acked, lost = self._sent.totals(now=now)
        return lost / (acked + lost) if acked + lost >= minimum else None

    def received_and_missing(self, *, now: float) -> tuple[int, int]:
        """The packets that arrived in the last 10 s, and the packet numbers that were skipped in that time."""
        received, advance = self._received.totals(now=now)
        return int(received), max(0, int(advance - received))

    def loss_received(self, *, minimum: int = 1, now: float) -> float | None:
        """missing / (received + missing) of the last 10 s, None with fewer packets than `minimum`."""
        received, missing = self.received_and_missing(now=now)
        return missing / (received + missing) if received + missing >= minimum else None

    def won(self, *, now: float) -> int:
        """Frames of the last 60 s that this path brought first."""
        return int(self._won.totals(now=now)[0])
