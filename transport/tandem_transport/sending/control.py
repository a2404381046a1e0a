"""Control frames that wait to be sent."""

from collections import deque

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import MAX_CONTROL_QUEUE
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.wire.frames import Frame


class ControlQueue:
    """Frames that must arrive, in order; at most MAX_CONTROL_QUEUE of them."""

    __slots__ = ("chunks",)

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()

    def add(self, frame: Frame) -> None:
        """Queues a frame. Raises PeerError where the peer makes us queue without end."""
        if len(self.chunks) >= MAX_CONTROL_QUEUE:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, "too many frames to answer")
        self.chunks.append(Chunk(frame.encode()))
