"""Which share of a path's packets is lost at random, and which because we send too fast."""

MAX_RANDOM_LOSS = 0.5
"""Highest loss that is compensated for; beyond it, sending more only makes it worse."""
LOSS_MEMORY = 400
"""Packets after which the loss counters are halved."""
LOSS_MIN_PACKETS = 30
"""Packets that must have been counted before a loss rate is believed."""
POLICED_MIN = 0.03
"""Loss at full rate, beyond the loss at a low rate, from which on a policer is suspected, ..."""
POLICED_DEVIATIONS = 4.0
"""... and how many standard deviations that must be: loss in bursts varies more than loss by chance."""

POLICED_SPAN = 16
"""Packets sent at full rate, at least, that are judged together, ..."""
POLICED_SPANS = 0.5
"""... and the share of such spans that must have lost too much: a policer drops all the time, a fade passes."""
SPANS_MEMORY = 8
"""Spans after which their counters are halved."""
POLICED_RUN = 3
"""Consecutive packets that a policer drops, at most, of what is sent at full rate."""


class LossCounter:
    """Lost packets, or spans of them, among the last `memory` that were counted."""

    __slots__ = ("_counted", "_lost", "_memory")

    def __init__(self, memory: int = LOSS_MEMORY) -> None:
        self._memory = memory
        self._counted = self._lost = 0.0

    def count(self, acked: int, lost: int) -> None:
        self._counted += acked + lost
        self._lost += lost
        if self._counted > self._memory:
            self._counted, self._lost = self._counted / 2, self._lost / 2

    @property
    def rate(self) -> float | None:
        """Share of packets lost; None while too few were counted."""
        return self.share(LOSS_MIN_PACKETS)

    def share(self, minimum: int) -> float | None:
        """The same with `minimum` packets instead of LOSS_MIN_PACKETS."""
        return self._lost / self._counted if self._counted >= minimum else None

    @property
    def deviation(self) -> float:
        """Standard deviation of the rate."""
        if not self._counted:
            return 1.0
        rate = max(self._lost, 1.0) / max(self._counted, 1.0)
        return float((rate * max(0.0, 1 - rate) / self._counted) ** 0.5)


class RandomLoss:
    """Compares the loss of packets sent at a low rate with the loss of those sent at full rate.

    Loss at a low rate cannot come from a queue or a policer. It is random, and the sender may compensate for it.
    """

    __slots__ = ("_at_full_rate", "_at_low_rate", "_span_acked", "_span_lost", "_spans", "is_policed", "value")

    def __init__(self) -> None:
        self._at_low_rate, self._at_full_rate = LossCounter(), LossCounter()
        self._spans = LossCounter(SPANS_MEMORY)
        self._span_acked = self._span_lost = 0
        self.value = 0.0
        """Share of packets lost for no fault of ours."""
        self.is_policed = False
        """Sending faster loses more: the path drops what exceeds a rate. What start-up finds counts until `compare`."""

    def count_low(self, acked: int, lost: int) -> None:
        """Packets that were sent at a low rate."""
        if acked or lost:
            self._at_low_rate.count(acked, lost)
            rate = self._at_low_rate.rate
            if rate is not None:
                self.value = min(rate, MAX_RANDOM_LOSS)

    def count_full(self, acked: int, lost: int) -> None:
        """Packets that were sent at full rate."""
        if acked or lost:
            self._at_full_rate.count(acked, lost)
            self._span_acked += acked
            self._span_lost += lost

    def end_round(self) -> None:
        """A round trip has passed: what was sent at full rate is judged, if it is enough."""
        packets = self._span_acked + self._span_lost
        if packets >= POLICED_SPAN:
            is_lossy = self._span_lost > (self.value + POLICED_MIN) * packets
            self._spans.count(not is_lossy, is_lossy)
            self._span_acked = self._span_lost = 0

    def at_low_rate(self, minimum: int) -> float | None:
        """Loss at a low rate; None while fewer than `minimum` packets were counted."""
        return self._at_low_rate.share(minimum)

    def forget_low_rate(self) -> None:
        """What was sent at a low rate was not low enough to tell."""
        self._at_low_rate, self.value = LossCounter(), 0.0

    def acquit(self) -> None:
        """More arrives where more is sent: what was lost before has had another reason than the rate."""
        if self.is_policed:
            self.is_policed, self._at_full_rate, self._spans = False, LossCounter(), LossCounter(SPANS_MEMORY)

    def compare(self) -> None:
        """Decides anew whether the path is policed."""
        full, low = self._at_full_rate.rate, self._at_low_rate.rate
        if full is None or low is None:
            return
        spread = self._at_full_rate.deviation + self._at_low_rate.deviation
        margin = max(POLICED_MIN, POLICED_DEVIATIONS * spread / 2)
        is_lasting = (self._spans.share(1) or 0.0) >= POLICED_SPANS
        self.is_policed = is_lasting and full - low > (margin / 2 if self.is_policed else margin)
