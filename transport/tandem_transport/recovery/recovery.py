"""One path's packet number space as its sender sees it: what is in flight, what was lost, when to probe.

Names of RFC 9002 appendix A. What a packet carried is not known here; its chunks are handed
back to the caller with it.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from tandem_transport.errors import ErrorCode, PeerError
from tandem_transport.parameters import (
    MAX_OUTSTANDING,
    MAX_RTT,
    PTO_BACKOFF_AGES,
    PTO_BACKOFF_CAP,
    PTO_IDLE,
    PTO_RARE,
    PTO_RAREST,
    SENT_TIMES,
)
from tandem_transport.recovery.reordering import Reordering
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import AckFrame

_SLACK = 1e-6
"""A timer that fires exactly at its deadline must not miss it by a rounding error and fire forever."""

_MIN_ROUND = 0.75
"""Feedback times that a round lasts at least."""


@dataclass(slots=True)
class AckResult:
    """What an ACK frame changed."""

    acked: list[SentPacket] = field(default_factory=list[SentPacket])
    """Newly acknowledged, lowest number first."""
    lost: list[SentPacket] = field(default_factory=list[SentPacket])
    is_answer: bool = False
    """The path has shown that it carries packets now."""
    is_round_start: bool = False


class Recovery:
    """Sent packets, loss detection and the probe timer of one path."""

    def __init__(self, rtt: RttEstimator) -> None:
        self.rtt = rtt
        self.reordering = Reordering()
        self._sent: dict[int, SentPacket] = {}
        self._sent_times = array("d", bytes(8 * SENT_TIMES))
        self.next_number = 0
        self.largest_acked = -1
        self.bytes_in_flight = 0
        self.round = 0
        self._round_end = 0
        self._round_began = 0.0
        self.min_round = 0.0
        """Seconds that a round lasts at least, beside the time that news takes: jitter must not be what it measures."""
        self.feedback = 0.0
        """Smoothed seconds from a packet's sending to the news of its arrival, over whatever path that came."""
        self.loss_time: float | None = None
        """When the oldest packet before an acknowledged one will be lost by time."""
        self.pto_count = 0
        self.last_sent_at = 0.0
        """Last ack-eliciting packet."""
        self.last_acked_at: float | None = None
        """Last time that a packet of this path was acknowledged, over whatever path."""
        self.unanswered_since: float | None = None
        """First ack-eliciting packet sent after that; None where nothing is unanswered."""
        self.unanswered = 0
        """Ack-eliciting packets since then."""

    def begin_anew(self) -> None:
        """What was unanswered so far has found its explanation; the next silence is another one."""
        self.pto_count = 0
        self.unanswered_since, self.unanswered = None, 0

    def excuse(self, seconds: float, *, now: float) -> None:
        """This end did not listen for so long: that is no silence."""
        if self.unanswered_since is not None:
            self.unanswered_since = min(now, self.unanswered_since + seconds)

    # --- sending ---

    def take_number(self, *, now: float) -> int:
        """The next packet number; its sending time is remembered for a while."""
        number = self.next_number
        self.next_number = number + 1
        self._sent_times[number & (SENT_TIMES - 1)] = now
        return number

    def on_packet_sent(self, packet: SentPacket) -> None:
        """An ack-eliciting packet has left."""
        self._sent[packet.number] = packet
        self.bytes_in_flight += packet.size
        self.last_sent_at = packet.sent_at
        if self.unanswered_since is None:
            self.unanswered_since = packet.sent_at
        self.unanswered += 1

    @property
    def is_idle(self) -> bool:
        """Nothing is in flight."""
        return not self._sent

    @property
    def is_full(self) -> bool:
        """As many packets as may be remembered are outstanding."""
        return len(self._sent) >= MAX_OUTSTANDING

    def outstanding(self) -> list[SentPacket]:
        """Packets neither acknowledged nor lost, lowest number first."""
        return list(self._sent.values())

    def outstanding_after(self, number: int) -> Iterator[SentPacket]:
        """Of those, the ones with higher numbers."""
        for packet in self._sent.values():
            if packet.number > number:
                yield packet

    def outstanding_packet(self, number: int) -> SentPacket:
        """One of them."""
        return self._sent[number]

    def sent_at(self, number: int) -> float | None:
        """When a packet was sent, ACK-only ones included; None where that is forgotten."""
        if not self.next_number - SENT_TIMES <= number < self.next_number:
            return None
        return self._sent_times[number & (SENT_TIMES - 1)]

    # --- acknowledgements ---

    def on_ack_received(self, ack: AckFrame, *, now: float) -> AckResult:
        """Raises PeerError for numbers that were never sent (RFC 9000 section 13.1)."""
        if ack.largest >= self.next_number:
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"packet {ack.largest} acknowledged, but never sent")
        result = AckResult(acked=self._take_acked(ack), is_answer=self._is_answer(ack))
        self.largest_acked = max(self.largest_acked, ack.largest)
        if result.acked:
            result.is_answer = True
            self._end_round(result, now)
        if result.is_answer:
            self.last_acked_at = now
            self.begin_anew()
        self.reordering.on_ack(ack, len(result.acked), self.rtt, now=now)
        result.lost = self.detect_lost_packets(now=now)
        return result

    def _take_acked(self, ack: AckFrame) -> list[SentPacket]:
        sent = self._sent
        acked: list[SentPacket] = []
        if not sent:
            return acked
        oldest = next(iter(sent))
        for low, high in ack.ranges:
            if high < oldest:
                break
            if high - low < len(sent):
                numbers = [number for number in range(high, max(low, oldest) - 1, -1) if number in sent]
            else:
                numbers = [number for number in reversed(sent) if low <= number <= high]
            acked += [sent.pop(number) for number in numbers]
        acked.reverse()
        return acked

    def _is_answer(self, ack: AckFrame) -> bool:
        """Whether it ends a silence: a packet has arrived that was sent in it, be it one that is never tracked."""
        if ack.largest <= self.largest_acked or self.unanswered_since is None:
            return False
        sent_at = self.sent_at(ack.largest)
        return sent_at is not None and sent_at > self.unanswered_since

    def _end_round(self, result: AckResult, now: float) -> None:
        acked = result.acked
        self.bytes_in_flight -= sum(packet.size for packet in acked)
        feedback = now - acked[len(acked) // 2].sent_at
        if not self.feedback:
            self.feedback = min(feedback, MAX_RTT)
        # What an outage, or a machine that slept, held up says nothing of how long news takes.
        self.feedback += (min(feedback, 2 * self.feedback) - self.feedback) / 16
        # On a path that reorders, a lucky packet would end the round of all others.
        minimum = max(_MIN_ROUND * self.feedback, self.min_round)
        if acked[-1].number >= self._round_end and now >= self._round_began + minimum:
            self._round_end, self._round_began = self.next_number, now
            self.round += 1
            result.is_round_start = True

    # --- loss ---

    def detect_lost_packets(self, *, now: float) -> list[SentPacket]:
        """Packets lost by count or by time (RFC 9002 section 6.1); sets `loss_time`."""
        self.loss_time = None
        loss_delay = self.rtt.loss_delay() + self.reordering.window
        last_by_count = self.largest_acked - self.reordering.packet_threshold
        lost: list[SentPacket] = []
        for number, packet in self._sent.items():
            if number >= self.largest_acked:
                break
            if number <= last_by_count or packet.sent_at <= now - loss_delay + _SLACK:
                lost.append(packet)
            else:
                self.loss_time = packet.sent_at + loss_delay
                break
        for packet in lost:
            del self._sent[packet.number]
            self.bytes_in_flight -= packet.size
            self.reordering.on_lost(packet.number, self.largest_acked - packet.number)
        return lost

    def give_up_larger(self, size: int) -> list[SentPacket]:
        """Declares lost what is larger than the path takes."""
        lost = [packet for packet in self._sent.values() if packet.size > size]
        for packet in lost:
            del self._sent[packet.number]
            self.bytes_in_flight -= packet.size
        return lost

    # --- probe timeout ---

    def probe_at(self, max_ack_delay: float, *, has_streams: bool, now: float) -> float | None:
        """When to probe (RFC 9002 section 6.2), None with nothing in flight."""
        if not self._sent:
            return None
        return self.last_sent_at + self._probe_interval(max_ack_delay, has_streams, now)

    def _probe_interval(self, max_ack_delay: float, has_streams: bool, now: float) -> float:
        pto = self.rtt.probe_timeout(max_ack_delay)
        if not self.pto_count:
            return pto
        silence = now - (self.unanswered_since if self.unanswered_since is not None else now)
        if silence < PTO_BACKOFF_AGES[0]:
            return max(pto, min(pto * 2.0 ** min(self.pto_count, 16), PTO_BACKOFF_CAP))
        if not has_streams:
            return PTO_IDLE
        return max(pto, PTO_RARE if silence < PTO_BACKOFF_AGES[1] else PTO_RAREST)

    def is_probe_due(self, deadline: float | None, *, now: float) -> bool:
        """Compares with the slack that keeps a timer from firing early forever."""
        return deadline is not None and deadline <= now + _SLACK
