"""How large a packet a path carries, found out without ICMP (after RFC 8899, DPLPMTUD).

A probe is a PING with padding; its acknowledgement is the proof. It is sent when packets flow
anyway, largest candidate first, for most links take what Ethernet does. Its loss says nothing
of congestion.
"""

from tandem_transport.frames import FrameType
from tandem_transport.packets import OVERHEAD
from tandem_transport.parameters import (
    BASE_DATAGRAM_SIZE,
    BLACK_HOLE_LOSSES,
    BLACK_HOLE_PROOFS,
    DATAGRAM_SIZES,
    MTU_PROBES,
    MTU_RETRY,
)
from tandem_transport.sent_packet import SentPacket

COMPANION = bytes([FrameType.PING, FrameType.PADDING])
"""Frames of the small packet that follows each probe: its acknowledgement tells that the probe is lost, should it be.
No other packet has them, and so the receiver knows what is missing in front of it."""

COMPANION_SIZE = OVERHEAD + len(COMPANION)


class MtuDiscovery:
    """The search of one path, and the watch over what it has found."""

    __slots__ = (
        "_arrived_at",
        "_candidates",
        "_large_lost",
        "_lost_since",
        "_probe",
        "_small_acked",
        "_tries",
        "_wait_until",
        "size",
    )

    def __init__(self) -> None:
        self.size = BASE_DATAGRAM_SIZE
        """UDP payload that the path is known to carry."""
        self._candidates = list(DATAGRAM_SIZES)
        """Sizes that were not ruled out, largest first."""
        self._tries = 0
        self._probe: int | None = None
        """Number of the packet that is the probe on its way."""
        self._wait_until = float("-inf")
        self._arrived_at = float("-inf")
        """When the newest large packet was sent that has arrived; what was lost before it says nothing."""
        self._large_lost = self._small_acked = 0
        self._lost_since = float("inf")

    def due(self, *, now: float) -> int | None:
        """The size of a probe that should be sent now, None for none."""
        if self._probe is not None or now < self._wait_until:
            return None
        if not self._candidates:
            self._candidates = [size for size in DATAGRAM_SIZES if size > self.size]
        return self._candidates[0] if self._candidates else None

    def on_probe_sent(self, packet: SentPacket) -> None:
        """The probe that was due has left."""
        packet.is_mtu_probe = True
        self._probe = packet.number

    def on_acked(self, packet: SentPacket, *, now: float) -> bool:
        """Tells whether the size has changed: a probe has arrived, or large packets alone do not."""
        if packet.number == self._probe:
            self._probe = None
            self.size = self._candidates[0]
            self._rest(now)
            return True
        if packet.size > BASE_DATAGRAM_SIZE:
            self._arrived_at = max(self._arrived_at, packet.sent_at)
            self._acquit()
        elif packet.sent_at > self._lost_since:
            self._small_acked += 1
            return self._fall_into_black_hole(now)
        return False

    def on_lost(self, packet: SentPacket, *, now: float) -> None:
        """Any packet of the path that was declared lost."""
        if packet.number == self._probe:
            self._probe = None
            self._tries += 1
            if self._tries >= MTU_PROBES:
                self._tries = 0
                del self._candidates[0]
                if not self._candidates:
                    self._rest(now)
        elif packet.size > BASE_DATAGRAM_SIZE and packet.sent_at > self._arrived_at:
            self._large_lost += 1
            self._lost_since = min(self._lost_since, packet.sent_at)

    def _fall_into_black_hole(self, now: float) -> bool:
        """The route has changed: what is small arrives, what is large never does."""
        if self._large_lost < BLACK_HOLE_LOSSES or self._small_acked < BLACK_HOLE_PROOFS:
            return False
        self.size = BASE_DATAGRAM_SIZE
        self._acquit()
        self._rest(now)
        return True

    def _acquit(self) -> None:
        """The losses so far prove nothing."""
        self._large_lost = self._small_acked = 0
        self._lost_since = float("inf")

    def _rest(self, now: float) -> None:
        """The search is over; in a while there may be a better route."""
        self._candidates = []
        self._tries, self._probe = 0, None
        self._wait_until = now + MTU_RETRY
