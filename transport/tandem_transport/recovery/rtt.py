"""Round-trip time of a path (RFC 9002 section 5)."""

from collections import deque
from typing import Final

from tandem_transport.parameters import (
    GRANULARITY,
    INITIAL_PTO,
    MAX_RTT,
    MIN_PTO_VARIANCE,
    TIME_THRESHOLD,
    TIME_THRESHOLD_SLACK,
)

_RECENT_SAMPLES: Final = 128
"""RTT samples that `p95` covers: a minute of keep-alives, or the last moments of a transfer."""


class MinimumFilter:
    """The minimum of the last `keep` seconds, in buckets of one second."""

    __slots__ = ("_buckets", "_keep", "value")

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._buckets: deque[tuple[float, float]] = deque()
        self.value = 0.0
        """The minimum; meaningless before the first sample."""

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def add(self, value: float, *, now: float) -> None:
        """Adds a sample and drops old buckets."""
        buckets = self._buckets
        if buckets and now - buckets[-1][0] < 1.0:
            if value < buckets[-1][1]:
                buckets[-1] = (buckets[-1][0], value)
                self.value = min(self.value, value)
            return
        buckets.append((now, value))
        while buckets[0][0] < now - self._keep:
            buckets.popleft()
        self.value = min(minimum for _, minimum in buckets)

    def restart(self, value: float, *, now: float) -> None:
        """Forgets all samples but this one."""
        self._buckets.clear()
        self._buckets.append((now, value))
        self.value = value


class RttEstimator:
    """Smoothed RTT and its variation; samples come only from ACK frames that arrived on their own path.

    An ACK frame that was copied on another path would mix the delays of two paths.
    """

    __slots__ = ("_largest_sampled", "_minimum", "_recent", "latest", "smoothed", "variation")

    def __init__(self, after: int = -1) -> None:
        """Packets up to number `after` used another network and give no samples."""
        self.latest = 0.0
        self.smoothed = 0.0
        """Smoothed RTT in seconds, 0 before the first sample."""
        self.variation = 0.0
        self._minimum = MinimumFilter(10.0)
        self._recent: deque[float] = deque(maxlen=_RECENT_SAMPLES)
        self._largest_sampled = after

    @property
    def minimum(self) -> float:
        """Minimum RTT of the last 10 s in seconds, 0 before the first sample."""
        return self._minimum.value

    def ignore_until(self, number: int) -> None:
        """Packets up to this number give no samples, because their acknowledgements waited at this end."""
        self._largest_sampled = max(self._largest_sampled, number)

    def on_ack(self, largest: int, sample: float, *, now: float) -> bool:
        """Takes a sample if the largest acknowledged number is new. Returns whether the sample counts."""
        if largest <= self._largest_sampled:
            return False
        self._largest_sampled = largest
        if sample > MAX_RTT:
            return False
        self._update(max(sample, 0.0001), now=now)
        return True

    def _update(self, sample: float, *, now: float) -> None:
        self.latest = sample
        self._recent.append(sample)
        self._minimum.add(sample, now=now)
        if not self.smoothed:
            self.smoothed, self.variation = sample, sample / 2
            return
        self.variation += (abs(self.smoothed - sample) - self.variation) / 4
        self.smoothed += (sample - self.smoothed) / 8

    def probe_timeout(self, max_ack_delay: float) -> float:
        """Probe timeout in seconds, without backoff (RFC 9002 section 6.2.1)."""
        if not self.smoothed:
            return INITIAL_PTO
        return self.smoothed + max(4 * self.variation, MIN_PTO_VARIANCE) + max_ack_delay

    def loss_delay(self) -> float:
        """Age in seconds at which a packet sent before an acknowledged one is lost (RFC 9002 section 6.1.2)."""
        if not self.smoothed:
            return INITIAL_PTO
        return max(TIME_THRESHOLD * max(self.smoothed, self.latest), GRANULARITY) + TIME_THRESHOLD_SLACK

    def p95(self) -> float:
        """95th percentile of the recent RTT samples in seconds, 0 before the first."""
        if not self._recent:
            return 0.0
        return sorted(self._recent)[int(0.95 * (len(self._recent) - 1))]
