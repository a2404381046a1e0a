"""How long a queue Lc2 allows, and how long the present one is."""

from tandem_transport.congestion.controller import AckSummary

TARGET_FLOOR = 0.020
"""Least queue-delay target, in seconds: turns of an event loop come late, too."""
TARGET_RTT_SHARE = 0.25
"""The target as a share of the least RTT, where that is more."""
NOISE_MARGIN = 2.0
"""Standard deviations of the queue delay that are added to the target: jitter is not a queue."""
_FLOOR_WEIGHT = 1 / 4
"""Weight of a new sample in the average of the delay that remains."""


class QueueTarget:
    """The target of the queue delay, in seconds, and the queue beside it."""

    __slots__ = ("_floor", "queue", "value")

    def __init__(self) -> None:
        self.value = TARGET_FLOOR
        self.queue = 0.0
        """Queue delay, without what remains of it when the queue is drained."""
        self._floor = 0.0
        """Queue delay that remains when the queue is drained: jitter."""

    @property
    def floor(self) -> float:
        """Queue delay that remains when the queue is drained, as far as it is believed."""
        return min(self._floor, 2 * self.value)

    def update(self, ack: AckSummary) -> None:
        """An acknowledgement has come."""
        target = max(TARGET_FLOOR, TARGET_RTT_SHARE * ack.min_rtt)
        self.queue = max(0.0, ack.queue_delay - min(self._floor, 2 * target))
        self.value = target + NOISE_MARGIN * ack.noise

    def above_floor(self, queue_delay: float) -> float:
        """Of a queue delay, the part that is a queue."""
        return max(0.0, queue_delay - self.floor)

    def note_drained(self, queue_delay: float) -> None:
        """The queue was drained; this delay remained."""
        self._floor += (queue_delay - self._floor) * _FLOOR_WEIGHT
