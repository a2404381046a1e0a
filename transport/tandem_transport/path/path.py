"""A path: one way between the two ends, with everything that is measured of it."""

from collections import deque
from collections.abc import Callable, Hashable
from enum import IntEnum
from itertools import islice

from tandem_transport.congestion.controller import CongestionController
from tandem_transport.congestion.delivery_rate import DeliveryRateEstimator, DeliverySample
from tandem_transport.congestion.loss_rate import LossRate
from tandem_transport.congestion.pacing import Pacer
from tandem_transport.congestion.queue_delay import QueueDelayEstimator
from tandem_transport.events import PathStatus
from tandem_transport.parameters import (
    DEGRADED_HOLD,
    DOWN_AFTER,
    LEAST_DATAGRAM_SIZE,
    MAX_DATAGRAM_QUEUE,
    MAX_ONCE_QUEUE,
)
from tandem_transport.path.addresses import PathAddresses
from tandem_transport.path.counters import PathCounters
from tandem_transport.path.hearing import Hearing
from tandem_transport.path.mtu import MtuDiscovery
from tandem_transport.path.sequence import Advance, LossRuns, Overtaking
from tandem_transport.path.status import LATE, PathSigns, judge
from tandem_transport.path.summary import summarize
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.recovery import AckResult, Recovery
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import AckFrame, PathCount, PathUse
from tandem_transport.wire.packets import OVERHEAD

_DOWN_PTOS = 2
_DOWN_RTTS = 3
_OUTAGE_PTOS = 3
"""A run of losses that spans more probe timeouts than this is an outage, not a loss rate."""

_LEAST_SHARE = 0.5
"""Share of the time that news takes, or of the span below, which a sample of the delivery rate spans at least."""

_NOISE_SPAN = 4.0
"""Standard deviations of a packet's delay that a round lasts at least: a rate over less would measure the jitter."""

_LEAST_PACKET = OVERHEAD + 1

_MAX_LATE_LOOK = 32
"""Oldest packets that are looked at for those that might be too large."""

_LOSS_PACKETS = 30
"""Packets in 10 s from which a loss rate says something; one lost keep-alive of five does not."""


class Reachability(IntEnum):
    """The scheduler's view; lower is better."""

    ACTIVE = 0
    SUSPECT = 1
    """A probe timeout has passed."""
    DOWN = 2
    """Two in a row, and nothing acknowledged for 3 RTTs."""


