"""Reordering on a path: spurious losses, and the loss thresholds that adapt to them.

RFC 9002 section 6.1 declares a packet lost when one sent three packets later is acknowledged, or after
9/8 of an RTT. Wi-Fi and LTE deliver some packets later than that. An acknowledgement of a packet
that was declared lost proves this, and raises the thresholds of the path for a while (RFC 8985 section 4
does the same for TCP).
"""

from typing import Final

from tandem_transport.parameters import MAX_PACKET_THRESHOLD, MAX_REMEMBERED_LOSSES, PACKET_THRESHOLD, REORDERING_MEMORY
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.wire.frames import AckFrame

_LOOK_EVERY: Final = 8
"""ACK frames for each check for spurious losses: every frame repeats what the frames before it said."""

_WINDOW_STEP: Final = 1 / 8
"""RTTs by which a spurious loss raises the reordering window."""

_SPURIOUS_SHARE: Final = 0.003
"""Share of packets whose loss may be spurious: at a lower share, the reordering window shrinks."""

_MAX_WINDOW: Final = 4.0
"""RTT variations that limit the reordering window, together with two RTTs."""


class Reordering:
    """The loss thresholds of one path."""

    __slots__ = ("_acks", "_learned_at", "_lost", "packet_threshold", "spurious", "window")

    def __init__(self) -> None:
        self.packet_threshold = PACKET_THRESHOLD
        """A packet is lost when one sent this many packets later is acknowledged."""
        self.window = 0.0
        """Reordering window: seconds added to the time threshold of RFC 9002."""
        self.spurious = 0
        """Spurious losses: packets that were declared lost and arrived after all."""
        self._lost: dict[int, int] = {}
        """By lost packet: how far it was behind the largest acknowledged number when it was declared lost."""
        self._acks = 0
        self._learned_at = 0.0

    def on_lost(self, number: int, behind: int) -> None:
        """A packet is declared lost, `behind` numbers before the largest acknowledged one."""
        if len(self._lost) >= MAX_REMEMBERED_LOSSES:
            del self._lost[next(iter(self._lost))]
        self._lost[number] = behind

    def on_ack(self, ack: AckFrame, acked: int, rtt: RttEstimator, *, now: float) -> None:
        """Looks for spurious losses once in _LOOK_EVERY ACK frames; `acked` counts newly acknowledged packets."""
        self._acks += 1
        if self.window:
            self.window = max(0.0, self.window - acked * _SPURIOUS_SHARE * _WINDOW_STEP * rtt.smoothed)
        if self._acks % _LOOK_EVERY or not self._lost:
            return
        if now - self._learned_at > REORDERING_MEMORY:
            self.packet_threshold = PACKET_THRESHOLD
        for number in self._arrived(ack):
            self._learn(self._lost.pop(number), rtt, now)

    def _arrived(self, ack: AckFrame) -> list[int]:
        """Lost packets in the ranges of an ACK frame; forgets those that are below all its ranges."""
        ranges, arrived = list(ack.ranges), list[int]()
        low, high = ranges.pop()
        for number in sorted(self._lost):
            while number > high and ranges:
                low, high = ranges.pop()
            if number < ack.ranges[-1][0]:
                del self._lost[number]
            elif low <= number <= high:
                arrived.append(number)
        return arrived

    def _learn(self, behind: int, rtt: RttEstimator, now: float) -> None:
        self.spurious += 1
        self._learned_at = now
        # Its real distance is unknown: it was declared lost as soon as it reached the threshold.
        self.packet_threshold = min(MAX_PACKET_THRESHOLD, max(self.packet_threshold, 2 * behind))
        maximum = 2 * rtt.smoothed + _MAX_WINDOW * rtt.variation
        self.window = min(maximum, self.window + _WINDOW_STEP * rtt.smoothed)
