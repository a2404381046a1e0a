"""How much a path reorders: spurious losses, and the thresholds that learn from them.

RFC 9002 section 6.1 finds a packet lost when three later ones were acknowledged, or after 9/8 of an
RTT. Wi-Fi and LTE deliver some packets later than that. An acknowledgement of a packet
that was declared lost is the proof, and makes the path more patient for a while (RFC 8985 section 4
does the same for TCP).
"""

from tandem_transport.parameters import MAX_PACKET_THRESHOLD, MAX_REMEMBERED_LOSSES, PACKET_THRESHOLD, REORDERING_MEMORY
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.wire.frames import AckFrame

_LOOK_EVERY = 8
"""ACKs between two looks: each says again what the last ones said."""

_WINDOW_STEP = 1 / 8
"""RTTs by which a spurious loss makes the path more patient."""

_SPURIOUS_SHARE = 0.003
"""Share of packets whose loss may be spurious: patience that more than pays for itself is given back."""

_MAX_WINDOW = 4.0
"""Patience ends at two RTTs and so many RTT variations."""


class Reordering:
    """The loss thresholds of one path."""

    __slots__ = ("_acks", "_learned_at", "_lost", "packet_threshold", "spurious", "window")

    def __init__(self) -> None:
        self.packet_threshold = PACKET_THRESHOLD
        """Packets acknowledged after it that make a packet lost."""
        self.window = 0.0
        """Seconds by which the path waits longer than RFC 9002 says."""
        self.spurious = 0
        """Packets that were declared lost and arrived."""
        self._lost: dict[int, int] = {}
        """How far each lost packet was behind the largest acknowledged one when it was given up."""
        self._acks = 0
        self._learned_at = 0.0

    def on_lost(self, number: int, behind: int) -> None:
        """A packet is given up, `behind` numbers before the largest acknowledged one."""
        if len(self._lost) >= MAX_REMEMBERED_LOSSES:
            del self._lost[next(iter(self._lost))]
        self._lost[number] = behind

    def on_ack(self, ack: AckFrame, acked: int, rtt: RttEstimator, *, now: float) -> None:
        """Looks now and then for lost packets among those that have arrived; `acked` are newly acknowledged."""
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
        """Lost numbers in the ranges of an ACK; those that no later ACK will tell of are forgotten."""
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
        # How far it really was behind is not known: it was given up as soon as it reached the threshold.
        self.packet_threshold = min(MAX_PACKET_THRESHOLD, max(self.packet_threshold, 2 * behind))
        maximum = 2 * rtt.smoothed + _MAX_WINDOW * rtt.variation
        self.window = min(maximum, self.window + _WINDOW_STEP * rtt.smoothed)
