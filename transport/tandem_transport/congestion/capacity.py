"""The capacity of a path: the largest of its recent samples."""

from collections import deque

from tandem_transport.congestion.delivery_rate import DeliverySample

CAPACITY_ROUNDS = 10
"""Rounds for which a sample counts."""
POLICED_ROUNDS = 3
"""The same behind a policer: what its bucket had saved up looks like capacity for a moment."""
WHOLE_PACKETS = 4
"""Packets that a sample must span to be believed when it says that the path is slower."""
START_GROWTH = 1.25
"""Growth of the capacity in a round of start-up, below which the round counts as one without growth."""
START_ROUNDS = 3
"""Start-up ends after this many rounds without growth."""


class Growth:
    """Whether the capacity still grows in start-up."""

    __slots__ = ("_capacity", "_rounds_without")

    def __init__(self) -> None:
        self._capacity = 0.0
        self._rounds_without = 0

    def is_over(self, capacity: float) -> bool:
        """A round has ended with this capacity: tells whether it was the last one of start-up."""
        if capacity >= self._capacity * START_GROWTH:
            self._capacity, self._rounds_without = capacity, 0
        else:
            self._rounds_without += 1
        return self._rounds_without >= START_ROUNDS


class CapacityFilter:
    """Maximum over the rounds that say something of the path.

    A round in which the sender was the limit may raise the maximum. It neither lowers it nor makes older
    samples older, however many such rounds follow each other.
    """

    __slots__ = ("_partial", "_round", "_samples", "rounds", "value")

    def __init__(self) -> None:
        self.value = 0.0
        """Bytes per second."""
        self.rounds = CAPACITY_ROUNDS
        self._round = 0
        """Rounds so far that said something."""
        self._samples: deque[tuple[int, float]] = deque()
        """(round, capacity); at least one once there was one."""
        self._partial: DeliverySample | None = None
        """Samples of a slow path are added up until they span WHOLE_PACKETS."""

    def whole(self, sample: DeliverySample) -> DeliverySample | None:
        """The sample together with those before it that were too short; None while it is too short itself."""
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
        """A sample of a whole round: it counts for `rounds` such rounds."""
        self._round += 1
        self._insert(capacity)
        while len(self._samples) > 1 and self._samples[0][0] <= self._round - self.rounds:
            self._samples.popleft()
        self.value = max(capacity for _, capacity in self._samples)

    def add_within_round(self, capacity: float) -> None:
        """A sample that may only raise the maximum."""
        if capacity > self.value:
            self._insert(capacity)
            self.value = capacity

    def scale(self, factor: float) -> None:
        """All samples become smaller."""
        self._samples = deque((number, capacity * factor) for number, capacity in self._samples)
        self.value *= factor

    def replace(self, capacity: float) -> None:
        """All samples have been wrong but this one."""
        self._samples = deque([(self._round, capacity)])
        self.value = capacity

    def forget_older(self, kept: int) -> None:
        """Keeps so many of the newest samples."""
        self._samples = deque(list(self._samples)[-kept:])
        self.value = max((capacity for _, capacity in self._samples), default=0.0)

    def _insert(self, capacity: float) -> None:
        if self._samples and self._samples[-1][0] == self._round:
            capacity = max(capacity, self._samples.pop()[1])
        self._samples.append((self._round, capacity))
