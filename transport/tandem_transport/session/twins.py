"""DATAGRAM frames are copied on all paths; of the copies of each, only the first to arrive counts."""

from collections.abc import Callable

from tandem_transport.events import DatagramReceived, Event
from tandem_transport.parameters import MAX_TRACKED_RANGES
from tandem_transport.wire.frames import DatagramFrame
from tandem_transport.wire.ranges import RangeSet


class TwinFilter:
    """Numbers our DATAGRAM frames, and drops duplicates of the peer's."""

    __slots__ = ("_emit", "_floor", "_ranges", "_sequence", "carried_bytes")

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._sequence = -1
        self._ranges = RangeSet()
        self._floor = -1
        self.carried_bytes = 0
        """Bytes of data in the DATAGRAM frames of both directions, each frame counted once."""

    def next_sequence(self, size: int) -> int:
        """The sequence number for our next DATAGRAM frame, which has `size` bytes of data."""
        self._sequence += 1
        self.carried_bytes += size
        return self._sequence

    def receive(self, frame: DatagramFrame) -> None:
        """A DATAGRAM frame of the peer has arrived: emits an event for the first of its copies."""
        if self._is_new(frame.sequence):
            self.carried_bytes += len(frame.data)
            self._emit(DatagramReceived(frame.flow_id, frame.data))

    def _is_new(self, sequence: int) -> bool:
        # A frame that is very late counts as a duplicate.
        if sequence <= self._floor or sequence in self._ranges:
            return False
        self._ranges.add(sequence)
        if len(self._ranges) > MAX_TRACKED_RANGES:
            self._floor = self._ranges.drop_oldest()
        return True
