"""A chunk: a frame that is sent in as many packets as needed until it arrives."""


class Origin:
    """The stream that a chunk's bytes come from, reduced to what chunks and copies need to know."""

    __slots__ = ("is_reset", "stream_id")

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.is_reset = False

    def level(self, *, now: float) -> float:
        """Bytes that the stream has cut into chunks recently."""
        raise NotImplementedError


class Chunk:
    """One retransmittable frame as it was first cut, and the state of its copies.

    A frame is encoded once; every copy and every retransmission has the same bytes in
    another packet. The receiver drops what it already has.
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
        """Encoded frame; emptied when done, because references to the chunk may exist for longer."""
        self.stream = stream
        """The stream that the chunk's bytes come from, None for a control frame."""
        self.data_size = data_size
        self.is_fin = is_fin
        self.is_interactive = is_interactive
        """Someone waits for the chunk: a key press, a request, a control frame. Other chunks are bulk."""
        self.losses = 0
        """Packets with this chunk that were declared lost."""
        self.is_done = False
        """The chunk was acknowledged in some packet, or is no longer wanted (its stream was reset)."""
        self.is_queued = False
        """The chunk waits in the queue of lost chunks."""
        self.in_flight = 0
        """Copies of the chunk in packets that are neither acknowledged nor lost."""
        self.paths_in_flight = 0
        """Bit set of the path ids that carry the copies in flight."""
        self.first_packet: tuple[int, int] | None = None
        """(path id, packet number) of the first packet with this chunk."""
        self.first_sent_at = 0.0
        self.first_lost_at: float | None = None
        """When the first packet with this chunk was declared lost."""

    @property
    def is_wanted(self) -> bool:
        """Whether sending the chunk again could still help."""
        return not self.is_done and (self.stream is None or not self.stream.is_reset)

    def is_missing_on(self, bit: int, room: int) -> bool:
        """Whether the path with this bit could carry the chunk and does not.

        `room`: bytes for frames in the path's packets.
        """
        return self.is_wanted and not self.paths_in_flight & bit and len(self.frame) <= room
