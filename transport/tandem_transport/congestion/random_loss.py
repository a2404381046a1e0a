"""Which share of a path's packets is lost at random, and which is lost because we send too fast."""

from typing import Final

MAX_RANDOM_LOSS: Final = 0.5
"""Highest loss share that the sender compensates for; above it, sending more makes the loss worse."""
LOSS_MEMORY: Final = 400
"""Packets after which the loss counters are halved."""
LOSS_MIN_PACKETS: Final = 30
"""Packets that must be counted before a loss rate is used."""
POLICED_MIN: Final = 0.03
"""Minimum share by which the loss at full rate must exceed the loss at a low rate before a policer is assumed."""
POLICED_DEVIATIONS: Final = 3.0
"""Standard deviations of their difference by which the loss at full rate must exceed that at a low rate."""

POLICED_SPAN: Final = 16
"""Minimum packets in a span: packets sent at full rate whose loss is evaluated together."""
POLICED_SPANS: Final = 0.5
"""Share of spans that must have lost too much before a policer is assumed: a policer always drops, a fade ends."""
SPANS_MEMORY: Final = 8
"""Spans after which the span counters are halved."""
POLICED_RUN: Final = 3
"""Longest run of packets that a known policer drops from packets sent at full rate; a longer run is a fade."""


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
        """Share of packets lost; None while fewer than LOSS_MIN_PACKETS are counted."""
        return self.share(LOSS_MIN_PACKETS)

    def share(self, minimum: int) -> float | None:
        """Share of packets lost; None while fewer than `minimum` are counted."""
        return self._lost / self._counted if self._counted >= minimum else None

    def share_with(self, other: "LossCounter") -> float:
        """Share of packets lost among those of both counters, of which one must have counted some."""
        return (self._lost + other._lost) / (self._counted + other._counted)

    def variance(self, chance: float) -> float:
        """Variance of the share of packets lost, where each is lost by a chance, among packets that were counted."""
        return chance * (1 - chance) / self._counted


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
        """Random loss: the share of packets lost for reasons other than our rate."""
        self.is_policed = False
        """The path drops what exceeds a rate: sending faster loses more. A trial's result is valid until `compare`."""

    def count_low(self, acked: int, lost: int) -> None:
        """Counts packets that were sent at a low rate."""
        if acked or lost:
            self._at_low_rate.count(acked, lost)
            rate = self._at_low_rate.rate
            if rate is not None:
                self.value = min(rate, MAX_RANDOM_LOSS)

    def count_full(self, acked: int, lost: int) -> None:
        """Counts packets that were sent at full rate."""
        if acked or lost:
            self._at_full_rate.count(acked, lost)
            self._span_acked += acked
            self._span_lost += lost

    def end_round(self) -> None:
        """A round has ended: evaluates the packets sent at full rate, if they make a span."""
        packets = self._span_acked + self._span_lost
        if packets >= POLICED_SPAN:
            is_lossy = self._span_lost > (self.value + POLICED_MIN) * packets
            self._spans.count(not is_lossy, is_lossy)
            self._span_acked = self._span_lost = 0

    def at_low_rate(self, minimum: int) -> float | None:
        """Loss at a low rate; None while fewer than `minimum` packets were counted."""
        return self._at_low_rate.share(minimum)

    def forget_low_rate(self) -> None:
        """Discards the counts at a low rate, because the rate was not low enough."""
        self._at_low_rate, self.value = LossCounter(), 0.0

    def acquit(self) -> None:
        """The path is not policed: more arrives when more is sent, so the rate was not the cause of earlier losses."""
        if self.is_policed:
            self.is_policed, self._at_full_rate, self._spans = False, LossCounter(), LossCounter(SPANS_MEMORY)

    def compare(self) -> None:
        """Decides again whether the path is policed."""
        full, low = self._at_full_rate.rate, self._at_low_rate.rate
        if full is None or low is None:
            return
        # As if one chance had lost both: a few packets at a low rate, of which by luck none was lost, prove little.
        chance = self._at_full_rate.share_with(self._at_low_rate)
        variance = self._at_full_rate.variance(chance) + self._at_low_rate.variance(chance)
        margin = max(POLICED_MIN, POLICED_DEVIATIONS * variance**0.5)
        is_lasting = (self._spans.share(1) or 0.0) >= POLICED_SPANS
        self.is_policed = is_lasting and full - low > (margin / 2 if self.is_policed else margin)
