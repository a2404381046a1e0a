"""How long packets wait in a path's queue, measured from one-way delays.

The receiver's clock has another origin, but an origin cancels out in differences. A queue raises the floor of the
delay: what most packets take now, compared with what most packets took when the queue was shortest. A single
packet proves nothing, because on Wi-Fi, LTE and satellites packets overtake each other by chance. So both sides of
the comparison are the same statistic, the lower quartile of a window, which a few fast packets hardly change.
"""

from bisect import insort
from collections import deque
from itertools import islice
from math import inf
from typing import Final

_MIN_PERIOD: Final = 0.080
"""Minimum length of a window in seconds; it spans a round trip where that is longer."""

_MIN_SAMPLES: Final = 8
"""Minimum samples in a window, however old they are: fewer would measure the jitter of a slow path."""

_MAX_SAMPLES: Final = 32
"""Maximum samples in a window; if samples arrive faster, some are skipped."""

_HISTORY: Final = 10.0
"""Seconds of windows from which the base is taken."""

_BASE_SHARE: Final = 32
"""The base is the 1/32 quantile of the windows: the third of a second with the shortest queue in ten seconds."""

_NOISY: Final = 0.004
"""Standard deviation of single packets, in seconds, above which some windows have a low quartile by chance."""

_LUCKY_WINDOWS: Final = 3
"""Lowest windows that the base skips where packets are noisy (_NOISY); a quarter of the windows if that is fewer."""

_DEVIATIONS: Final = 15
"""Deviations of windows whose median is `noise`: the few deviations that a probing sender causes do not change it."""

_MEDIAN_SHARE: Final = 0.67
"""Median of the absolute deviation from neighbours, in standard deviations."""

_DEVIATION_OF_FALL: Final = 1.77
"""Standard deviation of a random value, divided by its average fall from one sample to the next (0 for a rise)."""

_NOISE_SAMPLES: Final = 16
"""Samples that the average noise of single packets covers, roughly."""

_ERROR_OF_QUARTILE: Final = 0.35
"""Standard error of the lower quartile of a window, in standard deviations of its samples."""

_SURE: Final = 3.0
"""Standard deviations of single packets above which a delay is certainly a queue, even with a base from few windows."""

_DEFAULT_RTT: Final = 0.1


class QueueDelayEstimator:
    """Current queue delay of the sending direction, in seconds."""

    __slots__ = (
        "_base",
        "_deviations",
        "_history",
        "_ignored_until",
        "_latest",
        "_noted_at",
        "_ordered",
        "_window",
        "min_queue_delay",
        "noise",
        "packet_noise",
        "queue_delay",
        "samples",
        "typical",
    )

    def __init__(self, after: int = -1) -> None:
        """Packets up to number `after` used another network and give no samples."""
        self.queue_delay = 0.0
        self.min_queue_delay = 0.0
        """Minimum queue delay of the newest few samples, in seconds: it follows a queue that grows quickly."""
        self.noise = 0.0
        """Standard deviation of `queue_delay` caused by jitter alone, in seconds."""
        self.packet_noise = 0.0
        """Standard deviation of single samples caused by jitter, in seconds."""
        self.typical: float | None = None
        """Smoothed one-way delay, with the clocks' unknown offset; None before the first sample."""
        self.samples = 0
        """Delay samples taken so far."""
        self._base: float | None = None
        self._history: deque[tuple[float, float]] = deque()
        """(time, lower quartile) of the windows of the last `_HISTORY` seconds, two for the period of each window."""
        self._deviations = deque([0.0] * _DEVIATIONS, maxlen=_DEVIATIONS)
        """Differences between the newest windows and the mean of their neighbours, in seconds."""
        self._noted_at = -inf
        self._window: deque[tuple[float, float]] = deque()
        """(time, delay) of the samples in the present window, oldest first."""
        self._ordered: list[float] = []
        """The delays of the window in ascending order."""
        self._latest = 0.0
        """The delay of the newest sample."""
        self._ignored_until = after

    @property
    def base(self) -> float | None:
        """One-way delay of the empty path, with the clocks' unknown offset; None before the first sample."""
        return self._base

    def on_ack(self, largest: int, delay: float, rtt: float, *, now: float) -> None:
        """Takes a sample from an ACK frame that came over any path.

        `delay` is the one-way delay of newly acknowledged packets, by the receiver's clock minus ours; `largest` is
        the highest number of them. Packets of another network are ignored.
        """
        if largest <= self._ignored_until:
            return
        self.samples += 1
        self.typical = delay if self.typical is None else self.typical + (delay - self.typical) / 8
        period = max(rtt or _DEFAULT_RTT, _MIN_PERIOD)
        window = self._window
        if not window or now - window[-1][0] >= period / _MAX_SAMPLES:
            self._add(delay, period, now)

    def _add(self, delay: float, period: float, now: float) -> None:
        self._measure_packet_noise(delay)
        window, ordered = self._window, self._ordered
        window.append((now, delay))
        insort(ordered, delay)
        while len(window) > _MIN_SAMPLES and window[0][0] < now - period:
            ordered.remove(window.popleft()[1])
        if self._base is None and len(window) < _MIN_SAMPLES:
            return  # a base from one fast packet would make others look like a queue for seconds
        quartile = ordered[len(ordered) // 4]
        if self._base is None or now - self._noted_at >= period / 2:
            self._note(quartile, now)
        base = self._base or 0.0
        self.queue_delay = max(0.0, quartile - base)
        minimum = min(delay for _, delay in islice(reversed(window), _MIN_SAMPLES))
        self.min_queue_delay = max(0.0, minimum - base - _SURE * self.packet_noise)

    def _measure_packet_noise(self, delay: float) -> None:
        """Measures jitter from falling delays: a growing queue never lowers the delay, jitter does every other time."""
        before, self._latest = self._latest, delay
        if self.samples > 1:
            deviation = _DEVIATION_OF_FALL * max(0.0, before - delay)
            if self.samples > _NOISE_SAMPLES:  # one very late packet must not outweigh a hundred others
                deviation = min(deviation, 4 * self.packet_noise + 0.004)
            self.packet_noise += (deviation - self.packet_noise) / min(self.samples, _NOISE_SAMPLES)

    def _note(self, quartile: float, now: float) -> None:
        history = self._history
        history.append((now, quartile))
        while history[0][0] < now - _HISTORY:
            history.popleft()
        self._noted_at = now
        rank = len(history) // _BASE_SHARE
        if self.packet_noise > _NOISY:
            rank = max(rank, min(len(history) // 4, _LUCKY_WINDOWS))
        self._base = sorted(value for _, value in history)[rank]
        if len(history) > 4:
            # Windows overlap by half, so only every second one is independent.
            self._deviations.append(abs(history[-3][1] - (history[-5][1] + quartile) / 2))
        deviation = sorted(self._deviations)[_DEVIATIONS // 2] / _MEDIAN_SHARE
        self.noise = max(deviation, _ERROR_OF_QUARTILE * self.packet_noise)

    def restart(self) -> None:
        """Forgets the past, because delays are measured in another way from now on and cannot be compared."""
        self._window.clear()
        self._ordered.clear()
        self._history.clear()
        self._base, self._noted_at = None, -inf

    def rebase(self, by: float, *, now: float) -> None:
        """Raises the base by so many seconds: the route is longer, and the extra delay is propagation, not queueing."""
        if self._base is None:
            return
        self._base += by
        self._history.clear()
        self._history.append((now, self._base))
        self.queue_delay = max(0.0, self.queue_delay - by)
