"""Spreads a path's packets over time."""

from tandem_transport.parameters import PACER_QUANTUM


class Pacer:
    """A leaky bucket that may catch up one quantum, never more.

    An idle path must not save up budget: it would burst into a queue (RFC 9002
    section 7.7 asks for the same).
    """

    __slots__ = ("next_send_at", "quantum")

    def __init__(self) -> None:
        self.next_send_at = 0.0
        self.quantum = PACER_QUANTUM

    def on_packet_sent(self, size: int, rate: float, *, now: float) -> None:
        """Charges a packet at `rate` bytes per second."""
        self.next_send_at = max(self.next_send_at, now - self.quantum) + size / rate

    def is_late(self, *, now: float) -> bool:
        """More time has passed than may be caught up: the sender was the limit, not the path."""
        return self.next_send_at < now - self.quantum

    def may_send(self, *, now: float) -> bool:
        """Whether a packet may go now."""
        return self.next_send_at <= now

    def wake_at(self, *, now: float) -> float:
        """When sending goes on; late enough that a turn sends more than one packet."""
        return max(self.next_send_at, now + self.quantum * 0.5)
