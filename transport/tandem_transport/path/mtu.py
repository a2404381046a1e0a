"""How large a packet a path carries, found out without ICMP (after RFC 8899, DPLPMTUD).

A probe is a PING with padding; its acknowledgement is the proof. It is sent when packets flow
anyway, largest candidate first, because most links carry what Ethernet carries. The loss of a
probe is no sign of congestion.

Where large packets stay unanswered, probes of many sizes are sent at once: a check. Either a probe of the
present size arrives, or the path has become as narrow as the largest probe that does.
"""

from bisect import bisect_left
from collections.abc import Iterable
from math import inf
from typing import Final

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
"""Frames of the small packet that follows each probe: its acknowledgement shows when the probe is lost. No other packet
consists of these frames, so the receiver knows that a packet missing directly before it is a probe."""

COMPANION_SIZE: Final = OVERHEAD + 2

_SIZES = (*DATAGRAM_SIZES, BASE_DATAGRAM_SIZE, *SMALL_DATAGRAM_SIZES)
"""All sizes that are ever probed, largest first."""

_CLASSES = tuple(reversed(_SIZES))
"""The sizes, smallest first. A packet's class is the index of the smallest size that holds it; class 0 always fits."""

_MIN_TOPS, _MAX_TOPS = 2, 9
"""Number of probes of the present size in a check. At least one is sent before the smaller probes and one after them,
because a short burst of losses may begin or end in between. A path that loses packets anyway gets so many that they are
hardly ever all lost. These additional ones follow one at a time, because many at once would fill a short queue, which
large packets find full sooner than small ones."""

_CHANCE: Final = 1e-4
"""Maximum probability that chance alone loses all probes of the present size in a check."""

_CHANCE_OF_SUSPICION: Final = 3e-3
"""Maximum probability that chance alone loses the large packets in a row that begin a check."""

_MAX_SUSPECTS: Final = 12
"""Number of large packets lost in a row that is suspicious on any path, whatever its loss rate."""


class MtuDiscovery:
    """The search for the packet size of one path, and the checks whether the path still carries it."""

    __slots__ = (
        "_arrived_at",
        "_backoff",
        "_backoff_until",
        "_best",
        "_candidates",
        "_checked_at",
        "_doubts",
        "_due_rungs",
        "_last_class",
        "_last_size",
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
        """UDP payload in bytes that the path is known, or at first assumed, to carry."""
        self._candidates = list(DATAGRAM_SIZES)
        """Sizes that were not ruled out, largest first."""
        self._tries = 0
        self._probe: int | None = None
        """Packet number of the probe in flight."""
        self._wait_until = -inf
        self._retry = MTU_RETRY
        self._arrived_at = [-inf] * (len(_CLASSES) + 1)
        """By class: when the newest packet that has arrived was sent; losses before it prove nothing."""
        self._lost = [0] * (len(_CLASSES) + 1)
        """By class: packets lost since one as large has arrived."""
        self._last_size = self._last_class = 0
        self.suspected = 0
        """Packets of all classes lost since one as large has arrived: the sum of `_lost`."""
        self._due_rungs: list[int] = []
        """Sizes of the probes of a check that should be sent now."""
        self._rungs: dict[int, int] = {}
        """Sizes of the probes of the check in flight, by packet number."""
        self._best = 0
        self._doubts = 0
        """Probes of the present size that must still be lost, one by one, before the path counts as narrower."""
        self._checked_at = 0.0
        self._backoff = 0.0
        self._backoff_until = -inf
        self.extras = 0
        """Number of small packets that may still leave during this check although the congestion window is full."""

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
        """A check is due or in flight, because large packets stay unanswered: small ones are more likely to arrive."""
        return bool(self._rungs or self._due_rungs)

    def count_suspects(self, packets: Iterable[SentPacket]) -> int:
        """How many of these late packets might be too large."""
        return sum(self._is_suspect(packet, bisect_left(_CLASSES, packet.size)) for packet in packets)

    def suspect(self, late: int, loss: float, *, now: float) -> None:
        """Begins a check of the packet size if enough packets that might be too large are late or lost.

        `late` is the number of the late ones, `loss` the share of packets that the path loses anyway.
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
        """Sizes of the probes that should be sent now, all at once."""
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
        """A packet of the path, of any kind, has arrived; `size` may change."""
        if packet.number == self._probe:
            self._probe = None
            self.size = self._candidates[0]
            self._rest(now)
        kind = self._class_of(packet.size)
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

    def _class_of(self, size: int) -> int:
        if size != self._last_size:  # most packets have the size of the one before
            self._last_size, self._last_class = size, bisect_left(_CLASSES, size)
        return self._last_class

    def on_lost(self, packet: SentPacket, *, now: float) -> None:
        """A packet of the path, of any kind, was declared lost; `size` may change."""
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
        """A packet of this class has arrived: losses of its size and below prove nothing."""
        self.suspected -= sum(self._lost[: kind + 1])
        self._lost[: kind + 1] = [0] * (kind + 1)

    def _end_in_vain(self, now: float) -> None:
        """The path still takes the present size. On one that loses or delays a lot, a new check needs more losses."""
        minimum, maximum = CHECK_BACKOFF
        self._backoff = min(max(2 * self._backoff, minimum), maximum)
        self._backoff_until = now + self._backoff

    def _conclude(self, now: float) -> None:
        """No probe of the check is in flight any more. If none of them has arrived, a later check decides."""
        if not self._best or self.suspected < BLACK_HOLE_LOSSES:
            self._end_in_vain(now)
            return
        if self._doubts:
            self._doubts -= 1
            self._due_rungs = [self.size]
        else:
            self._fall_to(self._best)

    def _fall_to(self, size: int) -> None:
        """Reduces the packet size: the route has changed, and only small packets arrive."""
        self._candidates = [between for between in _SIZES if size < between < self.size]
        self.size = size
        self._tries, self._probe, self._retry = 0, None, MTU_SOON
        self._wait_until = self._backoff_until = -inf
        self._backoff = 0.0
        self._acquit(len(_CLASSES))

    def _rest(self, now: float) -> None:
        """Ends the search, and plans the next one: by then there may be a better route."""
        self._candidates = []
        self._tries, self._probe = 0, None
        self._wait_until = now + self._retry
        self._retry = min(2 * self._retry, MTU_RETRY)


def _improbable(loss: float, chance: float) -> int:
    """Number of packets that are all lost with at most the probability `chance`; from _MIN_TOPS to _MAX_SUSPECTS."""
    number, all_lost = _MIN_TOPS, loss**_MIN_TOPS
    while all_lost > chance and number < _MAX_SUSPECTS:
        number, all_lost = number + 1, all_lost * loss
    return number
