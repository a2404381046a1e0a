"""Lc2: loss-compensated rate control with a queue-delay target.

Random loss is not congestion, but a growing queue is. The path's capacity is the rate at which
packets were *sent* over the interval in which the surviving ones *arrived* (by the receiver's
clock), so that loss does not lower it; queueing delay above a target means that the rate is too
high. Rounds of `cruise` alternate with a round of `up`, which looks for more capacity, and of
`down`, which drains the queue that `up` left. There is no other reaction to loss.

docs/transport.md explains why each rule exists, and what happened without it.
"""

from enum import IntEnum, auto
from math import inf
from typing import Final

from tandem_transport.congestion.capacity import CAPACITY_ROUNDS, POLICED_ROUNDS, CapacityFilter, Growth
from tandem_transport.congestion.controller import AckSummary
from tandem_transport.congestion.delivery_rate import DeliverySample
from tandem_transport.congestion.loss_trial import (
    OVERDRIVEN,
    OVERDRIVEN_RUN,
    LossTrial,
    Verdict,
    is_overdriven,
    is_overflowing,
)
from tandem_transport.congestion.queue_target import NOISE_MARGIN, TARGET_FLOOR, QueueTarget
from tandem_transport.congestion.random_loss import MAX_RANDOM_LOSS, POLICED_RUN, RandomLoss
from tandem_transport.congestion.round_counts import RoundCounts
from tandem_transport.parameters import INITIAL_WINDOW, MIN_WINDOW

BASE_NOISE: Final = 4.0
"""Maximum of the RTT without a queue above its minimum, in standard deviations of single packets (see `_base_rtt`)."""
LOSS_MARGIN: Final = 2.0
"""Standard deviations of random loss that a sample is allowed above the average loss."""
START_GAIN: Final = 2.885
"""Pacing gain of start-up, 2 / ln 2: doubles the rate each round (BBR)."""
START_TARGET: Final = 0.040
"""Queue delay in seconds that ends start-up, if below the target: the queue grows for another round trip."""
START_SAMPLES: Final = 8
"""Delay samples before queue delay may end start-up."""
DOUBTFUL_NOISE: Final = 0.005
"""Seconds that jitter adds to the queue target, above which the delay that ended start-up may be jitter."""
DRAIN_ROUNDS: Final = 4
CRUISE_ROUNDS: Final = 6
POLICED_CRUISE_ROUNDS: Final = 12
"""Rounds of cruise behind a policer, which drops what a search for more capacity sends."""
DOWN_ROUNDS: Final = 3
UP_GAIN: Final = 1.25
UP_GAIN_MAX: Final = 2.0
APPEAL_GAIN: Final = 1.5
"""Pacing gain of the second search for capacity after a trial that found a policer."""
UP_WORTHWHILE: Final = 1.1
"""Growth of capacity in an up phase that justifies another, steeper one."""
DOWN_GAIN: Final = 0.75
DEEP_GAIN: Final = 0.5
LOW_SHARE: Final = 0.9
"""Most of the delivered rate that a phase below capacity sends: a policer drops nothing at this rate."""
SHRINK: Final = 0.93
"""Factor for the capacity after a cruise round in which the queue was never below target."""
HEAVY_QUEUE: Final = 2.0
"""Queue delay that causes a hard drain, as a multiple of the target."""
FULL_QUEUE: Final = 4.0
"""Queue delay, as a multiple of the target, above which only the newest sample counts as the capacity."""
MIN_RATE: Final = 5 * MIN_WINDOW / 8
"""Minimum pacing rate in bytes per second: five full packets a second, to notice that the path is faster."""
_DEFAULT_RTT: Final = 0.1
_DELIVERED_SHARE: Final = 1 / 3
"""Weight of a new sample in the average of the delivered rate."""


class Phase(IntEnum):
    """The phase of the controller."""

    START = auto()
    DRAIN = auto()
    CRUISE = auto()
    UP = auto()
    DOWN = auto()
    DEEP = auto()


