"""A trial after start-up is interrupted by loss: is the loss random, or is it a policer with an empty bucket?"""

from enum import Enum
from typing import Final

from tandem_transport.congestion.random_loss import RandomLoss
from tandem_transport.congestion.round_counts import RoundCounts

START_LOSS: Final = 0.5
"""Loss share of a round above which start-up is interrupted: a policer's bucket is empty, or random loss is high."""
START_PACKETS: Final = 24
"""Packets of a start-up round that must be acknowledged or lost before its loss share counts."""
OVERDRIVEN_RUN: Final = 16
"""Longest average run of lost packets that interrupts start-up: a policer lets one in so many through."""
OVERFLOW_QUEUE: Final = 0.040
"""Queue delay in seconds, in the whole round, of a path that became much slower."""
OVERFLOW_RUNS: Final = 5
"""Runs of lost packets in a round that are no fade any more."""
OVERDRIVEN: Final = 0.3
"""Loss share of a round, beyond the known random loss, that means that the rate is too high."""
TRIAL_PACKETS: Final = 32
"""Packets sent at a low rate from which a trial decides between random loss and a policer."""
TRIAL_LOSS: Final = 0.1
"""Loss share of a trial's packets above which the loss is random."""
FLIGHT_ROUNDS: Final = 2
"""Rounds until all packets in flight when start-up was interrupted are acknowledged or lost."""
FLIGHT_PACKETS: Final = 16
"""Packets of start-up that arrive after the last lost one and prove a fade: a policer would continue to drop."""
SETTLING_ROUNDS: Final = 3
"""Rounds until all packets of the first trial, whose rate may have been too high, are acknowledged or lost."""
TRIAL_ROUNDS: Final = 32
"""Rounds after which a trial assumes random loss, because too few packets were sent to decide."""


class Verdict(Enum):
    """The result of a trial."""

    CHANCE = "chance"
    POLICER = "policer"
    AGAIN = "again"
    """The trial's rate may have been too high: a full bucket makes a policer look faster than it is."""


class LossTrial:
    """Sends packets at a low rate, once or twice: the rate cannot be the cause of losses among them."""

    __slots__ = ("_acked", "_arrived_last", "_is_second", "_lost", "is_running")

    def __init__(self) -> None:
        self.is_running = self._is_second = False
        self._acked = self._lost = 0
        self._arrived_last = 0
        """Packets of start-up that arrived after the last lost one."""

    def begin(self, acked: int, lost: int) -> None:
        """Begins the first trial, after a start-up round with so many acknowledged and lost packets."""
        self.is_running, self._is_second = True, False
        self._acked, self._lost = acked, lost
        self._arrived_last = 0

    def count_flight(self, acked: int, lost: int) -> None:
        """Counts packets of start-up that are acknowledged or lost during the trial."""
        self._arrived_last = 0 if lost else self._arrived_last + acked

    def verdict(self, loss: RandomLoss, rounds: int, *, is_late: bool) -> Verdict | None:
        """Decides after `rounds` round trips, from the counts in `loss`; None while these are too few.

        A policer is recorded in `loss`. `is_late`: packets were only reordered, so the losses prove nothing.
        """
        if is_late or (rounds == FLIGHT_ROUNDS and self._is_over):
            self.is_running = False
            return Verdict.CHANCE
        if self._is_second and rounds < SETTLING_ROUNDS:
            loss.forget_low_rate()
            return None
        share = loss.at_low_rate(TRIAL_PACKETS)
        if share is None and rounds < TRIAL_ROUNDS:
            return None
        if share is not None and share <= TRIAL_LOSS:
            self.is_running = False
            loss.is_policed = True
            loss.count_full(self._acked, self._lost)  # as many arrivals are then needed to prove the opposite
            return Verdict.POLICER
        if not self._is_second:
            self._is_second = True
            loss.forget_low_rate()
            return Verdict.AGAIN
        self.is_running = False
        return Verdict.CHANCE

    @property
    def _is_over(self) -> bool:
        """Whether the losses ended before the lower rate took effect, so that they were a fade."""
        return not self._is_second and self._arrived_last >= FLIGHT_PACKETS


def is_overdriven(counts: RoundCounts, loss: RandomLoss) -> bool:
    """Whether a round of start-up lost so much, in many short runs, that start-up pauses for a trial."""
    if counts.is_torn(OVERDRIVEN_RUN):
        return False
    round_loss = counts.loss(START_PACKETS, 0.0)
    return round_loss > START_LOSS and round_loss > (loss.at_low_rate(TRIAL_PACKETS) or 0.0) + OVERDRIVEN


def is_overflowing(counts: RoundCounts, loss: RandomLoss, queue: float) -> bool:
    """Whether the path became much slower: its queue overflowed in the whole round.

    The shortest queue delay of the round was long (`queue`, in seconds), and most packets were lost, in runs of any
    length: a fade is one run or a few.
    """
    if queue <= OVERFLOW_QUEUE or counts.runs < OVERFLOW_RUNS:
        return False
    return counts.loss(START_PACKETS, 0.0) > max(START_LOSS, loss.value + OVERDRIVEN)
