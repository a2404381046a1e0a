"""DATAGRAM frames are copied on all paths; of each only the first to arrive counts."""

from tandem_transport.parameters import MAX_TRACKED_RANGES
from tandem_transport.wire.ranges import RangeSet


class TwinFilter:
    """Numbers our messages and recognises the peer's twins."""

    __slots__ = ("_floor", "_ranges", "_sequence")

    def __init__(self) -> None:
        self._sequence = -1
        self._ranges = RangeSet()
        self._floor = -1

    def next_sequence(self) -> int:
        """For a message of ours."""
        self._sequence += 1
        return self._sequence

    def is_new(self, sequence: int) -> bool:
        """Whether a message of the peer is the first of its twins; very late ones count as twins."""
        if sequence <= self._floor or sequence in self._ranges:
            return False
        self._ranges.add(sequence)
        if len(self._ranges) > MAX_TRACKED_RANGES:
            self._floor = self._ranges.drop_oldest()
        return True
