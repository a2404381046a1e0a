"""The receiving side of one path's packet numbers: what has arrived, and when to acknowledge it."""

from collections import deque
from typing import Final

from tandem_transport.parameters import ACK_EVERY, MAX_ACK_DELAY, MAX_ACK_RANGES, MAX_TRACKED_RANGES
from tandem_transport.wire.frames import AckFrame
from tandem_transport.wire.ranges import RangeSet

_LATE_TOLD: Final = 3
"""ACK frames after the first one that repeat a packet which arrived late, because ACK frames are lost too."""

_MAX_LATE: Final = 16
"""Late packets that one ACK frame makes room for."""


class ReceivedPackets:
    """Remembers received packet numbers, detects replays, and decides when an ACK frame is due."""

    __slots__ = (
        "_acks",
        "_epoch",
        "_floor",
        "_largest_at",
        "_late",
        "_ranges",
        "_received_bytes",
        "_since_ack",
        "ack_at",
        "has_news",
        "largest",
        "received",
    )

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        """Origin of the times in ACK frames: when the session began."""
        self._ranges = RangeSet()
        self._floor = -1
        """Packet numbers up to this one are forgotten and count as replayed."""
        self.largest = -1
        self._largest_at = 0.0
        self._received_bytes = 0
        self.received = 0
        """Packets that arrived on the path."""
        self._acks = 0
        self._late: deque[tuple[int, int]] = deque(maxlen=_MAX_LATE)
        """(ACK frames sent before it arrived, packet number) of packets that arrived after later ones."""
        self._since_ack = 0
        self.ack_at: float | None = None
        """When an ACK frame is due on this path; None while none is."""
        self.has_news = False
        """Packets have arrived, on any path, that were not acknowledged on this path yet."""

    def is_replay(self, number: int) -> bool:
        """Whether a packet number was received before, or is too old to tell."""
        if number > self.largest:
            return False
        return number <= self._floor or number in self._ranges

    def record(self, number: int, size: int, *, now: float) -> bool:
        """Records an authentic packet. Returns whether there is a gap before it."""
        has_gap = number > self.largest + 1
        if number > self.largest:
            self.largest, self._largest_at = number, now
        else:
            self._late.append((self._acks, number))
        self._ranges.add(number)
        if len(self._ranges) > MAX_TRACKED_RANGES:
            self._floor = self._ranges.drop_oldest()
        self._received_bytes += size
        self.received += 1
        return has_gap

    def on_ack_eliciting(self, *, has_gap: bool, now: float) -> None:
        """Makes an ACK frame due: at once after a gap or ACK_EVERY packets, else within MAX_ACK_DELAY."""
        self._since_ack += 1
        self.has_news = True
        if has_gap or self._since_ack >= ACK_EVERY:
            self.ack_at = now
        else:
            self.ack_within(MAX_ACK_DELAY, now=now)

    def ack_within(self, delay: float, *, now: float) -> None:
        """Makes an ACK frame due within `delay` seconds; used for copies of other paths' acknowledgements."""
        self.has_news = True
        if self.ack_at is None or self.ack_at > now + delay:
            self.ack_at = now + delay

    def will_ack_by(self, time: float) -> bool:
        """Whether an ACK frame with everything new is due by `time` anyway."""
        return self.has_news and self.ack_at is not None and self.ack_at <= time

    def on_ack_sent(self) -> None:
        """An ACK frame with everything received was sent on this path."""
        self._since_ack = 0
        self._acks += 1
        self.ack_at = None
        self.has_news = False

    def ack_frame(self, path_id: int, *, now: float) -> AckFrame | None:
        """The ACK frame for what has arrived so far, None where nothing has."""
        if self.largest < 0:
            return None
        return AckFrame(
            path_id=path_id,
            received_at_us=int((self._largest_at - self._epoch) * 1e6),
            received_bytes=self._received_bytes,
            delay_us=int((now - self._largest_at) * 1e6),
            ranges=tuple(self._told()),
        )

    def _told(self) -> list[tuple[int, int]]:
        """The newest ranges; if they are too many, ranges with late packets replace the oldest of them."""
        ranges = self._ranges.newest(MAX_ACK_RANGES)
        if len(ranges) < MAX_ACK_RANGES or not self._late:
            return ranges
        late = self._late
        while late and late[0][0] < self._acks - _LATE_TOLD:
            late.popleft()
        older = {self._ranges.around(number) for _, number in late if number < ranges[-1][0]}
        return ranges[: MAX_ACK_RANGES - len(older)] + sorted(older, reverse=True) if older else ranges

    def encode_ack(self, path_id: int, *, now: float) -> bytes:
        """The encoded ACK frame for what has arrived so far; empty where nothing has."""
        frame = self.ack_frame(path_id, now=now)
        return frame.encode() if frame is not None else b""
