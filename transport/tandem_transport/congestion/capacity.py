"""The capacity of a path: the maximum of its recent samples."""

from collections import deque
from typing import Final

from tandem_transport.congestion.delivery_rate import DeliverySample

CAPACITY_ROUNDS: Final = 10
"""Rounds for which a capacity sample counts."""
POLICED_ROUNDS: Final = 3
"""Rounds for which a capacity sample counts behind a policer: its full bucket looks like capacity for a moment."""
WHOLE_PACKETS: Final = 4
"""Packets that a sample must span before it may lower the capacity."""
START_GROWTH: Final = 1.25
"""Factor by which the capacity must grow in a round of start-up; otherwise the round counts as one without growth."""
START_ROUNDS: Final = 3
"""Start-up ends after this many rounds without growth."""


class Growth:
    """Detects when the capacity no longer grows in start-up."""

    __slots__ = ("_capacity", "_rounds_without")

    def __init__(self) -> None:
        self._capacity = 0.0
        self._rounds_without = 0

    def is_over(self, capacity: float) -> bool:
        """A round has ended with this capacity. Returns whether it was the last round of start-up."""
        if capacity >= self._capacity * START_GROWTH:
            self._capacity, self._rounds_without = capacity, 0
        else:
            self._rounds_without += 1
        return self._rounds_without >= START_ROUNDS


class CapacityFilter:
    """The maximum capacity over the rounds that were not app-limited.

    An app-limited round may raise the maximum. It neither lowers it nor makes older samples expire,
    however many such rounds follow each other.
    """

    __slots__ = ("_partial", "_round", "_samples", "rounds", "value")

    def __init__(self) -> None:
        self.value = 0.0
        """The capacity in bytes per second."""
        self.rounds = CAPACITY_ROUNDS
        self._round = 0
        """Rounds with a whole sample so far."""
        self._samples: deque[tuple[int, float]] = deque()
        """(round, capacity) of the samples that count; never empty after the first one."""
        self._partial: DeliverySample | None = None
        """The sum of short samples: those of a slow path are combined until they span WHOLE_PACKETS."""

    def whole(self, sample: DeliverySample) -> DeliverySample | None:
        """The sample combined with the short ones before it; None while the result is too short or app-limited."""
        partial, self._partial = self._partial, None
        if sample.is_app_limited:
            return None
        if partial is not None:
            interval = partial.interval + sample.interval
            share = sample.interval / interval if interval else 1.0
            sample = DeliverySample(
                delivered=partial.delivered + (sample.delivered - partial.delivered) * share,
                spanned=partial.spanned + (sample.spanned - partial.spanned) * share,
                packets=partial.packets + sample.packets,
                is_app_limited=False,
                interval=interval,
            )
        if sample.packets < WHOLE_PACKETS:
            self._partial = sample
            return None
        return sample

    def add(self, capacity: float) -> None:
        """Adds the sample of a whole round, which counts for `rounds` such rounds."""
        self._round += 1
        self._insert(capacity)
        while len(self._samples) > 1 and self._samples[0][0] <= self._round - self.rounds:
            self._samples.popleft()
        self.value = max(capacity for _, capacity in self._samples)

    def add_within_round(self, capacity: float) -> None:
        """Adds a sample that may only raise the maximum."""
        if capacity > self.value:
            self._insert(capacity)
            self.value = capacity

    def scale(self, factor: float) -> None:
        """Multiplies all samples by a factor."""
        self._samples = deque((number, capacity * factor) for number, capacity in self._samples)
        self.value *= factor

    def replace(self, capacity: float) -> None:
        """Replaces all samples by this one, because they were wrong."""
        self._samples = deque([(self._round, capacity)])
        self.value = capacity

    def forget_older(self, kept: int) -> None:
        """Forgets all samples but the `kept` newest."""
        self._samples = deque(list(self._samples)[-kept:])
        self.value = max((capacity for _, capacity in self._samples), default=0.0)

    def _insert(self, capacity: float) -> None:
        if self._samples and self._samples[-1][0] == self._round:
            capacity = max(capacity, self._samples.pop()[1])
        self._samples.append((self._round, capacity))
