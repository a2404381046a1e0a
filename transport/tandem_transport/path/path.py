"""A path: one route between the two ends, with everything that is measured about it."""

from collections import deque
from collections.abc import Hashable
from typing import Final

from tandem_transport.congestion.delivery_rate import DeliveryRateEstimator, DeliverySample
from tandem_transport.congestion.pacing import Pacer
from tandem_transport.parameters import DOWN_AFTER, MAX_DATAGRAM_QUEUE, MAX_OWN_FRAMES
from tandem_transport.path.carrier import Carrier
from tandem_transport.path.counters import PathCounters
from tandem_transport.path.hearing import Hearing
from tandem_transport.path.network import PathNetwork
from tandem_transport.path.probing import Probing, Reachability
from tandem_transport.path.sequence import PacketOrder
from tandem_transport.path.status import LATE, PathSigns, Standing
from tandem_transport.path.summary import summarize
from tandem_transport.path.terms import PathTerms
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.recovery import AckResult, Recovery
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import AckFrame, PathUse
from tandem_transport.wire.packets import OVERHEAD

_OUTAGE_PTOS: Final = 3
"""A run of losses that spans more probe timeouts than this is an outage, not a loss rate."""

_MIN_SHARE: Final = 0.5
"""Minimum span of a delivery rate sample, as a share of the feedback time or of the _NOISE_SPAN time, if longer."""

_NOISE_SPAN: Final = 4.0
"""Minimum length of a round, in standard deviations of a packet's delay: a shorter round would measure the jitter."""

_MIN_PACKET: Final = OVERHEAD + 1

_LOSS_PACKETS: Final = 30
"""Minimum number of packets in 10 s for a meaningful loss rate; one lost keep-alive of five shows nothing."""


