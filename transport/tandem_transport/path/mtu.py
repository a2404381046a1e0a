"""How large a packet a path carries, found out without ICMP (after RFC 8899, DPLPMTUD).

A probe is a PING with padding; its acknowledgement is the proof. It is sent when packets flow
anyway, largest candidate first, for most links take what Ethernet does. Its loss says nothing
of congestion.

Where large packets stay unanswered, probes of many sizes are sent at once: a check. Either one as
large as the path is known to take arrives, or the path has become as narrow as the largest one that does.
"""

from bisect import bisect_left
from collections.abc import Iterable

from tandem_transport.parameters import (
    BASE_DATAGRAM_SIZE,
    BLACK_HOLE_LOSSES,
    CHECK_BACKOFF,
    CHECK_EXTRAS,
    CHECK_RUNGS,
    DATAGRAM_SIZES,
    MIN_DATAGRAM_SIZE,
    MTU_PROBES,
    MTU_RETRY,
    MTU_SOON,
    SMALL_DATAGRAM_SIZES,
    SUSPICIOUS_LOSSES,
)
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import FrameType
from tandem_transport.wire.packets import OVERHEAD

COMPANION = bytes([FrameType.PING, FrameType.PADDING])
"""Frames of the small packet that follows each probe: its acknowledgement tells that the probe is lost, should it be.
No other packet has them, and so the receiver knows what is missing in front of it."""

COMPANION_SIZE = OVERHEAD + len(COMPANION)

_SIZES = (*DATAGRAM_SIZES, BASE_DATAGRAM_SIZE, *SMALL_DATAGRAM_SIZES)
"""All that are ever probed for, largest first."""

_CLASSES = tuple(reversed(_SIZES))
"""A packet is of the class of the least size that holds it; what is of class 0 fits everywhere."""

_MIN_TOPS, _MAX_TOPS = 2, 9
"""Probes of the present size in a check: one before the smaller ones, and one after them, for a short burst of losses
may begin or end in between. On a path that loses packets anyway, as many as it takes not to lose them all: these follow
one at a time, for many at once would fill a short queue, which large packets find full sooner than small ones."""

_CHANCE = 1e-4
"""Chance of losing them all that is small enough."""

_CHANCE_OF_SUSPICION = 3e-3
"""Chance of losing so many large packets in a row that is small enough for a check."""

_MAX_SUSPECTS = 12
"""Large packets lost in a row that are suspicious on any path."""


