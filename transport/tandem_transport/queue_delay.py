"""How long packets wait in a path's queue, from one-way delays.

The receiver's clock has another origin, but an origin cancels in differences: what a packet
took more than the fastest one of the last 10 s, it spent in a queue.
"""

from collections import deque

from tandem_transport.rtt import MinimumFilter

_LEAST_PERIOD = 0.080
"""The current delay is the least of this long, or of one RTT: jitter is not a queue."""

_DEFAULT_RTT = 0.1


class QueueDelayEstimator:
    """Current queue delay of the sending direction, in seconds."""

    __slots__ = ("_base", "_largest_sampled", "_window", "queue_delay", "samples")

    def __init__(self, after: int = -1) -> None:
        """Packets up to number `after` travelled over another network and say nothing."""
        self.queue_delay = 0.0
        self.samples = 0
        """Delay samples taken so far."""
        self._base = MinimumFilter(10.0)
        self._window: deque[tuple[float, float]] = deque()
        """(time, delay) with rising delays: its front is the least of the period."""
        self._largest_sampled = after

    @property
    def base(self) -> float | None:
        """Least one-way delay, with the clocks' unknown offset; None before the first sample."""
        return self._base.value if self._base else None

    def on_ack(self, largest: int, sent_at: float, received_at: float, min_rtt: float, *, now: float) -> bool:
        """A sample from a new largest acknowledged number, on whatever path its ACK came.

        `received_at` is seconds on the receiver's clock. Tells whether it was a sample.
        """
        if largest <= self._largest_sampled:
            return False
        self._largest_sampled = largest
        self.samples += 1
        delay = received_at - sent_at
        self._base.add(delay, now=now)
        window = self._window
        while window and window[-1][1] >= delay:
            window.pop()
        window.append((now, delay))
        oldest = now - max(min_rtt or _DEFAULT_RTT, _LEAST_PERIOD)
        while window[0][0] < oldest:
            window.popleft()
        self.queue_delay = window[0][1] - self._base.value
        return True

    def rebase(self, by: float, *, now: float) -> None:
        """The route has become longer by this much: what looked like a queue is the road."""
        if self._base:
            self._base.restart(self._base.value + by, now=now)
            self.queue_delay = max(0.0, self.queue_delay - by)
