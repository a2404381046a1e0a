"""Which share of a path's packets is lost at random, and which because we send too fast."""

MAX_RANDOM_LOSS = 0.5
"""Highest loss that is compensated for; beyond it, sending more only makes it worse."""
LOSS_MEMORY = 400
"""Packets after which the loss counters are halved."""
LOSS_LEAST = 30
"""Packets that must have been counted before a loss rate is believed."""
POLICED_LEAST = 0.03
"""Loss at full rate, beyond the loss at a low rate, from which on a policer is suspected, ..."""
POLICED_DEVIATIONS = 4.0
"""... and how many standard deviations that must be: loss in bursts varies more than loss by chance."""

POLICED_RUN = 3
"""Consecutive packets that a policer drops, at most, of what is sent at full rate."""


class LossCounter:
    """Lost packets among the last few hundred."""

    __slots__ = ("_counted", "_lost")

    def __init__(self) -> None:
        self._counted = self._lost = 0.0

    def count(self, acked: int, lost: int) -> None:
        self._counted += acked + lost
        self._lost += lost
        if self._counted > LOSS_MEMORY:
            self._counted, self._lost = self._counted / 2, self._lost / 2

    @property
    def rate(self) -> float | None:
        """Share of packets lost; None while too few were counted."""
        return self.share(LOSS_LEAST)

    def share(self, least: int) -> float | None:
        """The same with `least` packets instead of LOSS_LEAST."""
        return self._lost / self._counted if self._counted >= least else None

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

    __slots__ = ("_at_full_rate", "_at_low_rate", "is_policed", "value")

    def __init__(self) -> None:
        self._at_low_rate, self._at_full_rate = LossCounter(), LossCounter()
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

    def at_low_rate(self, least: int) -> float | None:
        """Loss at a low rate; None while fewer than `least` packets were counted."""
        return self._at_low_rate.share(least)

    def forget_low_rate(self) -> None:
        """What was sent at a low rate was not low enough to tell."""
        self._at_low_rate, self.value = LossCounter(), 0.0

    def acquit(self) -> None:
        """More arrives where more is sent: what was lost before has had another reason than the rate."""
        if self.is_policed:
            self.is_policed, self._at_full_rate = False, LossCounter()

    def compare(self) -> None:
        """Decides anew whether the path is policed."""
        full, low = self._at_full_rate.rate, self._at_low_rate.rate
        if full is None or low is None:
            return
        spread = self._at_full_rate.deviation + self._at_low_rate.deviation
        margin = max(POLICED_LEAST, POLICED_DEVIATIONS * spread / 2)
        self.is_policed = full - low > (margin / 2 if self.is_policed else margin)
