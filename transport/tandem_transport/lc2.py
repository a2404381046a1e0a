"""Lc2: loss-compensated rate control with a queue-delay target.

Random loss is not congestion, a growing queue is. The path's capacity is the rate at which
packets were *sent* over the interval in which their survivors *arrived* (by the receiver's
clock), so that loss costs nothing; queueing delay above a target means that the rate is too
high. Rounds of `cruise` alternate with a round of `up`, which looks for more capacity, and of
`down`, which drains what that left behind. There is no other reaction to loss.

docs/transport.md explains why each rule is there, and what happened without it.
"""

from collections import deque
from enum import Enum

from tandem_transport.congestion import AckSummary
from tandem_transport.delivery_rate import DeliverySample
from tandem_transport.parameters import INITIAL_WINDOW, MIN_WINDOW

TARGET_FLOOR = 0.020
"""Least queue-delay target: less cannot be told from jitter."""
TARGET_RTT_SHARE = 0.25
"""The target as a share of the least RTT, where that is more."""
MAX_RANDOM_LOSS = 0.5
"""Highest loss that is compensated for; beyond it, sending more only makes it worse."""
LOSS_MEMORY = 400
"""Packets after which the loss counters are halved."""
LOSS_LEAST = 30
"""Packets that must have been counted before the loss rate is believed."""
LOSS_MARGIN = 2.0
"""Standard deviations by which a sample may have met more than the average loss."""
CAPACITY_ROUNDS = 10
"""Rounds for which a capacity sample counts."""
START_GAIN = 2.885
"""2 / ln 2: doubles the rate each round (BBR)."""
START_GROWTH = 1.25
START_ROUNDS = 3
"""Start ends after this many rounds without START_GROWTH."""
START_SAMPLES = 8
"""Delay samples before start-up may end by delay."""
DRAIN_ROUNDS = 4
CRUISE_ROUNDS = 6
DOWN_ROUNDS = 3
UP_GAIN = 1.25
UP_GAIN_MAX = 2.0
UP_WORTHWHILE = 1.1
"""Growth of capacity in an up phase that is worth another, steeper one."""
DOWN_GAIN = 0.75
DEEP_GAIN = 0.5
SHRINK = 0.93
"""Capacity after a cruise round that never saw the queue below target."""
HEAVY_QUEUE = 2.0
"""Targets of queue delay that call for a hard drain."""
MIN_RATE = 5 * MIN_WINDOW / 8
"""A path may always send this many bytes a second: five full packets, to learn that it is faster."""
_DEFAULT_RTT = 0.1


class Phase(Enum):
    """What the controller is doing."""

    START = "start"
    DRAIN = "drain"
    CRUISE = "cruise"
    UP = "up"
    DOWN = "down"
    DEEP = "deep"


_BELOW_CAPACITY = frozenset({Phase.DOWN, Phase.DEEP, Phase.DRAIN})


