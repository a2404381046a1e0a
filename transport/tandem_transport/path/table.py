"""All paths of one session."""

from typing import Final

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import (
    BASE_DATAGRAM_SIZE,
    MAX_ACK_DELAY,
    MAX_DATAGRAM_HEAD,
    MAX_PACKET_NUMBER,
    MAX_PATHS,
)
from tandem_transport.path.order import in_order
from tandem_transport.path.path import Path
from tandem_transport.path.policy import Policy
from tandem_transport.path.probing import Reachability
from tandem_transport.path.terms import PathTerms
from tandem_transport.wire.frames import PathUse
from tandem_transport.wire.packets import OVERHEAD

_NUMBERS_LEFT: Final = 1 << 32
"""Packet numbers of a path that are left when the session ends: more than it sends between two of its timers."""


class PathTable:
    """The paths of one session, and the questions that concern all of them."""

    def __init__(self, policy: Policy, terms: PathTerms) -> None:
        self._policy = policy
        self._terms = terms
        self.by_id: dict[int, Path] = {}
        self.all: list[Path] = []
        """All paths, in the order in which they were made."""
        self.rtt = 0.0
        """The minimum smoothed RTT of all paths at the last turn, in seconds; 0 where there is no sample yet."""

    def make(self, path_id: int, *, now: float) -> Path:
        """Adds a path, which is used as the policy says."""
        path = self.by_id[path_id] = Path(path_id, self._terms)
        path.recovery.last_sent_at = now
        self.all.append(path)
        self._policy.apply(self.by_id)
        return path

    def accept(self, path_id: int, *, now: float) -> Path:
        """The path that the peer sends on; a client opens a path by sending on it. Raises PeerError for a bad id."""
        path = self.by_id.get(path_id)
        if path is not None:
            return path
        if self.is_client or path_id >= MAX_PATHS:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"path id {path_id}")
        return self.make(path_id, now=now)

    def schedule_acks(self, path: Path, *, has_gap: bool, now: float) -> None:
        """An ack-eliciting packet has arrived on a path: its acknowledgement goes over the other paths, too."""
        if not path.standing.link_error:
            path.received.on_ack_eliciting(has_gap=has_gap, now=now)
            if path.hearing.is_asked_again(path.recovery, now=now) and path.use is not PathUse.OFF:
                path.probing.request()
        for other in self.all:
            if other is path or other.received.will_ack_by(now + MAX_ACK_DELAY):
                continue
            if other.use is not PathUse.AVAILABLE and path.probing.reachability is Reachability.ACTIVE:
                continue  # a second copy of an ACK is not worth its price, unless the first may not arrive
            if other.probing.reachability is not Reachability.SILENT and other.received.received:
                other.received.ack_within(MAX_ACK_DELAY, now=now)

    def queue_datagram_frame(self, frame: bytes) -> None:
        """Queues a DATAGRAM frame on every path that may carry data."""
        for path in in_order(self.all):
            path.datagram_frames.append(frame)

    def set_quantum(self, quantum: float) -> float:
        """Sets the time, in seconds, that all pacers may catch up at most; returns the least that one may."""
        for path in self.all:
            path.pacer.set_quantum(quantum, path.network.congestion, path.network.queue.queue_delay)
        return min([path.pacer.quantum for path in self.all], default=quantum)

    # --- questions ---

    @property
    def is_client(self) -> bool:
        """This end is the client: it opens the paths, and decides how they are used."""
        return self._terms.is_client

    @property
    def datagram_room(self) -> int:
        """Most bytes of data that a DATAGRAM frame may have now: every path except very narrow ones must carry it."""
        sizes = [path.network.datagram_size for path in self.all if path.use is not PathUse.OFF]
        sizes = [size for size in sizes if size >= BASE_DATAGRAM_SIZE] or sizes
        return min(sizes, default=BASE_DATAGRAM_SIZE) - OVERHEAD - MAX_DATAGRAM_HEAD

    @property
    def is_confirmed(self) -> bool:
        """The peer was heard on at least one path."""
        return any(path.last_received_at is not None for path in self.all)

    @property
    def is_exhausted(self) -> bool:
        """So few packet numbers are left on a path that the session has to end (RFC 9000 section 12.3)."""
        return any(path.recovery.next_number > MAX_PACKET_NUMBER - _NUMBERS_LEFT for path in self.all)

    def note_rtt(self) -> None:
        """Updates `rtt`, as a turn begins."""
        self.rtt = min((path.network.rtt.smoothed for path in self.all if path.network.rtt.smoothed), default=0.0)

    def longest_probe_timeout(self) -> float:
        """The longest probe timeout of all paths, in seconds; 0 without a path."""
        return max((path.network.rtt.probe_timeout(path.max_ack_delay) for path in self.all), default=0.0)

    def has_alternative(self, path: Path) -> bool:
        """Whether there is another path that is not silent."""
        return any(other is not path and other.probing.reachability is not Reachability.SILENT for other in self.all)
