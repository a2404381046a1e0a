"""Delivery rate of a path, measured on the receiver's clock (after the delivery-rate draft of BBR).

Two rates over the same interval: `delivered`, what arrived, and `spanned`, what was sent for
it to arrive. Random loss lowers the first and not the second; that difference is what lets
the congestion controller tell a lossy link from a slow one.
"""

from typing import NamedTuple

from tandem_transport.recovery.sent_packet import SentPacket


class DeliverySample(NamedTuple):
    """Rates in bytes per second."""

    delivered: float
    """Bytes that arrived, per second."""
    spanned: float
    """Bytes that were sent in the same span, lost ones included, per second; 0 where unknown."""
    packets: float
    """Full packets spanned: how much the sample can be trusted."""
    is_app_limited: bool
    """The sender, not the path, was the limit: it had nothing to send, or sent late. The path may be faster."""
    interval: float = 0.0
    """Seconds that the sample spans."""


class DeliveryRateEstimator:
    """Keeps a reference point that every packet copies, and compares it when the packet is acknowledged.

    A sample spans one feedback time: from the news that the packet was sent upon to the arrival of the packet
    itself. News of a path may come back over a faster one, so that this can be much less than the path's own RTT.
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
        """Bytes ever sent."""
        self._received_bytes = 0
        self._received_at: float | None = None
        """Reference on the receiver's side: bytes that had arrived, and when."""
        self._sent_reference = 0
        self._sent_at = 0.0
        """Reference on our side: bytes sent up to the packet that `_received_at` is about, and when."""
        self._app_limited_until = 0
        """Sent bytes after which a packet is no longer app-limited; 0 where none is."""

    @property
    def is_app_limited(self) -> bool:
        """The sender has been the limit for a moment, and no packet sent after that is acknowledged yet."""
        return self._app_limited_until > 0

    def on_packet_sent(self, packet: SentPacket) -> None:
        """Stamps the packet with the reference."""
        self._sent_bytes += packet.size
        packet.sent_bytes = self._sent_bytes
        packet.reference = (self._received_bytes, self._received_at, self._sent_reference, self._sent_at)
        packet.is_app_limited = self._app_limited_until > 0

    def on_unacknowledged_sent(self, size: int) -> None:
        """A packet that is never acknowledged for itself (ACK only) uses the link too."""
        self._sent_bytes += size

    def on_app_limited(self) -> None:
        """The path could send, and there was nothing to send, or this end was too late to send it."""
        # Packets are counted, not received bytes: the receiver counts packets that only acknowledge as well.
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
        """Returns what an ACK says of the rate; None where it says nothing.

        Args:
            newest: The highest newly acknowledged packet.
            largest: The ACK's largest number; `received_at` and `received_bytes` are the ACK's too.
            min_interval: Seconds that the sample spans at least; shorter ones measure bursts, or jitter.
            holds_reference: Packets to come are compared with what is already the reference, not with this ACK.
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
        """The next packet is sent while nothing else is in flight."""
        # From idle the interval begins when this packet arrives, not when the last one did.
        self._sent_at = now
        if self._received_at is not None and base_delay is not None:
            self._received_at = max(self._received_at, now + base_delay)
            self._sent_reference = self._sent_bytes
