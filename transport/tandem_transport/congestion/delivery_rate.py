"""Delivery rate of a path, measured on the receiver's clock (after the delivery-rate draft of BBR).

There are two rates over the same interval: `delivered` is what arrived, `spanned` is what was sent for
it to arrive, lost bytes included. Random loss lowers the first and not the second. With this difference
the congestion controller can tell a lossy link from a slow one.
"""

from typing import NamedTuple

from tandem_transport.recovery.sent_packet import SentPacket


class DeliverySample(NamedTuple):
    """A sample of a path's delivery rate, in bytes per second."""

    delivered: float
    """Bytes per second that arrived."""
    spanned: float
    """Bytes that were sent for these to arrive, lost ones included, over the same interval; 0 where unknown."""
    packets: float
    """Full packets that the sample spans: the more packets, the more reliable the sample."""
    is_app_limited: bool
    """The sender was the limit: it had nothing to send, or sent late. The path may be faster."""
    interval: float = 0.0
    """Seconds that the sample spans."""


class DeliveryRateEstimator:
    """Stores a reference point in every packet, and compares with it when the packet is acknowledged.

    A sample spans one feedback time: from the last acknowledgement before the packet was sent to the arrival
    of the packet itself. ACK frames may come back over a faster path, so this can be much less than the path's RTT.
    """

    __slots__ = (
        "_app_limited_until",
        "_received_at",
        "_received_bytes",
        "_sent_at",
        "_sent_bytes",
        "_sent_reference",
    )

    def __init__(self) -> None:
        self._sent_bytes = 0
        """Bytes ever sent on the path."""
        self._received_bytes = 0
        self._received_at: float | None = None
        """Reference point on the receiver's side: when `_received_bytes` had arrived."""
        self._sent_reference = 0
        self._sent_at = 0.0
        """Reference point on our side: when the packet was sent that ends the first `_sent_reference` bytes."""
        self._app_limited_until = 0
        """Count of sent bytes above which packets are no longer app-limited; 0 while the sender is not the limit."""

    @property
    def is_app_limited(self) -> bool:
        """Whether the sender was the limit recently, and no packet sent after that is acknowledged yet."""
        return self._app_limited_until > 0

    def on_packet_sent(self, packet: SentPacket) -> None:
        """A packet is sent: stores the reference point in it."""
        self._sent_bytes += packet.size
        packet.sent_bytes = self._sent_bytes
        packet.reference = (self._received_bytes, self._received_at, self._sent_reference, self._sent_at)
        packet.is_app_limited = self._app_limited_until > 0

    def on_unacknowledged_sent(self, size: int) -> None:
        """Counts a packet that is not ack-eliciting (only ACK frames): it uses the link too."""
        self._sent_bytes += size

    def on_app_limited(self) -> None:
        """The path could send, but there was nothing to send, or this end was late."""
        # Sent bytes are compared, not received bytes: the receiver also counts packets with only ACK frames.
        self._app_limited_until = max(self._sent_bytes, 1)

    def on_ack(
        self,
        newest: SentPacket,
        largest: int,
        received_at: float,
        received_bytes: int,
        min_interval: float,
        *,
        holds_reference: bool = False,
    ) -> DeliverySample | None:
        """Returns the sample of an ACK frame; None where it gives none.

        Args:
            newest: The newly acknowledged packet with the highest number.
            largest: The largest number of the ACK frame.
            received_at: When `largest` arrived, from the ACK frame, in seconds on the receiver's clock.
            received_bytes: Bytes that ever arrived on the path, from the ACK frame.
            min_interval: Minimum seconds that a sample spans; a shorter one measures bursts or jitter.
            holds_reference: Keeps the present reference point for packets to come, instead of this ACK frame.
        """
        sample = self._sample(newest, largest, received_at, received_bytes, min_interval)
        if received_bytes > self._received_bytes and not holds_reference:
            self._received_bytes, self._received_at = received_bytes, received_at
            if newest.number == largest:
                self._sent_reference = newest.sent_bytes
            self._sent_at = newest.sent_at
        if newest.sent_bytes > self._app_limited_until:
            self._app_limited_until = 0
        return sample

    def _sample(
        self, newest: SentPacket, largest: int, received_at: float, received_bytes: int, min_interval: float
    ) -> DeliverySample | None:
        bytes_before, received_before, sent_before, sent_at_before = newest.reference
        if received_before is None:
            return None
        interval = max(received_at - received_before, newest.sent_at - sent_at_before)
        if interval <= 0 or interval < min_interval:
            return None
        spanned = newest.sent_bytes - sent_before
        return DeliverySample(
            delivered=(received_bytes - bytes_before) / interval,
            spanned=spanned / interval if newest.number == largest else 0.0,
            packets=spanned / newest.full_size,
            is_app_limited=newest.is_app_limited,
            interval=interval,
        )

    def restart(self, base_delay: float | None, *, now: float) -> None:
        """The next packet is sent while nothing else is in flight.

        `base_delay`: one-way delay of the empty path, with the clocks' unknown offset; None where unknown.
        """
        # After idle time, the interval begins when this packet arrives, not when the last one did.
        self._sent_at = now
        if self._received_at is not None and base_delay is not None:
            self._received_at = max(self._received_at, now + base_delay)
            self._sent_reference = self._sent_bytes
