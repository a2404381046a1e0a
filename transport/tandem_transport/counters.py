"""Sums over the last seconds, for figures that people look at."""

from collections import deque

_BUCKETS = 10


class RecentSums:
    """Sums of several values over a sliding period, in ten buckets."""

    __slots__ = ("_buckets", "_per_second", "_totals")

    def __init__(self, period: float, width: int) -> None:
        self._per_second = _BUCKETS / period
        self._buckets: deque[tuple[int, list[float]]] = deque()
        self._totals = [0.0] * width

    def add(self, index: int, amount: float, *, now: float) -> None:
        """Adds to value number `index`."""
        tick = int(now * self._per_second)
        if not self._buckets or self._buckets[-1][0] != tick:
            self._expire(tick)
            self._buckets.append((tick, [0.0] * len(self._totals)))
        self._buckets[-1][1][index] += amount
        self._totals[index] += amount

    def totals(self, *, now: float) -> list[float]:
        """The sums of the period that ends now."""
        self._expire(int(now * self._per_second))
        return list(self._totals)

    def _expire(self, tick: int) -> None:
        while self._buckets and self._buckets[0][0] <= tick - _BUCKETS:
            for index, amount in enumerate(self._buckets.popleft()[1]):
                self._totals[index] -= amount
        if not self._buckets:
            self._totals = [0.0] * len(self._totals)


class PathCounters:
    """What one path has done: rates, losses both ways, deliveries won."""

    def __init__(self) -> None:
        self.bytes_sent = 0
        self.bytes_received = 0
        self._rates = RecentSums(1, 2)
        self._sent = RecentSums(10, 2)
        self._received = RecentSums(10, 2)
        self._won = RecentSums(60, 1)

    def on_sent(self, size: int, *, now: float) -> None:
        self.bytes_sent += size
        self._rates.add(0, size, now=now)

    def on_received(self, size: int, advance: int, *, now: float) -> None:
        """`advance`: how far the largest packet number moved on, 0 for a late packet."""
        self.bytes_received += size
        self._rates.add(1, size, now=now)
        self._received.add(0, 1, now=now)
        self._received.add(1, advance, now=now)

    def on_acked(self, packets: int, *, now: float) -> None:
        self._sent.add(0, packets, now=now)

    def on_lost(self, packets: int, *, now: float) -> None:
        self._sent.add(1, packets, now=now)

    def on_won(self, *, now: float) -> None:
        """A frame brought bytes that no other path had brought."""
        self._won.add(0, 1, now=now)

    def rates(self, *, now: float) -> tuple[float, float]:
        """Bytes sent and received in the last second."""
        sent, received = self._rates.totals(now=now)
        return sent, received

    def loss_sent(self, *, least: int = 1, now: float) -> float | None:
        """lost / (acked + lost) of the last 10 s, None with fewer packets than `least`."""
        acked, lost = self._sent.totals(now=now)
        return lost / (acked + lost) if acked + lost >= least else None

    def received_and_missing(self, *, now: float) -> tuple[int, int]:
        """Packets of the last 10 s that arrived, and numbers that were skipped."""
        received, advance = self._received.totals(now=now)
        return int(received), max(0, int(advance - received))

    def loss_received(self, *, least: int = 1, now: float) -> float | None:
        """missing / (received + missing) of the last 10 s, None with fewer packets than `least`."""
        received, missing = self.received_and_missing(now=now)
        return missing / (received + missing) if received + missing >= least else None

    def won(self, *, now: float) -> int:
        """Frames of the last 60 s that this path brought first."""
        return int(self._won.totals(now=now)[0])
