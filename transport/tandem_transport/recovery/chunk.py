"""A chunk: a frame that is sent until it has arrived, in as many packets as that takes."""


class Origin:
    """The stream whose bytes a chunk is made of, as far as a chunk and its copies ask for it."""

    __slots__ = ("is_reset", "stream_id")

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.is_reset = False

    def level(self, *, now: float) -> float:
        """Bytes that it has cut lately."""
        raise NotImplementedError


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
        stream: Origin | None = None,
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

    def is_missing_on(self, bit: int, room: int) -> bool:
        """A path of that bit, whose packets have `room` bytes for frames, could carry it and does not."""
        return self.is_wanted and not self.paths_in_flight & bit and len(self.frame) <= room
