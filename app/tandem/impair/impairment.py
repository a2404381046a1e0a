"""A model of a bad link: whether each packet arrives, and when.

Used twice: in virtual time by the tests' simulated network, and in real time by `tandem demo` and `tandem drill`.
One `ImpairedLink` is one direction. Order of effects: policer, drop-tail queue, serialization, loss,
outage, delay and jitter. Packets keep their order unless `reorder` or `packet_jitter` say otherwise.
"""

from dataclasses import dataclass
from random import Random

_JITTER_STEP = 0.020
"""Seconds over which the jitter moves from one random value to the next."""

_LOG_NORMAL_DEVIATION = 2.161
"""Standard deviation of exp(x) where x is normally distributed with a standard deviation of 1."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What is wrong with one direction of a link. Probabilities are 0 to 1, times are seconds."""

    loss: float = 0.0
    """Share of packets lost at random."""
    delay: float = 0.0
    """One-way delay in seconds."""
    jitter: float = 0.0
    """Seconds by which the delay drifts slowly, up and down, at most; packets keep their order."""
    packet_jitter: float = 0.0
    """Standard deviation, in seconds, of a random delay of each packet, so that packets overtake each other."""
    is_heavy_tailed: bool = False
    """Whether `packet_jitter` has a log-normal distribution: a few packets are very late, none is early."""
    keeps_order: bool = False
    """Whether a packet that `packet_jitter` delays also delays the packets behind it."""
    rate: float = 0.0
    """Bytes per second that the link carries, 0 for no limit."""
    queue: float = 0.1
    """Seconds of packets that wait in the queue of a limited `rate`; the packets beyond it are dropped."""
    police: float = 0.0
    """Bytes per second that a policer lets through, 0 for no policer. It has no queue: it drops the excess."""
    police_burst: float = 16_000.0
    """Bytes that the policer's token bucket holds."""
    mtu: int = 0
    """Bytes of the largest packet that gets through, 0 for no limit; larger packets are dropped silently."""
    outages: tuple[tuple[float, float], ...] = ()
    """(begin, end) of each outage, in seconds of the link's own time; `outage_loss` says how much is lost."""
    outage_loss: float = 1.0
    """Share of packets lost during `outages`: 1 where nothing gets through, less for a fade."""
    duplicate: float = 0.0
    """Share of packets that arrive twice."""
    reorder: float = 0.0
    """Share of packets that are delayed by another `delay` (at least 5 ms)."""


class ImpairedLink:
    """One direction of a link with its state and its own seeded randomness."""

    def __init__(self, impairment: Impairment, *, seed: int) -> None:
        self.impairment = impairment
        self._random = Random(seed)
        self._jitter_random = Random(seed + 1)
        self._busy_until = 0.0
        self._last_arrival = 0.0
        self._jitter_at = 0
        self._jitter_from = self._jitter_to = 0.0
        self._tokens = impairment.police_burst
        self._tokens_at = 0.0
        self.sent = self.lost = self.dropped = self.policed = 0
        """Numbers of packets: all that were sent, lost on the way, dropped by a full queue, dropped by the policer."""

    def send(self, size: int, *, now: float) -> list[float]:
        """The times at which a packet of `size` bytes arrives: none where it is lost, two where it is duplicated."""
        self.sent += 1
        if self.impairment.police and not self._passes_policer(size, now):
            self.policed += 1
            return []
        departs_at = self._serialize(size, now)
        if departs_at is None:
            self.dropped += 1
            return []
        model = self.impairment
        is_too_large = 0 < model.mtu < size
        if self._random.random() < model.loss or is_too_large or self._is_out(departs_at):
            self.lost += 1
            return []
        arrivals = [self._arrival(departs_at)]
        if model.duplicate and self._random.random() < model.duplicate:
            arrivals.append(self._arrival(departs_at))
        return arrivals

    def waiting(self, *, now: float) -> float:
        """Seconds that a packet would wait in the queue now."""
        return max(0.0, self._busy_until - now)

    def _passes_policer(self, size: int, now: float) -> bool:
        model = self.impairment
        self._tokens = min(model.police_burst, self._tokens + (now - self._tokens_at) * model.police)
        self._tokens_at = now
        if self._tokens < size:
            return False
        self._tokens -= size
        return True

    def _serialize(self, size: int, now: float) -> float | None:
        model = self.impairment
        if not model.rate:
            return now
        wait = self.waiting(now=now)
        if wait + size / model.rate > model.queue and wait > 0:
            return None
        self._busy_until = now + wait + size / model.rate
        return self._busy_until

    def _is_out(self, at: float) -> bool:
        model = self.impairment
        is_out = any(begin <= at < end for begin, end in model.outages)
        return is_out and (model.outage_loss >= 1 or self._random.random() < model.outage_loss)

    def _arrival(self, departs_at: float) -> float:
        model = self.impairment
        arrival = departs_at + max(0.0, model.delay + self._jitter(departs_at) + self._packet_jitter())
        if model.packet_jitter and not model.keeps_order:
            return arrival
        if model.reorder and self._random.random() < model.reorder:
            return arrival + max(model.delay, 0.005)
        self._last_arrival = max(self._last_arrival, arrival)
        return self._last_arrival

    def _packet_jitter(self) -> float:
        """The random delay of one packet, in seconds."""
        model = self.impairment
        if not model.packet_jitter:
            return 0.0
        if model.is_heavy_tailed:
            return model.packet_jitter * (self._jitter_random.lognormvariate(0, 1) / _LOG_NORMAL_DEVIATION)
        return self._jitter_random.gauss(0, model.packet_jitter)

    def _jitter(self, at: float) -> float:
        jitter = self.impairment.jitter
        if not jitter:
            return 0.0
        step = int(at / _JITTER_STEP)
        if step != self._jitter_at:
            self._jitter_from = self._jitter_to
            self._jitter_to = self._jitter_random.uniform(-jitter, jitter)
            self._jitter_at = step
        share = at / _JITTER_STEP - step
        return self._jitter_from + (self._jitter_to - self._jitter_from) * share
