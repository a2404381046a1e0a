"""What packet numbers show about a path: how far they advance, what was overtaken, which losses belong together."""

from collections.abc import Iterable

from tandem_transport.path.mtu import COMPANION_SIZE
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.sent_packet import SentPacket

_REORDERING = (0.02, 0.10)
"""Limits for the share of ACKs that report overtaken packets: below the first one a path no longer counts as one that
reorders, above the second one it does."""


class Advance:
    """How far the peer's packet numbers advance, not counting its MTU probes that were too large.

    Only the sender knows which lost packet was a probe, and a new frame that says so would end the session with a
    peer that does not know the frame. But the small packet that follows each probe has a size of its own, and arrives
    where the probe does not. A probe that arrives after its small packet is counted when it arrives.
    """

    __slots__ = ("_excused",)

    def __init__(self) -> None:
        self._excused = -1
        """Packet number of the newest MTU probe that had not arrived when its companion did."""

    def of(self, number: int, before: int, size: int, received: ReceivedPackets) -> int:
        """Packets by which packet `number` advances the largest number, which was `before`."""
        advance = max(0, number - before)
        if size == COMPANION_SIZE and not received.is_replay(number - 1):
            self._excused = number - 1
            return advance - 1
        if number == self._excused:
            self._excused = -1
            return advance + 1
        return advance


class Overtaking:
    """Whether packets of a path usually overtake each other, so that a late packet is not a lost one."""

    __slots__ = ("_late_share", "is_usual")

    def __init__(self) -> None:
        self._late_share = 0.0
        """Moving average of the share of ACKs that report overtaken packets."""
        self.is_usual = False

    def on_ack(self, *, is_late: bool) -> bool:
        """An ACK reports new packets; `is_late`: overtaken ones. Tells whether overtaking has become usual now."""
        self._late_share += (is_late - self._late_share) / 16
        minimum, maximum = _REORDERING
        if self._late_share > maximum and not self.is_usual:
            self.is_usual = True
            return True
        if self._late_share < minimum:
            self.is_usual = False
        return False


class LossRuns:
    """Counts runs: losses of packets that were sent one after the other, which have one cause."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = -1
        """Number of the packet that was lost last: the next loss continues its run, or begins another one."""

    def count(self, lost: Iterable[SentPacket]) -> int:
        """The number of runs that begin with these losses."""
        runs = 0
        for packet in lost:
            runs += packet.number > self._last + 1
            self._last = packet.number
        return runs


class PacketOrder:
    """Everything that the packet numbers of one path show."""

    __slots__ = ("advance", "loss_runs", "overtaking")

    def __init__(self) -> None:
        self.advance = Advance()
        self.loss_runs = LossRuns()
        self.overtaking = Overtaking()
