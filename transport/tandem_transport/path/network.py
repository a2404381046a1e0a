"""What is measured about the network under a path. When the network changes, a new object replaces the old one."""

from itertools import islice
from typing import Final

from tandem_transport.congestion.controller import CongestionController
from tandem_transport.congestion.loss_rate import LossRate
from tandem_transport.congestion.queue_delay import QueueDelayEstimator
from tandem_transport.parameters import MIN_DATAGRAM_SIZE
from tandem_transport.path.mtu import MtuDiscovery
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.packets import OVERHEAD

_MAX_LATE_LOOK: Final = 32
"""Number of the oldest packets in flight that are searched for packets that might be too large."""


class PathNetwork:
    """Round-trip time, queue, loss, rate and packet size of one network (RFC 9000 section 9.4)."""

    __slots__ = ("congestion", "datagram_size", "loss_rate", "mtu", "queue", "rtt")

    def __init__(self, congestion: CongestionController, *, after: int = -1) -> None:
        """Packets up to number `after` crossed another network; their acknowledgements say nothing about this one."""
        self.rtt = RttEstimator(after=after)
        self.queue = QueueDelayEstimator(after=after)
        self.congestion = congestion
        self.loss_rate = LossRate()
        self.mtu = MtuDiscovery()
        self.datagram_size = self.mtu.size
        """UDP payload of a full packet, in bytes."""

    @property
    def policed_rate(self) -> float:
        """Bytes per second above which the network drops packets; 0 where it has no such limit."""
        return self.congestion.capacity if self.congestion.is_policed else 0.0

    # --- queue ---

    def has_queue(self, bytes_in_flight: int) -> bool:
        """More waits in the network's queue than the congestion controller aims at."""
        target = self.congestion.queue_target
        # Without acknowledgements the estimate stands still, but the queue does not.
        return self.queue.queue_delay > target and bytes_in_flight > target * self.congestion.pacing_rate

    def forget_queue(self, *, after: int) -> None:
        """Discards the estimate of the queue: one-way delays have another origin from packet `after` + 1 on."""
        self.queue = QueueDelayEstimator(after=after)

    # --- packet size ---

    @property
    def room(self) -> int:
        """Bytes of frames in a full packet; during a check of the size, in a packet small enough for any network."""
        return (MIN_DATAGRAM_SIZE if self.mtu.is_checking else self.datagram_size) - OVERHEAD

    def follow_size(self, recovery: Recovery) -> list[SentPacket]:
        """Takes over the packet size that was found; returns the packets that are lost because they are larger."""
        before, self.datagram_size = self.datagram_size, self.mtu.size
        return recovery.give_up_larger(self.mtu.size) if self.mtu.size < before else []

    def watch_size(self, recovery: Recovery, max_ack_delay: float, *, now: float) -> None:
        """Has the packet size checked where large packets stay unanswered for longer than an answer takes."""
        if self.mtu.is_checking:
            return
        at = self.late_at(recovery, max_ack_delay)
        late = 0
        if at is not None and at <= now:
            late = self.mtu.count_suspects(islice(recovery.outstanding_after(-1), _MAX_LATE_LOOK))
        self.mtu.suspect(late, self.loss_rate.value, now=now)

    def late_at(self, recovery: Recovery, max_ack_delay: float) -> float | None:
        """When the oldest large packet should have been acknowledged, None where nothing large is in flight."""
        for packet in islice(recovery.outstanding_after(-1), _MAX_LATE_LOOK):
            if packet.size > MIN_DATAGRAM_SIZE and not packet.is_mtu_probe:
                return packet.sent_at + self.rtt.probe_timeout(max_ack_delay) + recovery.reordering.window
        return None