class Path:
    """Estimators, recovery, congestion control and address of one path."""

    def __init__(
        self,
        path_id: int,
        addresses: PathAddresses,
        make_congestion: Callable[[], CongestionController],
        *,
        epoch: float,
    ) -> None:
        self.path_id = path_id
        self.bit = 1 << path_id
        self.rtt = RttEstimator()
        self.queue = QueueDelayEstimator()
        self.delivery_rate = DeliveryRateEstimator()
        self.recovery = Recovery(self.rtt)
        self.loss_rate = LossRate()
        self._was_window_limited = False
        """Acknowledgements were missing since the last packet left: the path was the limit."""
        self._overtaking = Overtaking()
        self._loss_runs = LossRuns()
        self._advance = Advance()
        self._make_congestion = make_congestion
        self.congestion = make_congestion()
        self.pacer = Pacer()
        self.received = ReceivedPackets(epoch)
        self.counters = PathCounters()
        self.reachability = Reachability.ACTIVE
        self.use = PathUse.AVAILABLE
        self.max_rate: int | None = None
        """Bytes per second that the client allows, None for as many as the path takes."""
        self.once: deque[bytes] = deque(maxlen=MAX_ONCE_QUEUE)
        """Encoded frames for this path alone, sent once and never again."""
        self.messages: deque[bytes] = deque(maxlen=MAX_DATAGRAM_QUEUE)
        """Encoded DATAGRAM frames: like `once`, but as the window and the pacer allow (RFC 9221 section 5.4)."""
        self.probes = 0
        """Packets to be sent at once, whatever window and pacer say."""
        self.mtu = MtuDiscovery()
        self.datagram_size = self.mtu.size
        """UDP payload of a full packet."""
        self.last_received_at: float | None = None
        self.hearing = Hearing()
        self.status = PathStatus.PROBING
        self.status_reason = "no answer yet"
        self.degraded_until = 0.0
        """A path that answers late now and then is not usable in between."""
        self.link_error = ""
        """Why this end cannot send here; empty where it can. A path that the other end has switched off says
        nothing of its own accord, but acknowledges: how else would that end learn that it is on again."""
        self.peer_count: PathCount | None = None
        """What the peer last counted of our packets (STATS)."""
        self.addresses = addresses
        self.is_fresh = True
        """The next probe is full: it shows that full packets get through, and gives the other end
        three times its size to answer with before it has proven our address."""

    # --- address ---

    @property
    def is_blocked(self) -> bool:
        """Not even a PING may be sent: switched off, or the address has proven nothing and used its credit up."""
        return self.use is PathUse.OFF or not self.addresses.may_send(_LEAST_PACKET)

    def on_response(self, data: bytes, *, now: float) -> None:
        """A PATH_RESPONSE: whoever is at an address wants our packets."""
        was_blocked = self.is_blocked
        if self.addresses.on_response(data):
            self.forget_network()
        if was_blocked and not self.is_blocked:
            self._on_answer(now=now)
            self.probes = 1

    def rebind(self, *, now: float) -> None:
        """This end's socket has another address: what was measured says nothing of where packets go now."""
        self.forget_network()
        self.recovery.begin_anew()
        self.hearing.begin_anew()
        self._on_answer(now=now)

    def on_wake(self) -> None:
        """Our clock may have stood still, and the peer's not: one-way delays have another origin."""
        self.recovery.begin_anew()
        self.hearing.begin_anew()
        self.queue = QueueDelayEstimator(after=self.recovery.next_number - 1)
        self.probes = 1

    def forget_network(self) -> None:
        """Another network, as far as anybody knows: it is measured anew (RFC 9000 section 9.4)."""
        newest = self.recovery.next_number - 1
        self.rtt = self.recovery.rtt = RttEstimator(after=newest)
        self.queue = QueueDelayEstimator(after=newest)
        self.congestion = self._make_congestion()
        self.loss_rate = LossRate()
        self.mtu = MtuDiscovery()
        self.datagram_size = self.mtu.size

    # --- policy ---

    def follow(self, use: PathUse, max_rate: int | None) -> None:
        """What the newest policy says of this path. One that is switched on again is asked whether it works."""
        if self.use is PathUse.OFF and use is not PathUse.OFF:
            self.probes = 1
            self.recovery.begin_anew()
            self.hearing.begin_anew()
        if use is PathUse.OFF:
            self.messages.clear()
            self.once.clear()
        self.use, self.max_rate = use, max_rate

    # --- receiving ---

    def on_packet_received(self, number: int, size: int, source: Hashable, *, now: float) -> bool:
        """An authentic packet; tells whether it reveals a gap."""
        before = self.received.largest
        if not self.addresses.is_fixed:
            self._follow_source(source, size, is_newest=number > before, now=now)
        has_gap = self.received.record(number, size, now=now)
        was_away = self.last_received_at is None or now - self.last_received_at > DOWN_AFTER
        if was_away and self.reachability is Reachability.DOWN:
            self.probes = max(self.probes, 1)  # the peer is back: what it may answer is not to wait for our timer
        advance = self._advance.of(number, before, size, self.received)
        # What an outage swallowed is not a loss rate.
        self.counters.on_received(size, min(advance, 1) if was_away else advance, now=now)
        self.last_received_at = now
        self.hearing.on_received(now=now)
        return has_gap

    def _follow_source(self, source: Hashable, size: int, *, is_newest: bool, now: float) -> None:
        address = self.addresses.current
        self.addresses.on_received(source, size, is_newest=is_newest, now=now)
        if self.addresses.current != address and self.received.largest >= 0:
            self.probes = 1  # what is on its way to the old address may never arrive

    # --- delays ---

    @property
    def has_queue(self) -> bool:
        """More waits in the path's queue than its congestion controller aims at."""
        target = self.congestion.queue_target
        # Without news the estimate stands still, while the queue does not.
        return self.queue.queue_delay > target and self.recovery.bytes_in_flight > target * self.congestion.pacing_rate

    # --- sending ---

    @property
    def is_urgent(self) -> bool:
        """Something waits that neither window nor pacer holds up."""
        return bool(self.probes > 0 or self.once or self.addresses.has_waiting or self.mtu.due_rungs())

    def may_send(self, *, now: float) -> bool:
        """Pacer, window and address allow a full packet."""
        if self.pacer.next_send_at > now:
            return False
        size, recovery = self.datagram_size, self.recovery
        if recovery.bytes_in_flight + size > self.congestion.congestion_window or recovery.is_full:
            self._was_window_limited = True
            return False
        return not self.addresses.is_doubted or self.addresses.may_send(size)

    def mtu_probe_size(self, *, now: float) -> int | None:
        """Size of a probe for larger packets that should leave now, None for none."""
        if self.recovery.last_acked_at is None or self.recovery.is_full:
            return None
        size = self.mtu.due(now=now)
        return size if size is not None and self.addresses.may_send(2 * size) else None

    @property
    def room(self) -> int:
        """Bytes of frames in a full packet, or in one that is small enough for any path while it is not clear what
        this one takes."""
        return (LEAST_DATAGRAM_SIZE if self.mtu.is_checking else self.datagram_size) - OVERHEAD

    def watch_size(self, max_ack_delay: float, *, now: float) -> None:
        """Has the size checked where large packets stay unanswered for longer than an answer takes."""
        if self.mtu.is_checking:
            return
        at = self.late_at(max_ack_delay)
        late = 0
        if at is not None and at <= now:
            late = self.mtu.count_suspects(islice(self.recovery.outstanding_after(-1), _MAX_LATE_LOOK))
        self.mtu.suspect(late, self.loss_rate.value, now=now)

    def late_at(self, max_ack_delay: float) -> float | None:
        """When the oldest large packet should have been acknowledged, None where nothing large is in flight."""
        for packet in islice(self.recovery.outstanding_after(-1), _MAX_LATE_LOOK):
            if packet.size > LEAST_DATAGRAM_SIZE and not packet.is_mtu_probe:
                return packet.sent_at + self.rtt.probe_timeout(max_ack_delay) + self.recovery.reordering.patience
        return None

    def _follow_size(self) -> list[SentPacket]:
        """Takes over what was found out of the size; returns what is lost for it."""
        before, self.datagram_size = self.datagram_size, self.mtu.size
        return self.recovery.give_up_larger(self.mtu.size) if self.mtu.size < before else []

    def is_window_limited(self) -> bool:
        """Only an acknowledgement can make this path send again."""
        size = self.datagram_size
        window_is_full = self.recovery.bytes_in_flight + size > self.congestion.congestion_window
        return window_is_full or self.recovery.is_full or not self.addresses.may_send(size)

    def on_packet_sent(self, packet: SentPacket | None, size: int, address: Hashable, *, now: float) -> None:
        """`packet` is None for one that asks for no acknowledgement; those are not paced."""
        self.counters.on_sent(size, now=now)
        if self.addresses.is_doubted or address != self.addresses.current:
            self.addresses.on_sent(size, address)
        if packet is None:
            self.delivery_rate.on_unacknowledged_sent(size)
            return
        congestion, recovery = self.congestion, self.recovery
        packet.is_below_capacity = congestion.is_sending_below_capacity
        packet.full_size = self.datagram_size
        if self.pacer.is_late(now=now) and not self._was_window_limited:
            self.delivery_rate.on_app_limited()
        self._was_window_limited = False
        if recovery.is_idle and self.delivery_rate.is_app_limited:
            # A slow path is idle between two packets; that is no reason to measure anew.
            self.delivery_rate.restart(self.queue.base, now=now)
        self.delivery_rate.on_packet_sent(packet)
        recovery.on_packet_sent(packet)
        self.hearing.on_sent(recovery.unanswered, now=now)
        rate = congestion.pacing_rate
        self.pacer.on_packet_sent(size, rate if self.max_rate is None else min(rate, self.max_rate), now=now)

    # --- acknowledgements ---

    def on_ack(self, ack: AckFrame, *, is_own_path: bool, max_ack_delay: float, now: float) -> AckResult:
        """An ACK frame about this path; `is_own_path` where it also arrived on it."""
        received_at = ack.received_at_us / 1e6
        was_down, largest_before = self.reachability is Reachability.DOWN, self.recovery.largest_acked
        result = self.recovery.on_ack_received(ack, now=now)
        self._sample_delays(ack, result, received_at, largest_before, is_own_path=is_own_path, now=now)
        if result.is_answer:
            self._on_answer(now=now)
        for packet in result.acked:
            self.mtu.on_acked(packet, now=now)
        for packet in result.lost:
            self.mtu.on_lost(packet, now=now)
        result.lost += self._follow_size()
        if result.lost:
            self._on_lost(result.lost, was_down=was_down, max_ack_delay=max_ack_delay, now=now)
        if result.acked:
            self.counters.on_acked(len(result.acked), now=now)
            self.loss_rate.on_acked(len(result.acked))
            if self.hearing.asked_at is not None:
                self.hearing.on_acked(result.acked)
            self._control_congestion(ack, result, received_at, now=now)
        return result

    def on_loss_timeout(self, *, max_ack_delay: float, now: float) -> list[SentPacket]:
        """The time threshold of an outstanding packet has passed; returns what is lost."""
        lost = self.recovery.detect_lost_packets(now=now)
        for packet in lost:
            self.mtu.on_lost(packet, now=now)
        lost += self._follow_size()
        if lost:
            self._on_lost(lost, was_down=False, max_ack_delay=max_ack_delay, now=now)
        return lost

    def on_probe_timeout(self, *, now: float) -> None:
        """Nothing was acknowledged for a probe timeout (RFC 9002 section 6.2)."""
        recovery = self.recovery
        recovery.pto_count += 1
        self.probes = 1
        if self.reachability is Reachability.ACTIVE:
            self.reachability = Reachability.SUSPECT
        last = recovery.last_acked_at
        if recovery.pto_count >= _DOWN_PTOS and (last is None or now - last > _DOWN_RTTS * self.rtt.smoothed):
            self.reachability = Reachability.DOWN

    def _sample_delays(
        self,
        ack: AckFrame,
        result: AckResult,
        received_at: float,
        largest_before: int,
        *,
        is_own_path: bool,
        now: float,
    ) -> None:
        sent_at, acked, delay = self.recovery.sent_at(ack.largest), result.acked, ack.delay_us / 1e6
        if acked and self._overtaking.on_ack(is_late=acked[0].number < largest_before):
            self.queue.restart()
        if acked and self._overtaking.is_usual:
            # The largest number belongs to a packet that overtook others; any one of those that are news has a
            # delay like the others'. It has arrived at the latest when the acknowledgement left.
            packet = acked[ack.largest % len(acked)]
            self.queue.on_ack(packet.number, received_at + delay - packet.sent_at, self.rtt.minimum, now=now)
        elif ack.largest > largest_before and sent_at is not None:
            self.queue.on_ack(ack.largest, received_at - sent_at, self.rtt.minimum, now=now)
        if is_own_path and sent_at is not None:
            lead = 0.0
            if self._overtaking.is_usual and self.queue.typical is not None:
                lead = max(0.0, self.queue.typical - (received_at - sent_at))
            self.rtt.on_ack(ack.largest, now - sent_at - delay + lead, now=now)

    def _on_answer(self, *, now: float) -> None:
        if self.reachability is not Reachability.ACTIVE:
            self.reachability = Reachability.ACTIVE
            self.pacer.next_send_at = now

    def _on_lost(self, lost: list[SentPacket], *, was_down: bool, max_ack_delay: float, now: float) -> None:
        # What was too large for the path says nothing of how it treats the rest.
        lost = [packet for packet in lost if not packet.is_mtu_probe and packet.size <= self.datagram_size]
        if not lost:
            return
        span = lost[-1].sent_at - lost[0].sent_at
        if was_down or (len(lost) > 3 and span > _OUTAGE_PTOS * self.rtt.probe_timeout(max_ack_delay)):
            return
        self.counters.on_lost(len(lost), now=now)
        self.loss_rate.on_lost(len(lost))
        below_capacity = sum(packet.is_below_capacity for packet in lost)
        self.congestion.on_packets_lost(below_capacity, len(lost), self._loss_runs.count(lost))

    def _control_congestion(self, ack: AckFrame, result: AckResult, received_at: float, *, now: float) -> None:
        summary = summarize(
            result,
            self._delivery_sample(ack, result, received_at),
            recovery=self.recovery,
            queue=self.queue,
            is_reordering=self._overtaking.is_usual,
            now=now,
        )
        longer = self.congestion.on_ack(summary)
        if longer:
            self.queue.rebase(longer, now=now)

    def _delivery_sample(self, ack: AckFrame, result: AckResult, received_at: float) -> DeliverySample | None:
        recovery = self.recovery
        recovery.least_round = span = _NOISE_SPAN * self.queue.packet_noise
        return self.delivery_rate.on_ack(
            result.acked[-1],
            ack.largest,
            received_at,
            ack.received_bytes,
            _LEAST_SHARE * max(recovery.feedback, span),
            holds_reference=span > recovery.feedback and not result.is_round_start,
        )

    # --- status ---

    @property
    def is_one_way(self) -> bool:
        """Only one of the directions works."""
        return self.hearing.is_deaf or self.hearing.is_mute

    def update_status(self, patience: float, *, now: float) -> bool:
        """Judges the path anew; tells whether its status, or its cause, has changed.

        `patience`: seconds after which the peer would have been heard.
        """
        recovery, hearing = self.recovery, self.hearing
        hearing.judge(recovery, patience, now=now)
        since, asked_at = recovery.unanswered_since, hearing.asked_at
        before, is_policed = self.status, self.congestion.is_policed
        status, reason = judge(
            PathSigns(
                has_answered=recovery.last_acked_at is not None and hearing.heard_at is not None,
                silence=now - since if since is not None else 0.0,
                unanswered=recovery.unanswered,
                is_suspect=self.reachability is not Reachability.ACTIVE and since is not None and now - since >= LATE,
                loss=max(
                    # What a policer drops is more than it was asked to carry: it says nothing of the path.
                    0.0 if is_policed else self.counters.loss_sent(least=_LOSS_PACKETS, now=now) or 0.0,
                    self.counters.loss_received(least=_LOSS_PACKETS, now=now) or 0.0,
                ),
                smoothed_rtt=self.rtt.smoothed,
                min_rtt=self.rtt.minimum,
                link_error=self.link_error or ("switched off" if self.use is PathUse.OFF else ""),
                queue_delay=self.queue.queue_delay if self.has_queue else 0.0,
                policed_rate=self.congestion.capacity if is_policed else 0.0,
                is_mute=hearing.is_mute,
                is_deaf=hearing.is_deaf,
                is_unheard=before is PathStatus.DOWN and asked_at is not None and now - asked_at >= DOWN_AFTER,
            )
        )
        if status is PathStatus.DEGRADED and not self.is_one_way:
            self.degraded_until = now + DEGRADED_HOLD
        if before is not PathStatus.DEGRADED or status is not PathStatus.USABLE or now >= self.degraded_until:
            self.status, self.status_reason = status, reason
        return self.status is not before
