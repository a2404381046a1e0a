"""Pacing: spreads a path's packets over time (RFC 9002 section 7.7)."""

from tandem_transport.congestion.controller import CongestionController
from tandem_transport.parameters import PACER_BURST, PACER_QUANTUM, PACKET_TIME, POLICED_BURST, POLICED_QUANTUM


class Pacer:
    """A leaky bucket that may catch up at most one quantum.

    An idle path must not save up budget: it would send a burst into a queue (RFC 9002
    section 7.7 requires the same).
    """

    __slots__ = ("max_rate", "next_send_at", "quantum")

    def __init__(self) -> None:
        self.next_send_at = 0.0
        self.quantum = PACER_QUANTUM
        self.max_rate: int | None = None
        """Maximum rate that the client allows, in bytes per second; None for no maximum."""

    def on_packet_sent(self, size: int, rate: float, *, now: float) -> None:
        """Charges a packet at `rate` bytes per second, or at `max_rate` if that is lower, and PACKET_TIME at least."""
        if self.max_rate is not None:
            rate = min(rate, self.max_rate)
        self.next_send_at = max(self.next_send_at, now - self.quantum) + max(size / rate, PACKET_TIME)

    def is_late(self, *, now: float) -> bool:
        """Whether more time has passed than may be caught up, so that the sender was the limit, not the path."""
        return self.next_send_at < now - self.quantum

    def set_quantum(self, turn: float, congestion: CongestionController, queue_delay: float) -> None:
        """Sets the quantum to the lateness of turns, `turn` seconds, as far as the path's queue has room.

        A policer has no queue, and its bucket may hold only two packets.
        """
        if congestion.is_policed:
            self.quantum = max(POLICED_QUANTUM, POLICED_BURST / congestion.pacing_rate)
        else:
            self.quantum = min(turn, max(PACER_BURST, congestion.queue_target - queue_delay))

    def wake_at(self, *, now: float) -> float:
        """When the next turn should send; late enough that it sends more than one packet."""
        return max(self.next_send_at, now + self.quantum * 0.5)