_BELOW_CAPACITY: Final = frozenset({Phase.DOWN, Phase.DEEP, Phase.DRAIN})
_FOLLOWING: Final = frozenset({Phase.CRUISE, Phase.UP, Phase.DOWN, Phase.DEEP})
"""Phases in which a path that became much slower is followed at once; the others already send little, or begin."""
_FULL_RATE: Final = frozenset({Phase.CRUISE, Phase.UP, Phase.DOWN, Phase.DEEP})
"""Phases in which packets sent at full rate may be acknowledged; without start-up, because that overshoots."""


class Lc2:
    """The `CongestionController` of one path."""

    def __init__(self) -> None:
        self.phase = Phase.START
        self._target = QueueTarget()
        self._capacity = CapacityFilter()
        self._loss = RandomLoss()
        self._delivered = 0.0
        """Bytes per second that arrived recently when sent at full rate."""
        self._round = RoundCounts()
        self._is_doubtful = False
        """A delay that may have been jitter ended start-up: the path may be much faster."""
        self._trial = LossTrial()
        self._is_unproven = False
        """Loss ended start-up: the capacity may include what a policer's bucket had saved up."""
        self._may_appeal = False
        """A fade may have hit the trial and the search after it: another search may show that there is no policer."""
        self.pacing_rate = INITIAL_WINDOW / _DEFAULT_RTT / START_GAIN
        self.congestion_window = float(INITIAL_WINDOW)
        self._gain = START_GAIN
        self._phase_rounds = 0
        self._phase_began = 0.0
        self._deep_min_delay = inf
        self._delay_at_deep = 0.0
        self._growth = Growth()
        self._capacity_before_up = 0.0
        self._up_gain = UP_GAIN

    @property
    def capacity(self) -> float:
        """Bytes per second that the path carries, lost bytes included."""
        return self._capacity.value

    @property
    def queue_target(self) -> float:
        """Queue delay, in seconds, that the controller tries not to exceed."""
        return self._target.value

    @property
    def is_starting(self) -> bool:
        return self.phase is Phase.START

    @property
    def is_policed(self) -> bool:
        return self._loss.is_policed

    @property
    def is_sending_below_capacity(self) -> bool:
        # Never in START: the loss that its overshoot causes would count as random, be compensated
        # for, and stay (13-19 % of packets dropped in shallow buffers instead of 3-4 %).
        # Nor in the first round of DOWN: a policer's bucket is still empty from what was sent before.
        return self.phase in _BELOW_CAPACITY and (self.phase is not Phase.DOWN or self._phase_rounds > 0)

    def on_packets_lost(self, lost_below_capacity: int, lost: int = 0, runs: int = 0) -> None:
        self._count(0, 0, lost_below_capacity, lost, runs)

    def on_ack(self, ack: AckSummary) -> float:
        self._count(ack.acked_below_capacity, ack.acked, 0, 0)
        self._round.min_queue_delay = min(self._round.min_queue_delay, ack.queue_delay)
        self._deep_min_delay = min(self._deep_min_delay, ack.queue_delay)
        rebase = 0.0
        self._target.update(ack)
        if ack.is_round_start:
            self._loss.end_round()
            self._phase_rounds += 1
        if ack.sample is not None and ack.sample.spanned and (ack.is_round_start or self.phase is Phase.START):
            self._take_sample(ack, ack.sample)
        if ack.is_round_start:
            rebase = self._end_round(ack)
            self._round.begin()
        else:
            self._within_round(ack)
        self._set_rate(ack)
        return rebase

    # --- capacity and loss ---

    def _count(self, acked_low: int, acked: int, lost_low: int, lost: int, runs: int = 0) -> None:
        self._round.count(acked, lost, runs)
        self._loss.count_low(acked_low, lost_low)
        self._trial.count_flight(acked - acked_low, lost - lost_low)
        # A policer has no queue. When one is known, only the search for more capacity shows whether it still exists.
        is_search = self.phase is Phase.UP and self._phase_rounds > 0
        counts = is_search or (self.phase in _FULL_RATE and not self._loss.is_policed)
        if counts and self._target.queue < self._target.value:
            # A long run of losses is a fade, so only POLICED_RUN packets of it count.
            self._loss.count_full(acked - acked_low, min(lost - lost_low, POLICED_RUN * runs))

    def _take_sample(self, ack: AckSummary, sample: DeliverySample) -> None:
        self._raise_capacity(ack, sample)
        whole = self._capacity.whole(sample) if ack.is_round_start else None
        if whole is None:
            return
        self._capacity.rounds = POLICED_ROUNDS if self._loss.is_policed else CAPACITY_ROUNDS
        self._capacity.add(self._capacity_of(whole))
        # The rate never exceeds a known policer so far that it drops long runs: they are a fade.
        is_fade = self._loss.is_policed and self._round.is_torn(POLICED_RUN)
        if self.phase not in _BELOW_CAPACITY and not is_fade:
            share = _DELIVERED_SHARE if self._delivered and self.phase is not Phase.START else 1.0
            self._delivered += (whole.delivered - self._delivered) * share

    def _raise_capacity(self, ack: AckSummary, sample: DeliverySample) -> None:
        """Raises the capacity to what arrives, even when the sender is the limit: the path can carry that."""
        capacity = self._capacity_of(sample)
        if self.phase is not Phase.START or capacity > _initial_rate(ack):
            self._capacity.add_within_round(capacity)
        if self._is_doubtful:
            self._delivered = max(self._delivered, sample.delivered)

    def _capacity_of(self, sample: DeliverySample) -> float:
        p = self._loss.value
        margin = 0.0 if self._loss.is_policed else LOSS_MARGIN * (p * (1 - p) / max(sample.packets, 1)) ** 0.5
        compensated = sample.delivered / (1 - min(MAX_RANDOM_LOSS, p + margin))
        # `spanned` has no sampling noise, so its maximum does not creep up; the compensated
        # rate limits it, so that packets dropped by a full queue do not count as capacity.
        return max(sample.delivered, min(sample.spanned, compensated))

    # --- phases ---

    def _enter(self, phase: Phase, gain: float, now: float) -> None:
        self.phase, self._gain = phase, gain
        self._phase_rounds, self._phase_began = 0, now

    def _within_round(self, ack: AckSummary) -> None:
        target = self._target.value
        if self.phase is Phase.START:
            self._within_start_round(ack)
        elif self.phase is Phase.UP and self._target.queue > target:
            self._loss.acquit()  # a policer has no queue
            self._is_doubtful = False
            self._enter(Phase.DOWN, DOWN_GAIN, ack.now)
        elif self.phase is Phase.DRAIN and self._trial.is_running:
            self._end_trial(ack)
        elif self.phase is Phase.DRAIN and self._target.queue < target / 4:
            self._enter(Phase.CRUISE, 1.0, ack.now)

    def _end_trial(self, ack: AckSummary) -> None:
        """Ends a trial where it has decided whether the loss that interrupted start-up also occurs at a low rate."""
        if self._target.queue > self._target.value:
            self._trial.is_running = False  # a policer has no queue
            return
        match self._trial.verdict(self._loss, self._phase_rounds, is_late=_is_late(ack)):
            case Verdict.AGAIN:
                if ack.sample is not None:
                    self._delivered = min(self._delivered, ack.sample.delivered)
                self._enter(Phase.DRAIN, DEEP_GAIN, ack.now)
            case Verdict.CHANCE:
                self._enter(Phase.START, START_GAIN, ack.now)
            case Verdict.POLICER:
                # It may also be a fade that has ended: then the delivered rate says little, and steep searches show it.
                self._is_unproven = self._is_doubtful = self._may_appeal = True
                self._capacity.replace(self._delivered or self.capacity)
                self._enter(Phase.CRUISE, 1.0, ack.now)
            case None:
                pass

    def _within_start_round(self, ack: AckSummary) -> None:
        if ack.delay_samples >= START_SAMPLES and _growing_queue(ack) > min(self._target.value, START_TARGET):
            self._is_doubtful = NOISE_MARGIN * ack.noise > DOUBTFUL_NOISE
            self._enter(Phase.DRAIN, DEEP_GAIN, ack.now)
        # Before the first sample, reordered packets may look like lost ones.
        elif self.capacity and not _is_late(ack) and is_overdriven(self._round, self._loss):
            self._trial.begin(*self._round.packets)
            self._enter(Phase.DRAIN, DEEP_GAIN, ack.now)

    def _end_round(self, ack: AckSummary) -> float:
        is_app_limited = ack.sample is not None and ack.sample.is_app_limited
        queue = self._target.above_floor(self._round.min_queue_delay)
        if self.phase in _FOLLOWING and ack.sample is not None and is_overflowing(self._round, self._loss, queue):
            self._follow_overflow(ack, ack.sample)
            return 0.0
        match self.phase:
            case Phase.START:
                # A round without a sample says nothing either: the first packets of a quiet path are sent one by one.
                # Nor does a round with a long run of losses.
                is_silent = is_app_limited or ack.sample is None or self._round.is_torn(OVERDRIVEN_RUN)
                if not is_silent and self._growth.is_over(self.capacity):
                    self._enter(Phase.DRAIN, DEEP_GAIN, ack.now)
            case Phase.DRAIN:
                if self._trial.is_running:
                    self._end_trial(ack)
                elif self._phase_rounds >= DRAIN_ROUNDS:
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

    def _follow_overflow(self, ack: AckSummary, sample: DeliverySample) -> None:
        """Takes what arrived for the capacity. What the sender wanted to send does not matter: the path was full."""
        self._delivered = sample.delivered
        self._capacity.replace(sample.delivered / (1 - self._loss.value))
        self._is_doubtful = True  # a round that began before the change says too little
        self._drain_hard(ack)

    def _end_up_round(self, ack: AckSummary, is_app_limited: bool) -> None:
        self._gain = 1.0  # the second round shows the effect of the first
        if self._phase_rounds < 2:
            return
        # A policer's bucket lets some of the excess pass for a while.
        worthwhile = (1 + self._up_gain) / 2 if self._loss.is_policed else UP_WORTHWHILE
        grew = self.capacity > worthwhile * self._capacity_before_up
        is_free = self._is_doubtful or self._may_appeal or not self._loss.is_policed
        if (
            grew
            and self._target.above_floor(self._round.min_queue_delay) < self._target.value / 2
            and not is_app_limited
            and is_free
        ):
            self._up_gain = min(UP_GAIN_MAX, self._up_gain * UP_GAIN)
            self._loss.acquit()
            self._enter_up(ack.now)
        else:
            self._may_appeal &= self._is_doubtful
            self._is_doubtful = False
            self._enter(Phase.DOWN, DOWN_GAIN, ack.now)

    def _end_down_round(self, ack: AckSummary) -> None:
        target = self._target.value
        if self._target.queue >= target / 2 and self._phase_rounds < DOWN_ROUNDS:
            return
        if self._phase_rounds >= 2 and self._target.queue > target:
            self._drain_hard(ack)
        else:
            self._loss.compare()
            self._is_unproven = False
            self._target.note_drained(self._round.min_queue_delay)
            self._enter(Phase.CRUISE, 1.0, ack.now)

    def _end_cruise_round(self, ack: AckSummary, is_app_limited: bool) -> None:
        if is_app_limited:
            return
        if self._is_unproven and _is_late(ack):
            self._is_unproven = False
            self._loss.is_policed = False
            self._enter(Phase.START, START_GAIN, ack.now)
            return
        if self._is_unproven and self._round.loss(START_SAMPLES, 0.0) > self._loss.value + OVERDRIVEN:
            self._capacity.replace(ack.sample.delivered / (1 - self._loss.value) if ack.sample else self.capacity)
            self._is_unproven = False
        target = self._target.value
        if self._target.above_floor(self._round.min_queue_delay) > HEAVY_QUEUE * target:
            self._drain_hard(ack)
            return
        if self._target.above_floor(self._round.min_queue_delay) > target:
            self._capacity.scale(SHRINK)
        appeals = self._may_appeal and self._loss.is_policed
        rounds = POLICED_CRUISE_ROUNDS if self._loss.is_policed and not appeals else CRUISE_ROUNDS
        if self._phase_rounds >= rounds or self._is_doubtful:
            self._up_gain = UP_GAIN_MAX if self._is_doubtful else APPEAL_GAIN if appeals else UP_GAIN
            if self._target.above_floor(self._round.min_queue_delay) < target:
                self._enter_up(ack.now)
            else:
                self._enter(Phase.DOWN, DOWN_GAIN, ack.now)

    def _enter_up(self, now: float) -> None:
        self._capacity_before_up = self.capacity
        self._enter(Phase.UP, self._up_gain, now)

    def _drain_hard(self, ack: AckSummary) -> None:
        # Forgets the old maxima: at half of the present rate, a queue that we filled drains. One sample may be
        # too low by chance, unless the queue is so long that the path was full all the time.
        self._capacity.forget_older(1 if self._target.queue > FULL_QUEUE * self._target.value else 2)
        self._delay_at_deep, self._deep_min_delay = ack.queue_delay, inf
        self._enter(Phase.DEEP, DEEP_GAIN, ack.now)

    def _end_deep_round(self, ack: AckSummary) -> float:
        if self._target.queue < self._target.value / 2:
            self._enter(Phase.CRUISE, 1.0, ack.now)
        elif ack.now - self._phase_began > 2.5 * self._delay_at_deep + 1.5 * _base_rtt(ack):
            # A queue that we filled would be empty by now: others fill it, or the route has become longer.
            self._enter(Phase.CRUISE, 1.0, ack.now)
            return self._deep_min_delay
        return 0.0

    # --- output ---

    def _set_rate(self, ack: AckSummary) -> None:
        target = self._target.value
        capacity, gain, rtts, min_window = self.capacity, self._gain, 2, MIN_WINDOW
        if self.phase is Phase.START:
            capacity = max(capacity, _initial_rate(ack))
            rtts, min_window = 3, INITIAL_WINDOW
        elif self.phase is Phase.CRUISE and self._target.queue > target / 2:
            gain = max(0.8, 1 - 0.2 * (self._target.queue - target / 2) / target)
        rate = gain * capacity
        if self.phase is Phase.START:
            # Paced over a long round trip, the first packets would give too few samples too late.
            rate = max(rate, INITIAL_WINDOW / _DEFAULT_RTT)
        elif self.phase is Phase.CRUISE and self._loss.is_policed and self._delivered and not ack.is_reordering:
            # The largest sample includes bytes that the bucket had saved up.
            rate = min(rate, self._delivered / (1 - self._loss.value))
        if self.phase in _BELOW_CAPACITY and self._delivered:
            # Relative to what arrives: a share of an overestimated capacity could still exceed a policer's rate.
            rate = min(rate, LOW_SHARE * self._delivered * min(1.0, gain / DOWN_GAIN))
        self.pacing_rate = max(rate, MIN_RATE)
        self.congestion_window = max(capacity * (rtts * _base_rtt(ack) + 2 * (target + self._target.floor)), min_window)


def _initial_rate(ack: AckSummary) -> float:
    return INITIAL_WINDOW / (ack.smoothed_rtt or _DEFAULT_RTT) / START_GAIN


def _base_rtt(ack: AckSummary) -> float:
    """The RTT without a queue, in seconds, with jitter: the minimum alone is that of one fast packet each way.

    It is limited, because the RTT of a path that becomes slow rises before its queue delay does, and the path
    must not get a larger window then.
    """
    base = max(ack.min_rtt, ack.smoothed_rtt - ack.queue_delay)
    if ack.packet_noise is not None:
        base = min(base, ack.min_rtt + TARGET_FLOOR + BASE_NOISE * ack.packet_noise)
    return base or _DEFAULT_RTT


def _is_late(ack: AckSummary) -> bool:
    """Whether packets that were declared lost may only be reordered."""
    return ack.is_reordering or ack.spurious > 0


def _growing_queue(ack: AckSummary) -> float:
    return ack.queue_delay if ack.min_queue_delay is None else ack.min_queue_delay