class Lc2:
    """A `CongestionController`."""

    def __init__(self) -> None:
        self.phase = Phase.START
        self.capacity = 0.0
        """Bytes per second that the path carries, lost bytes included."""
        self.random_loss = 0.0
        """Share of packets lost for no fault of ours."""
        self.pacing_rate = INITIAL_WINDOW / _DEFAULT_RTT / START_GAIN
        self.congestion_window = float(INITIAL_WINDOW)
        self._samples: deque[tuple[int, float]] = deque()
        """(round, capacity), the newest CAPACITY_ROUNDS rounds and at least one."""
        self._gain = START_GAIN
        self._phase_rounds = 0
        self._phase_began = 0.0
        self._lost = self._counted = 0.0
        self._floor = 0.0
        """Queue delay that remains when the queue is drained: jitter."""
        self._round_least = self._deep_least = float("inf")
        self._delay_at_deep = 0.0
        self._full_capacity = 0.0
        self._rounds_without_growth = 0
        self._capacity_before_up = 0.0
        self._up_gain = UP_GAIN

    @property
    def is_sending_below_capacity(self) -> bool:
        # Never in START: the loss of its overshoot would be taken for random, compensated
        # for, and stay (13-19 % of own drops in shallow buffers instead of 3-4 %).
        return self.phase in _BELOW_CAPACITY

    def on_packets_lost(self, lost_below_capacity: int) -> None:
        self._count(0, lost_below_capacity)

    def on_ack(self, ack: AckSummary) -> float:
        self._count(ack.acked_below_capacity, 0)
        self._round_least = min(self._round_least, ack.queue_delay)
        self._deep_least = min(self._deep_least, ack.queue_delay)
        rebase = 0.0
        if ack.is_round_start:
            self._phase_rounds += 1
        if ack.sample is not None and ack.sample.spanned and (ack.is_round_start or self.phase is Phase.START):
            self._take_sample(ack, ack.sample)
        if ack.is_round_start:
            rebase = self._end_round(ack)
            self._round_least = float("inf")
        else:
            self._within_round(ack)
        self._set_rate(ack)
        return rebase

    # --- capacity and loss ---

    def _count(self, acked: int, lost: int) -> None:
        if not acked and not lost:
            return
        self._counted += acked + lost
        self._lost += lost
        if self._counted > LOSS_MEMORY:
            self._counted, self._lost = self._counted / 2, self._lost / 2
        if self._counted >= LOSS_LEAST:
            self.random_loss = min(self._lost / self._counted, MAX_RANDOM_LOSS)

    def _take_sample(self, ack: AckSummary, sample: DeliverySample) -> None:
        p = self.random_loss
        margin = LOSS_MARGIN * (p * (1 - p) / max(sample.packets, 1)) ** 0.5
        compensated = sample.delivered / (1 - min(MAX_RANDOM_LOSS, p + margin))
        # `spanned` has no sampling noise, so a maximum over it does not creep up; the
        # compensated rate bounds it, so that overflow does not count as capacity.
        capacity = max(sample.delivered, min(sample.spanned, compensated))
        least = max(self.capacity, self._initial_rate(ack) if self.phase is Phase.START else 0)
        if not sample.is_app_limited or capacity > least:
            self._add_sample(ack.round, capacity)
        while len(self._samples) > 1 and self._samples[0][0] <= ack.round - CAPACITY_ROUNDS:
            self._samples.popleft()
        if self._samples:
            self.capacity = max(capacity for _, capacity in self._samples)

    def _add_sample(self, round_number: int, capacity: float) -> None:
        if self._samples and self._samples[-1][0] == round_number:
            capacity = max(capacity, self._samples.pop()[1])
        self._samples.append((round_number, capacity))

    # --- phases ---

    def _enter(self, phase: Phase, gain: float, now: float) -> None:
        self.phase, self._gain = phase, gain
        self._phase_rounds, self._phase_began = 0, now

    def _within_round(self, ack: AckSummary) -> None:
        target = self._target(ack)
        if self.phase is Phase.START and ack.queue_delay > target and ack.delay_samples >= START_SAMPLES:
            self._enter(Phase.DRAIN, DEEP_GAIN, ack.now)
        elif self.phase is Phase.UP and ack.queue_delay > target:
            self._enter(Phase.DOWN, DOWN_GAIN, ack.now)
        elif self.phase is Phase.DRAIN and ack.queue_delay < target / 4:
            self._enter(Phase.CRUISE, 1.0, ack.now)

    def _end_round(self, ack: AckSummary) -> float:
        is_app_limited = ack.sample is not None and ack.sample.is_app_limited
        match self.phase:
            case Phase.START:
                # A round without a sample says nothing either: the first packets of a quiet path come singly.
                self._end_start_round(ack, is_app_limited or ack.sample is None)
            case Phase.DRAIN:
                if self._phase_rounds >= DRAIN_ROUNDS:
                    self._enter(Phase.CRUISE, 1.0, ack.now)
            case Phase.UP:
                self._end_up_round(ack, is_app_limited)
            case Phase.DOWN:
                self._end_down_round(ack)
            case Phase.CRUISE:
                self._end_cruise_round(ack, is_app_limited)
            case Phase.DEEP:
                return self._end_deep_round(ack)
        return 0.0

    def _end_start_round(self, ack: AckSummary, is_app_limited: bool) -> None:
        if is_app_limited:
            return
        if self.capacity >= self._full_capacity * START_GROWTH:
            self._full_capacity, self._rounds_without_growth = self.capacity, 0
        else:
            self._rounds_without_growth += 1
        if self._rounds_without_growth >= START_ROUNDS:
            self._enter(Phase.DRAIN, DEEP_GAIN, ack.now)

    def _end_up_round(self, ack: AckSummary, is_app_limited: bool) -> None:
        self._gain = 1.0  # the second round shows what the first one brought
        if self._phase_rounds < 2:
            return
        grew = self.capacity > UP_WORTHWHILE * self._capacity_before_up
        if grew and self._round_least < self._target(ack) / 2 and not is_app_limited:
            self._up_gain = min(UP_GAIN_MAX, self._up_gain * UP_GAIN)
            self._enter_up(ack.now)
        else:
            self._enter(Phase.DOWN, DOWN_GAIN, ack.now)

    def _end_down_round(self, ack: AckSummary) -> None:
        target = self._target(ack)
        if ack.queue_delay >= target / 2 and self._phase_rounds < DOWN_ROUNDS:
            return
        if self._phase_rounds >= 2 and ack.queue_delay > target:
            self._drain_hard(ack)
        else:
            self._floor += (self._round_least - self._floor) / 4
            self._enter(Phase.CRUISE, 1.0, ack.now)

    def _end_cruise_round(self, ack: AckSummary, is_app_limited: bool) -> None:
        if is_app_limited:
            return
        target = self._target(ack)
        if self._round_least > HEAVY_QUEUE * target:
            self._drain_hard(ack)
            return
        if self._round_least > target:
            self._samples = deque((number, capacity * SHRINK) for number, capacity in self._samples)
            self.capacity *= SHRINK
        if self._phase_rounds >= CRUISE_ROUNDS:
            self._up_gain = UP_GAIN
            if self._round_least < target:
                self._enter_up(ack.now)
            else:
                self._enter(Phase.DOWN, DOWN_GAIN, ack.now)

    def _enter_up(self, now: float) -> None:
        self._capacity_before_up = self.capacity
        self._enter(Phase.UP, self._up_gain, now)

    def _drain_hard(self, ack: AckSummary) -> None:
        # Forget the old maxima: half of the present rate empties a queue of our own.
        if self._samples:
            self._samples = deque([self._samples[-1]])
            self.capacity = self._samples[-1][1]
        self._delay_at_deep, self._deep_least = ack.queue_delay, float("inf")
        self._enter(Phase.DEEP, DEEP_GAIN, ack.now)

    def _end_deep_round(self, ack: AckSummary) -> float:
        if ack.queue_delay < self._target(ack) / 2:
            self._enter(Phase.CRUISE, 1.0, ack.now)
        elif ack.now - self._phase_began > 2.5 * self._delay_at_deep + 1.5 * (ack.min_rtt or _DEFAULT_RTT):
            # A queue of ours would be gone: others fill it, or the route has become longer.
            self._enter(Phase.CRUISE, 1.0, ack.now)
            return self._deep_least
        return 0.0

    # --- output ---

    def _target(self, ack: AckSummary) -> float:
        target = max(TARGET_FLOOR, TARGET_RTT_SHARE * ack.min_rtt)
        return target + min(self._floor, 2 * target)

    def _initial_rate(self, ack: AckSummary) -> float:
        return INITIAL_WINDOW / (ack.smoothed_rtt or _DEFAULT_RTT) / START_GAIN

    def _set_rate(self, ack: AckSummary) -> None:
        target, min_rtt = self._target(ack), ack.min_rtt or _DEFAULT_RTT
        capacity, gain, rtts, least_window = self.capacity, self._gain, 2, MIN_WINDOW
        if self.phase is Phase.START:
            capacity = max(capacity, self._initial_rate(ack))
            rtts, least_window = 3, INITIAL_WINDOW
        elif self.phase is Phase.CRUISE and ack.queue_delay > target / 2:
            gain = max(0.8, 1 - 0.2 * (ack.queue_delay - target / 2) / target)
        self.pacing_rate = max(gain * capacity, MIN_RATE)
        self.congestion_window = max(capacity * (rtts * min_rtt + 2 * target), least_window)