class Path:
    """Estimators, recovery, congestion control and address of one path."""

    def __init__(self, path_id: int, terms: PathTerms) -> None:
        self.path_id = path_id
        self.bit = 1 << path_id
        self.max_ack_delay = terms.max_ack_delay
        self.addresses = terms.make_addresses()
        self.carrier: Carrier | None = None
        """The byte stream that carries the path's packets, None for datagrams."""
        self._make_congestion = terms.make_congestion
        self.network = PathNetwork(terms.make_congestion())
        self.recovery = Recovery(self.network.rtt)
        self.delivery_rate = DeliveryRateEstimator()
        self.pacer = Pacer()
        self._was_window_limited = False
        """The window or the limit of packets in flight was full since the last packet left: the path was the limit."""
        self.received = ReceivedPackets(terms.epoch)
        self.last_received_at: float | None = None
        self._order = PacketOrder()
        self.counters = PathCounters()
        self.probing = Probing()
        self.hearing = Hearing()
        self.use = PathUse.AVAILABLE
        self.own_frames: deque[bytes] = deque(maxlen=MAX_OWN_FRAMES)
        """Encoded frames for this path alone, never retransmitted."""
        self.datagram_frames: deque[bytes] = deque(maxlen=MAX_DATAGRAM_QUEUE)
        """Encoded DATAGRAM frames: like `own_frames`, but as the window and the pacer allow (RFC 9221 section 5.4)."""
        self.standing = Standing()

    # --- address ---

    @property
    def is_blocked(self) -> bool:
        """Not even a PING may be sent: the path is off, or its address is not validated and has used up its credit."""
        return self.use is PathUse.OFF or not self.addresses.may_send(_MIN_PACKET)

    def on_response(self, data: bytes, *, now: float) -> None:
        """A PATH_RESPONSE has arrived: it validates one of the peer's addresses."""
        was_blocked = self.is_blocked
        if self.addresses.on_response(data):
            self.forget_network()
        self._follow_carrier()
        if was_blocked and not self.is_blocked:
            self._on_answer(now=now)
            self.probing.request()

    def _follow_carrier(self) -> None:
        """The peer's address has perhaps changed; an address may be a carrier, and each is a network of its own."""
        address = self.addresses.current
        carrier = address if isinstance(address, Carrier) else None
        if carrier is not self.carrier and not self.addresses.is_fixed:
            self.carrier = carrier
            self.forget_network()

    def rebind(self, *, now: float) -> None:
        """This end's socket has another address: old measurements say nothing about where packets go now."""
        self.forget_network()
        self.recovery.begin_anew()
        self.hearing.begin_anew()
        self._on_answer(now=now)

    def on_wake(self) -> None:
        """This machine has slept. Our clock may have stood still, but not the peer's: one-way delays change origin."""
        self.recovery.begin_anew()
        self.hearing.begin_anew()
        self.network.forget_queue(after=self.recovery.next_number - 1)
        self.probing.request()

    def forget_network(self) -> None:
        """Discards the measurements, because the network may be another one (RFC 9000 section 9.4)."""
        self.network = PathNetwork(self._make_congestion(), after=self.recovery.next_number - 1)
        self.recovery.rtt = self.network.rtt

    # --- policy ---

    def follow(self, use: PathUse, max_rate: int | None) -> None:
        """Applies the newest policy to this path. A path that is switched on again is probed."""
        if self.use is PathUse.OFF and use is not PathUse.OFF:
            self.probing.request()
            self.recovery.begin_anew()
            self.hearing.begin_anew()
        if use is PathUse.OFF:
            self.datagram_frames.clear()
            self.own_frames.clear()
        self.use, self.pacer.max_rate = use, max_rate

    # --- receiving ---

    def on_packet_received(self, number: int, size: int, source: Hashable, *, now: float) -> bool:
        """An authentic packet has arrived; tells whether it reveals a gap."""
        before = self.received.largest
        if not self.addresses.is_fixed:
            self._follow_source(source, size, is_newest=number > before, now=now)
        has_gap = self.received.record(number, size, now=now)
        was_away = self.last_received_at is None or now - self.last_received_at > DOWN_AFTER
        if was_away and self.probing.reachability is Reachability.SILENT:
            self.probing.request()  # the peer is back: our next probe must not wait for the timer
        advance = self._order.advance.of(number, before, size, self.received)
        # Packets that an outage has lost do not count in the loss rate.
        self.counters.on_received(size, min(advance, 1) if was_away else advance, now=now)
        self.last_received_at = now
        self.hearing.on_received(now=now)
        return has_gap

    def _follow_source(self, source: Hashable, size: int, *, is_newest: bool, now: float) -> None:
        address = self.addresses.current
        self.addresses.on_received(source, size, is_newest=is_newest, now=now)
        if self.addresses.current != address:
            self._follow_carrier()
            if self.received.largest >= 0:
                self.probing.request()  # what is on its way to the old address may never arrive

    # --- sending ---

    @property
    def is_urgent(self) -> bool:
        """Something waits to be sent that neither the window nor the pacer delays."""
        return bool(
            self.probing.is_due or self.own_frames or self.addresses.has_waiting or self.network.mtu.due_rungs()
        )

    def may_send(self, *, now: float) -> bool:
        """Pacer, window and address allow a full packet."""
        if self.pacer.next_send_at > now:
            return False
        size, recovery = self.network.datagram_size, self.recovery
        window = self.network.congestion.congestion_window
        if self._is_carrier_full:
            self.pacer.next_send_at = now  # the time until it takes data again is not to be caught up
        if recovery.bytes_in_flight + size > window or recovery.is_full or self._is_carrier_full:
            self._was_window_limited = True
            return False
        return not self.addresses.is_doubted or self.addresses.may_send(size)

    def mtu_probe_size(self, *, now: float) -> int | None:
        """Size of the MTU probe that should leave now, None for none."""
        if self.recovery.last_acked_at is None or self.recovery.is_full:
            return None
        size = self.network.mtu.due(now=now)
        return size if size is not None and self.addresses.may_send(2 * size) else None

    def is_window_limited(self) -> bool:
        """Only an acknowledgement can make this path send again."""
        size = self.network.datagram_size
        window_is_full = self.recovery.bytes_in_flight + size > self.network.congestion.congestion_window
        is_full = window_is_full or self.recovery.is_full or self._is_carrier_full
        return is_full or not self.addresses.may_send(size)

    @property
    def _is_carrier_full(self) -> bool:
        return self.carrier is not None and self.carrier.is_full

    def on_packet_sent(self, packet: SentPacket | None, size: int, address: Hashable, *, now: float) -> None:
        """A packet has left; `packet` is None where it is not ack-eliciting, and then it is not paced."""
        self.counters.on_sent(size, now=now)
        if self.addresses.is_doubted or address != self.addresses.current:
            self.addresses.on_sent(size, address)
        if packet is None:
            self.delivery_rate.on_unacknowledged_sent(size)
            return
        congestion, recovery = self.network.congestion, self.recovery
        packet.is_below_capacity = congestion.is_sending_below_capacity
        packet.full_size = self.network.datagram_size
        if self.pacer.is_late(now=now) and not self._was_window_limited:
            self.delivery_rate.on_app_limited()
        self._was_window_limited = False
        if recovery.is_idle and self.delivery_rate.is_app_limited:
            # Only if app-limited: a slow path is idle between any two packets, which is no reason to restart.
            self.delivery_rate.restart(self.network.queue.base, now=now)
        self.delivery_rate.on_packet_sent(packet)
        recovery.on_packet_sent(packet)
        self.hearing.on_sent(recovery.unanswered, now=now)
        self.pacer.on_packet_sent(size, congestion.pacing_rate, now=now)

    # --- acknowledgements ---

    def on_ack(self, ack: AckFrame, *, is_own_path: bool, now: float) -> AckResult:
        """An ACK frame about this path has arrived; `is_own_path`: it also arrived on this path."""
        received_at = ack.received_at_us / 1e6
        was_down, largest_before = self.probing.reachability is Reachability.SILENT, self.recovery.largest_acked
        result = self.recovery.on_ack_received(ack, now=now)
        self._sample_delays(ack, result, received_at, largest_before, is_own_path=is_own_path, now=now)
        if result.is_answer:
            self._on_answer(now=now)
        for packet in result.acked:
            self.network.mtu.on_acked(packet, now=now)
        for packet in result.lost:
            self.network.mtu.on_lost(packet, now=now)
        result.lost += self.network.follow_size(self.recovery)
        if result.lost:
            self._on_lost(result.lost, was_down=was_down, now=now)
        if result.acked:
            self.counters.on_acked(len(result.acked), now=now)
            self.network.loss_rate.on_acked(len(result.acked))
            if self.hearing.asked_at is not None:
                self.hearing.on_acked(result.acked)
            self._control_congestion(ack, result, received_at, now=now)
        return result

    def on_loss_timeout(self, *, now: float) -> list[SentPacket]:
        """The time threshold of an outstanding packet has passed; returns what is lost."""
        lost = self.recovery.detect_lost_packets(now=now)
        for packet in lost:
            self.network.mtu.on_lost(packet, now=now)
        lost += self.network.follow_size(self.recovery)
        if lost:
            self._on_lost(lost, was_down=False, now=now)
        return lost

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
        overtaking, queue, rtt = self._order.overtaking, self.network.queue, self.network.rtt
        if acked and overtaking.on_ack(is_late=acked[0].number < largest_before):
            queue.restart()
        if acked and overtaking.is_usual:
            # The largest number belongs to a packet that overtook others, so its delay is not typical. Any of the
            # newly acknowledged packets is. It arrived at the latest when the acknowledgement left.
            packet = acked[ack.largest % len(acked)]
            queue.on_ack(packet.number, received_at + delay - packet.sent_at, rtt.minimum, now=now)
        elif ack.largest > largest_before and sent_at is not None:
            queue.on_ack(ack.largest, received_at - sent_at, rtt.minimum, now=now)
        if is_own_path and sent_at is not None:
            lead = 0.0
            if overtaking.is_usual and queue.typical is not None:
                lead = max(0.0, queue.typical - (received_at - sent_at))
            rtt.on_ack(ack.largest, now - sent_at - delay + lead, now=now)

    def _on_answer(self, *, now: float) -> None:
        if self.probing.on_answer():
            self.pacer.next_send_at = now

    def _on_lost(self, lost: list[SentPacket], *, was_down: bool, now: float) -> None:
        # Losses of packets that were too large for the path say nothing about how it treats the others.
        lost = [packet for packet in lost if not packet.is_mtu_probe and packet.size <= self.network.datagram_size]
        if not lost:
            return
        span = lost[-1].sent_at - lost[0].sent_at
        if was_down or (len(lost) > 3 and span > _OUTAGE_PTOS * self.network.rtt.probe_timeout(self.max_ack_delay)):
            return
        self.counters.on_lost(len(lost), now=now)
        self.network.loss_rate.on_lost(len(lost))
        below_capacity = sum(packet.is_below_capacity for packet in lost)
        self.network.congestion.on_packets_lost(below_capacity, len(lost), self._order.loss_runs.count(lost))

    def _control_congestion(self, ack: AckFrame, result: AckResult, received_at: float, *, now: float) -> None:
        summary = summarize(
            result,
            self._delivery_sample(ack, result, received_at),
            recovery=self.recovery,
            queue=self.network.queue,
            is_reordering=self._order.overtaking.is_usual,
            now=now,
        )
        longer = self.network.congestion.on_ack(summary)
        if longer:
            self.network.queue.rebase(longer, now=now)

    def _delivery_sample(self, ack: AckFrame, result: AckResult, received_at: float) -> DeliverySample | None:
        recovery = self.recovery
        recovery.min_round = span = _NOISE_SPAN * self.network.queue.packet_noise
        return self.delivery_rate.on_ack(
            result.acked[-1],
            ack.largest,
            received_at,
            ack.received_bytes,
            _MIN_SHARE * max(recovery.feedback, span),
            holds_reference=span > recovery.feedback and not result.is_round_start,
        )

    # --- status ---

    def update_status(self, timeout: float, *, now: float) -> bool:
        """Updates the status of the path and its reason; tells whether the status has changed.

        `timeout`: seconds after which a peer that still sends would have been heard.
        """
        self.hearing.update(self.recovery, timeout, now=now)
        return self.standing.update(self._signs(now), now=now)

    def _signs(self, now: float) -> PathSigns:
        recovery, hearing, network = self.recovery, self.hearing, self.network
        since, asked_at, arriving_rate = recovery.unanswered_since, hearing.asked_at, self.counters.peer_limit(now=now)
        is_suspect = self.probing.reachability is not Reachability.ACTIVE
        is_down = self.standing.is_down
        return PathSigns(
            has_answered=recovery.last_acked_at is not None and hearing.heard_at is not None,
            silence=now - since if since is not None else 0.0,
            unanswered=recovery.unanswered,
            is_suspect=is_suspect and since is not None and now - since >= LATE,
            loss=max(
                # A policer drops what exceeds its rate: these losses say nothing about the path's quality.
                0.0 if network.policed_rate else self.counters.loss_sent(minimum=_LOSS_PACKETS, now=now) or 0.0,
                0.0 if arriving_rate else self.counters.loss_received(minimum=_LOSS_PACKETS, now=now) or 0.0,
            ),
            smoothed_rtt=network.rtt.smoothed,
            min_rtt=network.rtt.minimum,
            link_error=self.standing.link_error or ("switched off" if self.use is PathUse.OFF else ""),
            queue_delay=network.queue.queue_delay if network.has_queue(recovery.bytes_in_flight) else 0.0,
            policed_rate=network.policed_rate,
            arriving_rate=arriving_rate,
            is_mute=hearing.is_mute,
            is_deaf=hearing.is_deaf,
            is_unheard=is_down and asked_at is not None and now - asked_at >= DOWN_AFTER,
        )