class MtuDiscovery:
    """The search of one path, and the watch over what it has found."""

    __slots__ = (
        "_arrived_at",
        "_backoff",
        "_backoff_until",
        "_best",
        "_candidates",
        "_checked_at",
        "_doubts",
        "_due_rungs",
        "_lost",
        "_probe",
        "_retry",
        "_rungs",
        "_tries",
        "_wait_until",
        "extras",
        "size",
        "suspected",
    )

    def __init__(self) -> None:
        self.size = BASE_DATAGRAM_SIZE
        """UDP payload that the path is known, or at first assumed, to carry."""
        self._candidates = list(DATAGRAM_SIZES)
        """Sizes that were not ruled out, largest first."""
        self._tries = 0
        self._probe: int | None = None
        """Number of the packet that is the probe on its way."""
        self._wait_until = float("-inf")
        self._retry = MTU_RETRY
        self._arrived_at = [float("-inf")] * (len(_CLASSES) + 1)
        """By class: when the newest packet was sent that has arrived; what was lost before it says nothing."""
        self._lost = [0] * (len(_CLASSES) + 1)
        """By class: packets lost since one as large has arrived."""
        self.suspected = 0
        """The sum of these."""
        self._due_rungs: list[int] = []
        """Sizes of the check that should be sent now."""
        self._rungs: dict[int, int] = {}
        """Of the check on its way: the size of each probe, by packet number."""
        self._best = 0
        self._doubts = 0
        """Probes of the present size that have to be lost, one after the other, before the path counts as narrower."""
        self._checked_at = 0.0
        self._backoff = 0.0
        self._backoff_until = float("-inf")
        self.extras = 0
        """Small packets that may still leave during this check although the window is full."""

    # --- search ---

    def due(self, *, now: float) -> int | None:
        """The size of a probe that should be sent now, None for none."""
        if self._probe is not None or now < self._wait_until or self.is_checking:
            return None
        if not self._candidates:
            self._candidates = [size for size in _SIZES if size > self.size]
        return self._candidates[0] if self._candidates else None

    def on_probe_sent(self, packet: SentPacket) -> None:
        """The probe that was due has left."""
        packet.is_mtu_probe = True
        self._probe = packet.number

    # --- check ---

    @property
    def is_checking(self) -> bool:
        """Large packets stay unanswered, and the answer to why is on its way: small ones are surer to arrive."""
        return bool(self._rungs or self._due_rungs)

    def count_suspects(self, packets: Iterable[SentPacket]) -> int:
        """Of packets that are late: how many might be too large."""
        return sum(self._is_suspect(packet, bisect_left(_CLASSES, packet.size)) for packet in packets)

    def suspect(self, late: int, loss: float, *, now: float) -> None:
        """Packets that might be too large are late, beside those that are lost: checks the size if there are enough.

        `loss` is the share of packets that the path loses anyway.
        """
        suspects, tops = self.suspected + late, min(_MAX_TOPS, _improbable(loss, _CHANCE))
        enough = max(SUSPICIOUS_LOSSES, _improbable(loss, _CHANCE_OF_SUSPICION))
        if now < self._backoff_until:
            enough = max(enough, BLACK_HOLE_LOSSES, tops)
        if suspects < enough or self.is_checking or self.size <= MIN_DATAGRAM_SIZE:
            return
        at_once = max(_MIN_TOPS, BLACK_HOLE_LOSSES - suspects)
        rungs = (size for size in CHECK_RUNGS if size < self.size)
        self._due_rungs = [self.size, *rungs, *[self.size] * (at_once - 1)]
        self._best, self._doubts, self.extras = 0, max(0, tops - at_once), CHECK_EXTRAS

    def due_rungs(self) -> list[int]:
        """Sizes of probes that should be sent now, all of them."""
        return self._due_rungs

    def on_check_sent(self, packets: Iterable[SentPacket], *, now: float) -> None:
        """The check has left: these are its probes."""
        self._due_rungs = []
        self._checked_at = now
        for packet in packets:
            packet.is_mtu_probe = True
            self._rungs[packet.number] = packet.size

    # --- what became of packets ---

    def on_acked(self, packet: SentPacket, *, now: float) -> None:
        """Any packet of the path that has arrived; `size` may change."""
        if packet.number == self._probe:
            self._probe = None
            self.size = self._candidates[0]
            self._rest(now)
        kind = bisect_left(_CLASSES, packet.size)
        self._arrived_at[kind] = max(self._arrived_at[kind], packet.sent_at)
        if self.suspected and kind:
            self._acquit(kind)
        if self._rungs:
            self._best = max(self._best, self._rungs.pop(packet.number, 0))
            if packet.size >= self.size and packet.sent_at >= self._checked_at:
                self._rungs.clear()
                self._end_in_vain(now)
            elif not self._rungs:
                self._conclude(now)

    def on_lost(self, packet: SentPacket, *, now: float) -> None:
        """Any packet of the path that was declared lost; `size` may change."""
        if packet.number == self._probe:
            self._on_probe_lost(now)
            return
        kind = bisect_left(_CLASSES, packet.size)
        if packet.number in self._rungs or not packet.is_mtu_probe:
            is_suspect = kind > 0 and packet.sent_at > max(self._arrived_at[kind:])
            self._lost[kind] += is_suspect
            self.suspected += is_suspect
        if self._rungs.pop(packet.number, 0) and not self._rungs:
            self._conclude(now)

    def _on_probe_lost(self, now: float) -> None:
        self._probe = None
        self._tries += 1
        if self._tries >= MTU_PROBES:
            self._tries = 0
            del self._candidates[0]
            if not self._candidates:
                self._rest(now)

    # --- inside ---

    def _is_suspect(self, packet: SentPacket, kind: int) -> bool:
        return kind > 0 and not packet.is_mtu_probe and packet.sent_at > max(self._arrived_at[kind:])

    def _acquit(self, kind: int) -> None:
        """One of this class has arrived: losses of its size and below prove nothing."""
        self.suspected -= sum(self._lost[: kind + 1])
        self._lost[: kind + 1] = [0] * (kind + 1)

    def _end_in_vain(self, now: float) -> None:
        """The path takes what it took: on one that loses or delays a lot, the next check needs better reasons."""
        minimum, maximum = CHECK_BACKOFF
        self._backoff = min(max(2 * self._backoff, minimum), maximum)
        self._backoff_until = now + self._backoff

    def _conclude(self, now: float) -> None:
        """Nothing of the check is on its way any more. Where nothing of it has arrived, a later one will tell."""
        if not self._best or self.suspected < BLACK_HOLE_LOSSES:
            self._end_in_vain(now)
            return
        if self._doubts:
            self._doubts -= 1
            self._due_rungs = [self.size]
        else:
            self._fall_to(self._best)

    def _fall_to(self, size: int) -> None:
        """The route has changed: what is small arrives, what is large never does."""
        self._candidates = [between for between in _SIZES if size < between < self.size]
        self.size = size
        self._tries, self._probe, self._retry = 0, None, MTU_SOON
        self._wait_until = self._backoff_until = float("-inf")
        self._backoff = 0.0
        self._acquit(len(_CLASSES))

    def _rest(self, now: float) -> None:
        """The search is over; in a while there may be a better route."""
        self._candidates = []
        self._tries, self._probe = 0, None
        self._wait_until = now + self._retry
        self._retry = min(2 * self._retry, MTU_RETRY)


def _improbable(loss: float, chance: float) -> int:
    """Packets that are hardly ever all lost by chance, two at least."""
    number, all_lost = _MIN_TOPS, loss**_MIN_TOPS
    while all_lost > chance and number < _MAX_SUSPECTS:
        number, all_lost = number + 1, all_lost * loss
    return number
