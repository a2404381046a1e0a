"""The queue delay that Lc2 allows, and the present queue delay."""

from typing import Final

from tandem_transport.congestion.controller import AckSummary

TARGET_FLOOR: Final = 0.020
"""Minimum queue-delay target, in seconds: turns of an event loop may be that late too."""
TARGET_RTT_SHARE: Final = 0.25
"""Queue-delay target as a share of the minimum RTT, where that is more than TARGET_FLOOR."""
NOISE_MARGIN: Final = 2.0
"""Standard deviations of the queue delay that are added to the target, because jitter is not a queue."""
_FLOOR_WEIGHT: Final = 1 / 4
"""Weight of a new sample in the average delay that remains when the queue is drained."""


class QueueTarget:
    """The target of the queue delay, and the present queue delay, in seconds."""

    __slots__ = ("_floor", "queue", "value")

    def __init__(self) -> None:
        self.value = TARGET_FLOOR
        self.queue = 0.0
        """Queue delay minus the part that remains when the queue is drained."""
        self._floor = 0.0
        """Queue delay that remains when the queue is drained: jitter."""

    @property
    def floor(self) -> float:
        """Queue delay that remains when the queue is drained, limited to twice the target."""
        return min(self._floor, 2 * self.value)

    def update(self, ack: AckSummary) -> None:
        """Updates the target and the queue delay from an acknowledgement."""
        target = max(TARGET_FLOOR, TARGET_RTT_SHARE * ack.min_rtt)
        self.queue = max(0.0, ack.queue_delay - min(self._floor, 2 * target))
        self.value = target + NOISE_MARGIN * ack.noise

    def above_floor(self, queue_delay: float) -> float:
        """The part of a queue delay that is above the floor."""
        return max(0.0, queue_delay - self.floor)

    def note_drained(self, queue_delay: float) -> None:
        """The queue is drained, and this delay remains."""
        self._floor += (queue_delay - self._floor) * _FLOOR_WEIGHT
