"""What an end knows of packets on their way: round trips, losses, acknowledgements."""

import pytest

from tandem_transport.errors import PeerError
from tandem_transport.events import DatagramReceived, Event
from tandem_transport.parameters import (
    ACK_EVERY,
    MAX_ACK_DELAY,
    MAX_TRACKED_RANGES,
)
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.session.twins import TwinFilter
from tandem_transport.wire.frames import AckFrame, DatagramFrame


def test_rtt_follows_rfc_9002() -> None:
    rtt = RttEstimator()
    assert rtt.probe_timeout(0.005) == 0.3
    rtt.on_ack(0, 0.100, now=0.110)
    assert (rtt.smoothed, rtt.variation) == pytest.approx((0.100, 0.050))
    rtt.on_ack(1, 0.200, now=1.200)
    assert rtt.smoothed == pytest.approx(0.1125)
    assert rtt.variation == pytest.approx(0.0625)
    assert rtt.minimum == pytest.approx(0.100)
    # RFC 9002 6.2.1: PTO = smoothed_rtt + max(4*rttvar, granularity) + max_ack_delay
    assert rtt.probe_timeout(0.005) == pytest.approx(0.1125 + 0.25 + 0.005)
    assert not rtt.on_ack(1, 9.0, now=9.0), "the same number again is no sample"


def test_the_least_rtt_is_forgotten_after_ten_seconds() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.010, now=0.010)
    for second in range(1, 13):
        rtt.on_ack(second, 0.050, now=second + 0.050)
    assert rtt.minimum == pytest.approx(0.050)


def send(recovery: Recovery, count: int, *, now: float, gap: float = 0.001) -> None:
    for i in range(count):
        at = now + i * gap
        recovery.on_packet_sent(SentPacket(recovery.take_number(now=at), 1000, at, []))


def ack(*ranges: tuple[int, int]) -> AckFrame:
    return AckFrame(0, 0, 0, 0, tuple(sorted(ranges, reverse=True)))


def test_loss_by_count() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 10, now=0.0)
    result = recovery.on_ack_received(ack((5, 5)), now=0.005)
    assert [packet.number for packet in result.acked] == [5]
    # RFC 9002 6.1.1: three packets later
    assert [packet.number for packet in result.lost] == [0, 1, 2]
    assert recovery.bytes_in_flight == 6000


def test_loss_by_time() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.1, now=0.1)
    recovery = Recovery(rtt)
    send(recovery, 3, now=1.0, gap=0.0)
    assert recovery.on_ack_received(ack((1, 2)), now=1.1).lost == []
    # RFC 9002 6.1.2: 9/8 of the round trip
    assert recovery.loss_time == pytest.approx(1.0 + 0.1125 + 0.002)
    assert recovery.loss_time is not None
    assert [packet.number for packet in recovery.detect_lost_packets(now=recovery.loss_time)] == [0]


def test_acks_of_what_was_never_sent_are_a_violation() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 3, now=0.0)
    with pytest.raises(PeerError):
        recovery.on_ack_received(ack((0, 3)), now=0.1)


def test_huge_ranges_cost_nothing() -> None:
    recovery = Recovery(RttEstimator())
    recovery.next_number = 1 << 47
    send(recovery, 2, now=0.0)
    result = recovery.on_ack_received(ack((0, (1 << 47) + 1)), now=0.1)
    assert len(result.acked) == 2


def test_probes_back_off_to_a_quarter_of_a_second_then_become_rare() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.02, now=0.02)
    recovery = Recovery(rtt)
    send(recovery, 1, now=0.0)
    waits: list[float] = []
    now = 0.0
    while now < 120:
        at = recovery.probe_at(0.005, has_streams=True, now=now)
        assert at is not None
        waits.append(at - recovery.last_sent_at)
        now = at
        recovery.pto_count += 1
        send(recovery, 1, now=now)
    assert waits[0] < 0.1
    assert max(waits[:30]) == pytest.approx(0.25)
    assert waits[-1] == 2.0
    assert recovery.probe_at(0.005, has_streams=False, now=now) == recovery.last_sent_at + 15


def test_acks_are_due_at_once_after_ten_packets_or_a_gap_and_soon_otherwise() -> None:
    received = ReceivedPackets(0.0)
    for number in range(ACK_EVERY - 1):
        received.on_ack_eliciting(has_gap=received.record(number, 100, now=1.0), now=1.0)
        assert received.ack_at == 1.0 + MAX_ACK_DELAY
    received.on_ack_eliciting(has_gap=received.record(ACK_EVERY - 1, 100, now=1.001), now=1.001)
    assert received.ack_at == 1.001
    received.on_ack_sent()
    received.on_ack_eliciting(has_gap=received.record(ACK_EVERY + 1, 100, now=1.25), now=1.25)
    assert received.ack_at == 1.25
    frame = received.ack_frame(3, now=1.5)
    assert frame == AckFrame(3, 1_250_000, 1100, 250_000, ((11, 11), (0, 9)))


def test_replays_are_recognised_however_old() -> None:
    received = ReceivedPackets(0.0)
    for number in range(0, 4 * MAX_TRACKED_RANGES, 2):
        assert not received.is_replay(number)
        received.record(number, 1, now=0.0)
    assert all(received.is_replay(number) for number in range(0, 4 * MAX_TRACKED_RANGES, 2))
    assert received.is_replay(1), "forgotten numbers count as replayed"
    assert not received.is_replay(4 * MAX_TRACKED_RANGES - 3), "a late one is still welcome"


def test_of_twins_the_first_counts() -> None:
    events: list[Event] = []
    twins = TwinFilter(events.append)
    for number in (0, 1, 1, 0, 5, 3, 3):
        twins.receive(DatagramFrame(0, number, bytes([number])))
    assert events == [DatagramReceived(0, bytes([number])) for number in (0, 1, 5, 3)]
    assert [twins.next_sequence() for _ in range(3)] == [0, 1, 2]
