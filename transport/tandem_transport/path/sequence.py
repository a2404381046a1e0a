"""What packet numbers tell of a path: how far they moved on, what was overtaken, which losses hang together."""

from collections.abc import Iterable

from tandem_transport.path.mtu import COMPANION_SIZE
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.sent_packet import SentPacket

_REORDERING = (0.02, 0.10)
"""Shares of ACKs with news of late packets below which a path no longer counts as one that reorders, and from which
on it does."""


class Advance:
    """How far the peer's packet numbers move on, without its size probes that were too large.

    Only the sender can tell a probe that is lost from other packets, and a frame that says so would end the session
    with a peer that does not know it. But the small packet that the sender makes follow each probe is one of a
    kind, and arrives where the probe does not. A probe that does arrive, only later, is counted then.
    """

    __slots__ = ("_excused",)

    def __init__(self) -> None:
        self._excused = -1
        """Number of the newest size probe that had not arrived when its companion did."""

    def of(self, number: int, before: int, size: int, received: ReceivedPackets) -> int:
        """Packets by which this one moves the largest number on, which was `before`."""
        advance = max(0, number - before)
        if size == COMPANION_SIZE and not received.is_replay(number - 1):
            self._excused = number - 1
            return advance - 1
        if number == self._excused:
            self._excused = -1
            return advance + 1
        return advance


class Overtaking:
    """Whether packets of a path overtake each other, so that what is late is not lost."""

    __slots__ = ("_late_share", "is_usual")

    def __init__(self) -> None:
        self._late_share = 0.0
        """Average share of ACKs that tell of packets which others have overtaken."""
        self.is_usual = False

    def on_ack(self, *, is_late: bool) -> bool:
        """An ACK with news, of packets that others have overtaken or not; tells whether it has become usual now."""
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
        """Number of the packet that was lost last: the next one either goes on with its run, or begins another."""

    def count(self, lost: Iterable[SentPacket]) -> int:
        """Runs that begin with these losses."""
        runs = 0
        for packet in lost:
            runs += packet.number > self._last + 1
            self._last = packet.number
        return runs


class PacketOrder:
    """All that the numbers of one path's packets tell."""

    __slots__ = ("advance", "loss_runs", "overtaking")

    def __init__(self) -> None:
        self.advance = Advance()
        self.loss_runs = LossRuns()
        self.overtaking = Overtaking()
