"""The record of a packet in flight, kept until the packet is acknowledged or lost."""

from tandem_transport.parameters import BASE_DATAGRAM_SIZE
from tandem_transport.recovery.chunk import Chunk

Reference = tuple[int, float | None, int, float]
"""Reference point of a delivery rate: received bytes, when (receiver's clock), sent bytes, when (our clock)."""

_NO_REFERENCE: Reference = (0, None, 0, 0.0)


class SentPacket:
    """An ack-eliciting packet until it is acknowledged or lost."""

    __slots__ = (
        "chunks",
        "full_size",
        "is_app_limited",
        "is_below_capacity",
        "is_mtu_probe",
        "number",
        "reference",
        "sent_at",
        "sent_bytes",
        "size",
    )

    def __init__(self, number: int, size: int, sent_at: float, chunks: list[Chunk]):
        self.number = number
        self.size = size
        """Bytes of the packet, header and tag included."""
        self.sent_at = sent_at
        self.chunks = chunks
        self.is_below_capacity = False
        """The packet was sent below the path's capacity, so a queue that we filled cannot be why it is lost."""
        self.is_app_limited = False
        self.is_mtu_probe = False
        """The packet is larger than the path is known to carry, so its loss is no sign of congestion."""
        self.sent_bytes = 0
        """Bytes ever sent on the path, this packet included."""
        self.reference = _NO_REFERENCE
        """The reference point of the delivery-rate estimator when this packet was sent."""
        self.full_size = BASE_DATAGRAM_SIZE
        """Size in bytes of a full packet on this path."""
