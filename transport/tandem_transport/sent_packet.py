"""A packet in flight, and the chunks that it carries."""

from typing import TYPE_CHECKING

from tandem_transport.parameters import BASE_DATAGRAM_SIZE

if TYPE_CHECKING:
    from tandem_transport.send_stream import SendStream


class Chunk:
    """One retransmittable frame as it was first cut, and the fate of its copies.

    A frame is encoded once; every copy and every retransmission is the same bytes in
    another packet. The receiver drops what it has.
    """

    __slots__ = (
        "data_size",
        "first_lost_at",
        "first_packet",
        "first_sent_at",
        "frame",
        "in_flight",
        "is_done",
        "is_fin",
        "is_interactive",
        "is_queued",
        "losses",
        "paths_in_flight",
        "stream",
    )

    def __init__(
        self,
        frame: bytes,
        stream: "SendStream | None" = None,
        data_size: int = 0,
        *,
        is_fin: bool = False,
        is_interactive: bool = True,
    ) -> None:
        self.frame = frame
        """Encoded frame; emptied once done, for the chunk may be referred to longer."""
        self.stream = stream
        """The stream whose bytes these are, None for a control frame."""
        self.data_size = data_size
        self.is_fin = is_fin
        self.is_interactive = is_interactive
        """Somebody waits for it: a key press, a request, a control frame. What is not is bulk."""
        self.losses = 0
        """Packets with it that were declared lost."""
        self.is_done = False
        """Acknowledged in some packet, or no longer wanted (its stream was reset)."""
        self.is_queued = False
        """Waits in the queue of lost chunks."""
        self.in_flight = 0
        """Copies in packets that are neither acknowledged nor lost."""
        self.paths_in_flight = 0
        """Bit set of the path ids that carry these copies."""
        self.first_packet: tuple[int, int] | None = None
        """(path id, packet number) that carried it first."""
        self.first_sent_at = 0.0
        self.first_lost_at: float | None = None
        """When that packet was declared lost."""

    @property
    def is_wanted(self) -> bool:
        """Sending it again could still help."""
        return not self.is_done and (self.stream is None or not self.stream.is_reset)


Reference = tuple[int, float | None, int, float]
"""Received bytes, their time at the receiver, sent bytes, their time here."""

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

    def __init__(self, number: int, size: int, sent_at: float, chunks: "list[Chunk]"):
        self.number = number
        self.size = size
        """Bytes of the packet, header and tag included."""
        self.sent_at = sent_at
        self.chunks = chunks
        self.is_below_capacity = False
        """Sent at less than the path's capacity: its loss cannot come from a queue of ours."""
        self.is_app_limited = False
        self.is_mtu_probe = False
        """Larger than what the path is known to carry: its loss is no sign of congestion."""
        self.sent_bytes = 0
        """Bytes ever sent on the path, this packet included."""
        self.reference = _NO_REFERENCE
        """What the delivery-rate estimator knew when this was sent."""
        self.full_size = BASE_DATAGRAM_SIZE
        """Size of a full packet on this path."""
