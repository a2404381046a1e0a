"""What waits to be sent, and what became of what was sent."""

from bisect import bisect
from collections import deque
from collections.abc import Collection
from operator import attrgetter
from typing import Final

from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.sending.control import ControlQueue
from tandem_transport.streams.table import Streams
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import StreamFrame

MIN_ROOM: Final = 64
"""Room below which a packet counts as full."""

_LARGER_OFFSET: Final = 7
"""Bytes by which the encoded offset of a later piece may be longer than that of the first one."""

_SLOW_RTTS: Final = 2
"""RTTs of a path: a copy on another path with a longer RTT than this arrives later than a retransmission would."""

_INTERACTIVE_COPIES: Final = 2
"""Minimum number of packets in flight with interactive data; with fewer, it is retransmitted."""


class Outbox:
    """Control frames, lost chunks and new data of the streams, and what became of each chunk.

    A chunk that a copy has delivered is never sent again: it is dropped from its queue.
    """

    def __init__(self, control: ControlQueue, streams: Streams) -> None:
        self.control = control.chunks
        self._streams = streams
        self.lost: deque[Chunk] = deque()
        """Lost chunks in the order of their first sending, because the receiver waits for the oldest, whichever path
        was faster to detect a loss."""
        self._paths: Collection[Path] = ()
        self._blocked = 0
        """Bit set of the paths that can neither send nor probe, so their packets in flight have no timer."""
        self.rescued = 0
        """Chunks whose first packet was declared lost while a copy sent before that arrived."""
        self.copy_bytes = 0
        """Frame bytes sent again, as copies or retransmissions."""

    def has_lost(self) -> bool:
        """Whether a lost chunk waits that is still wanted; drops from the front those that are not."""
        while self.lost and not self.lost[0].is_wanted:
            self.lost.popleft().is_queued = False
        return bool(self.lost)

    def take_waiting(self, queue: deque[Chunk], chunks: list[Chunk], room: int, full_room: int) -> int:
        """Moves chunks that fit from the front of a queue; returns the room that is left.

        A chunk that does not even fit in an empty packet (`full_room`), because it was cut for another path, is split.
        """
        while queue:
            chunk = queue[0]
            if chunk.is_wanted:
                size = len(chunk.frame)
                if size > full_room and chunk.stream is not None:
                    queue.popleft()
                    queue.extendleft(reversed(_split(chunk, full_room)))
                    continue
                if size > room:
                    break
                chunks.append(chunk)
                room -= size
            queue.popleft()
            chunk.is_queued = False
        return room

    def take_new(self, chunks: list[Chunk], room: int, *, takes_bulk: bool = True, now: float) -> int:
        """Cuts new data from the streams, interactive before bulk; returns the room that is left."""
        while room >= MIN_ROOM:
            chunk = self._streams.turns.cut(room, takes_bulk=takes_bulk, now=now)
            if chunk is None:
                return room
            chunks.append(chunk)
            room -= len(chunk.frame)
        return room

    # --- what became of packets ---

    def on_sent(self, packet: SentPacket, path: Path) -> None:
        """A packet leaves on a path."""
        for chunk in packet.chunks:
            if chunk.first_packet is None:
                chunk.first_packet = (path.path_id, packet.number)
                chunk.first_sent_at = packet.sent_at
            else:
                self.copy_bytes += len(chunk.frame)
            chunk.in_flight += 1
            chunk.paths_in_flight |= path.bit

    def on_acked(self, packet: SentPacket) -> None:
        """A packet has arrived."""
        for chunk in packet.chunks:
            chunk.in_flight -= 1
            if chunk.is_done:
                continue
            chunk.is_done = True
            chunk.frame = b""
            if chunk.first_lost_at is not None and packet.sent_at < chunk.first_lost_at:
                self.rescued += 1
            self._streams.on_chunk_acked(chunk)

    def on_lost(self, packet: SentPacket, path: Path, *, now: float) -> None:
        """A packet is lost; chunks that no other packet carries, or only one that comes too late, are queued again."""
        too_late = self._blocked | self._slower_than(path)
        for chunk in packet.chunks:
            chunk.in_flight -= 1
            chunk.paths_in_flight &= ~path.bit
            chunk.losses += 1
            if chunk.first_packet == (path.path_id, packet.number):
                chunk.first_lost_at = now
                self.rescued += chunk.is_done
            minimum = _INTERACTIVE_COPIES if chunk.is_interactive else 1
            if chunk.in_flight < minimum or not chunk.paths_in_flight & ~too_late:
                self._queue_lost(chunk)

    def _slower_than(self, path: Path) -> int:
        """Bit set of the paths on which a copy arrives later than a retransmission on this path would."""
        slower, limit = 0, _SLOW_RTTS * path.network.rtt.smoothed
        for other in self._paths:
            if other.network.rtt.smoothed > limit:
                slower |= other.bit
        return slower if path.probing.reachability is Reachability.ACTIVE else 0

    def note_blocked(self, paths: Collection[Path]) -> None:
        """Takes note of all paths of the session; what newly blocked ones carry is queued for the others."""
        before, self._blocked, self._paths = self._blocked, 0, paths
        for path in paths:
            if path.is_blocked:
                self._blocked |= path.bit
                path.probing.on_blocked()
        for path in paths:
            if self._blocked & ~before & path.bit:
                self.move_away_from(path)

    def move_away_from(self, path: Path) -> None:
        """A path has gone silent: chunks that only it and other silent paths carry are queued for the rest."""
        dead = path.bit
        for other in self._paths:
            if other.probing.reachability is Reachability.SILENT:
                dead |= other.bit
        for packet in path.recovery.outstanding():
            for chunk in packet.chunks:
                if not chunk.paths_in_flight & ~dead:
                    self._queue_lost(chunk)

    def _queue_lost(self, chunk: Chunk) -> None:
        if chunk.is_wanted and not chunk.is_queued:
            chunk.is_queued = True
            lost = self.lost
            if lost and chunk.first_sent_at < lost[-1].first_sent_at:
                lost.insert(bisect(lost, chunk.first_sent_at, key=attrgetter("first_sent_at")), chunk)
            else:
                lost.append(chunk)


def _split(chunk: Chunk, room: int) -> list[Chunk]:
    """The data of a chunk in frames that fit; the old chunk counts as done even if it still arrives."""
    frame = decode_frames(chunk.frame)[0]
    assert isinstance(frame, StreamFrame)
    size = room - (len(chunk.frame) - len(frame.data)) - _LARGER_OFFSET
    pieces: list[Chunk] = []
    for begin in range(0, len(frame.data), size):
        data = frame.data[begin : begin + size]
        is_fin = frame.fin and begin + size >= len(frame.data)
        encoded = StreamFrame(frame.stream_id, frame.offset + begin, data, is_fin).encode()
        piece = Chunk(encoded, chunk.stream, len(data), is_fin=is_fin, is_interactive=chunk.is_interactive)
        piece.is_queued = True
        piece.first_sent_at = chunk.first_sent_at
        pieces.append(piece)
    chunk.is_done, chunk.frame = True, b""
    return pieces
