"""Whether the loss that interrupted start-up is chance, or a policer whose bucket is empty."""

from enum import Enum

from tandem_transport.congestion.random_loss import RandomLoss
from tandem_transport.congestion.round_counts import RoundCounts

START_LOSS = 0.5
"""Loss of a round that interrupts start-up: a policer's bucket is empty, or half of everything is lost by chance ..."""
START_PACKETS = 24
"""... if it is known of so many packets."""
OVERDRIVEN_RUN = 16
"""Consecutive packets that are lost then, at most, on average: a policer lets one in so many through."""
OVERDRIVEN = 0.3
"""Loss of a round, beyond what is known to be random, that comes of sending too fast."""
TRIAL_PACKETS = 32
"""Packets that are sent at a low rate then, to see which of the two it is."""
TRIAL_LOSS = 0.1
"""Loss of those above which it is chance."""
FLIGHT_ROUNDS = 2
"""Rounds until what was on its way when start-up was interrupted is acknowledged or lost."""
FLIGHT_PACKETS = 16
"""Packets that arrive then after the last one that is lost, where it was a fade: a policer drops on and on."""
SETTLING_ROUNDS = 3
"""Rounds until what the first trial sent, at a rate that may have been too high, is acknowledged or lost."""
TRIAL_ROUNDS = 32
"""Rounds after which it is taken for chance, for too little was sent to tell."""


class Verdict(Enum):
    """What a trial has shown."""

    CHANCE = "chance"
    POLICER = "policer"
    AGAIN = "again"
    """The rate may not have been low enough: a bucket that was full makes a policer look faster than it is."""


class LossTrial:
    """Packets at a low rate, once or twice: what is lost among them is not lost for the rate."""

    __slots__ = ("_acked", "_arrived_last", "_is_second", "_lost", "is_running")

    def __init__(self) -> None:
        self.is_running = self._is_second = False
        self._acked = self._lost = 0
        self._arrived_last = 0
        """Packets of start-up that arrived after the last one that did not."""

    def begin(self, acked: int, lost: int) -> None:
        """Start-up is interrupted by a round in which so many packets were acknowledged and lost."""
        self.is_running, self._is_second = True, False
        self._acked, self._lost = acked, lost
        self._arrived_last = 0

    def count_flight(self, acked: int, lost: int) -> None:
        """News of packets that start-up had sent."""
        self._arrived_last = 0 if lost else self._arrived_last + acked

    def verdict(self, loss: RandomLoss, rounds: int, *, is_late: bool) -> Verdict | None:
        """What the packets of `rounds` round trips tell, which `loss` then knows; None while too few are known of.

        Where packets only came late (`is_late`), nothing is known of any loss.
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
            loss.count_full(self._acked, self._lost)  # it takes as many that arrive to prove the contrary
            return Verdict.POLICER
        if not self._is_second:
            self._is_second = True
            loss.forget_low_rate()
            return Verdict.AGAIN
        self.is_running = False
        return Verdict.CHANCE

    @property
    def _is_over(self) -> bool:
        """What interrupted start-up ended by itself, before it was sent any less."""
        return not self._is_second and self._arrived_last >= FLIGHT_PACKETS


def is_overdriven(counts: RoundCounts, loss: RandomLoss) -> bool:
    """Whether a round of start-up lost so much, here and there, that start-up pauses for a trial."""
    if counts.is_torn(OVERDRIVEN_RUN):
        return False
    round_loss = counts.loss(START_PACKETS, 0.0)
    return round_loss > START_LOSS and round_loss > (loss.at_low_rate(TRIAL_PACKETS) or 0.0) + OVERDRIVEN
