"""The sending side of one path's packet number space: what is in flight, what is lost, when to probe.

Names are those of RFC 9002 appendix A. This module does not know what a packet carries; the
caller gets its chunks back with the packet.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

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

_SLACK: Final = 1e-6
"""Seconds of tolerance: a timer that fires at its deadline must not miss it by a rounding error and fire forever."""

_MIN_ROUND: Final = 0.75
"""Minimum length of a round, in feedback times."""


@dataclass(slots=True)
class AckResult:
    """The changes that an ACK frame caused."""

    acked: list[SentPacket] = field(default_factory=list[SentPacket])
    """Newly acknowledged packets, lowest number first."""
    lost: list[SentPacket] = field(default_factory=list[SentPacket])
    is_answer: bool = False
    """The ACK frame proves that the path carries packets now."""
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
        """Minimum length of a round in seconds, besides _MIN_ROUND feedback times: a round must not measure jitter."""
        self.feedback = 0.0
        """Feedback time: smoothed seconds from sending a packet to its acknowledgement, over any path."""
        self.loss_time: float | None = None
        """When the time threshold of the oldest packet before an acknowledged one passes; None where there is none."""
        self.pto_count = 0
        self.last_sent_at = 0.0
        """When the last ack-eliciting packet was sent."""
        self.last_acked_at: float | None = None
        """When a packet of this path was last acknowledged, over any path."""
        self.unanswered_since: float | None = None
        """When the first ack-eliciting packet after `last_acked_at` was sent; None where nothing is unanswered."""
        self.unanswered = 0
        """Ack-eliciting packets sent since `unanswered_since`."""

    def begin_anew(self) -> None:
        """Ends the present silence, because its cause is known; the next unanswered packet begins a new one."""
        self.pto_count = 0
        self.unanswered_since, self.unanswered = None, 0

    def excuse(self, seconds: float, *, now: float) -> None:
        """Subtracts from the present silence the `seconds` for which this end did not listen."""
        if self.unanswered_since is not None:
            self.unanswered_since = min(now, self.unanswered_since + seconds)

    # --- sending ---

    def take_number(self, *, now: float) -> int:
        """The next packet number; its sending time is remembered for SENT_TIMES packets."""
        number = self.next_number
        self.next_number = number + 1
        self._sent_times[number & (SENT_TIMES - 1)] = now
        return number

    def on_packet_sent(self, packet: SentPacket) -> None:
        """An ack-eliciting packet was sent."""
        self._sent[packet.number] = packet
        self.bytes_in_flight += packet.size
        self.last_sent_at = packet.sent_at
        if self.unanswered_since is None:
            self.unanswered_since = packet.sent_at
        self.unanswered += 1

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._sent

    @property
    def is_full(self) -> bool:
        """Whether MAX_OUTSTANDING packets are outstanding, so that nothing may be sent."""
        return len(self._sent) >= MAX_OUTSTANDING

    def outstanding(self) -> list[SentPacket]:
        """The packets that are neither acknowledged nor lost, lowest number first."""
        return list(self._sent.values())

    def outstanding_after(self, number: int) -> Iterator[SentPacket]:
        """The outstanding packets with numbers above `number`."""
        sent = self._sent
        if self.next_number - number > len(sent):
            for packet in sent.values():
                if packet.number > number:
                    yield packet
            return
        for later in range(number + 1, self.next_number):
            if later in sent:
                yield sent[later]

    def outstanding_packet(self, number: int) -> SentPacket:
        """The outstanding packet with this number."""
        return self._sent[number]

    def sent_at(self, number: int) -> float | None:
        """When a packet was sent, also one with only ACK frames; None where that is forgotten."""
        if not self.next_number - SENT_TIMES <= number < self.next_number:
            return None
        return self._sent_times[number & (SENT_TIMES - 1)]

    # --- acknowledgements ---

    def on_ack_received(self, ack: AckFrame, *, now: float) -> AckResult:
        """Processes an ACK frame. Raises PeerError for numbers that were never sent (RFC 9000 section 13.1)."""
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
            low = max(low, oldest)
            if high - low < len(sent):
                numbers = [number for number in range(high, low - 1, -1) if number in sent]
            else:
                numbers = [number for number in reversed(sent) if low <= number <= high]
            acked += [sent.pop(number) for number in numbers]
        acked.reverse()
        return acked

    def _is_answer(self, ack: AckFrame) -> bool:
        """Whether an ACK frame ends a silence: a packet sent in it has arrived, even one that is not ack-eliciting."""
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
        # Limited: a packet that was delayed by an outage, or by a sleeping machine, says nothing about feedback.
        self.feedback += (min(feedback, 2 * self.feedback) - self.feedback) / 16
        # On a path that reorders, one early packet would end the round for all others.
        minimum = max(_MIN_ROUND * self.feedback, self.min_round)
        if acked[-1].number >= self._round_end and now >= self._round_began + minimum:
            self._round_end, self._round_began = self.next_number, now
            self.round += 1
            result.is_round_start = True

    # --- loss ---

    def detect_lost_packets(self, *, now: float) -> list[SentPacket]:
        """Returns packets lost by packet or time threshold (RFC 9002 section 6.1); sets `loss_time`."""
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
        """Declares lost the packets that are larger than the path carries."""
        lost = [packet for packet in self._sent.values() if packet.size > size]
        for packet in lost:
            del self._sent[packet.number]
            self.bytes_in_flight -= packet.size
        return lost

    # --- probe timeout ---

    def probe_at(self, max_ack_delay: float, *, has_streams: bool, now: float) -> float | None:
        """When to send a probe (RFC 9002 section 6.2), None where nothing is in flight."""
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
        """Whether a probe deadline has passed, with the tolerance of _SLACK."""
        return deadline is not None and deadline <= now + _SLACK
