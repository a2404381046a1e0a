"""What an end knows of packets on their way: round trips, losses, acknowledgements."""

import pytest

from sent import ack, numbers, send
from tandem_transport.errors import PeerError
from tandem_transport.events import DatagramReceived, Event
from tandem_transport.parameters import (
    ACK_EVERY,
    BASE_DATAGRAM_SIZE,
    MAX_ACK_DELAY,
    MAX_OUTSTANDING,
    MAX_TRACKED_RANGES,
    SENT_TIMES,
)
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.chunk import Chunk, Origin
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
    assert [twins.next_sequence(5) for _ in range(3)] == [0, 1, 2]


# --- what is outstanding ---


def test_outstanding_packets_are_counted_until_they_are_acknowledged_or_lost() -> None:
    recovery = Recovery(RttEstimator())
    assert recovery.is_idle
    send(recovery, 6, now=1.0)
    assert not recovery.is_idle
    assert numbers(recovery.outstanding()) == [0, 1, 2, 3, 4, 5]
    assert numbers(recovery.outstanding_after(3)) == [4, 5]
    assert recovery.outstanding_packet(2).number == 2
    assert recovery.bytes_in_flight == 6000
    assert recovery.last_sent_at == pytest.approx(1.005)
    assert numbers(recovery.on_ack_received(ack((4, 5), (1, 1)), now=1.1).acked) == [1, 4, 5]
    assert numbers(recovery.outstanding()) == [3]
    recovery.on_ack_received(ack((3, 3)), now=1.1)
    assert recovery.is_idle
    assert recovery.bytes_in_flight == 0


def test_as_many_packets_as_are_allowed_may_be_outstanding() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, MAX_OUTSTANDING - 1, now=0.0)
    assert not recovery.is_full
    send(recovery, 1, now=0.0)
    assert recovery.is_full


@pytest.mark.parametrize("range_", [(4, 5), (4, 6), (4, 7), (2, 6)])
def test_a_range_acknowledges_its_edges_and_nothing_else(range_: tuple[int, int]) -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 8, now=0.0)
    recovery.on_ack_received(ack((0, 2)), now=0.001)
    assert numbers(recovery.outstanding()) == [3, 4, 5, 6, 7]
    low, high = range_
    assert numbers(recovery.on_ack_received(ack(range_), now=0.002).acked) == list(range(max(low, 3), high + 1))


def test_a_range_longer_than_what_is_outstanding_has_edges_too() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 3, now=0.0)
    recovery.next_number = 10
    assert numbers(recovery.on_ack_received(ack((1, 9)), now=0.001).acked) == [1, 2]


def test_the_oldest_packet_alone_may_be_acknowledged_again_and_again() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 5, now=0.0)
    assert numbers(recovery.on_ack_received(ack((0, 0)), now=0.001).acked) == [0]
    assert numbers(recovery.on_ack_received(ack((0, 1)), now=0.001).acked) == [1]
    assert numbers(recovery.on_ack_received(ack((2, 2), (0, 1)), now=0.001).acked) == [2]


def test_sending_times_are_remembered_for_so_many_packets() -> None:
    recovery = Recovery(RttEstimator())
    assert recovery.sent_at(0) is None
    for number in range(SENT_TIMES + 2):
        assert recovery.take_number(now=float(number)) == number
    assert recovery.sent_at(1) is None
    assert recovery.sent_at(SENT_TIMES + 2) is None
    for number in (2, 3, SENT_TIMES - 1, SENT_TIMES, SENT_TIMES + 1):
        assert recovery.sent_at(number) == number


def test_what_is_larger_than_the_path_takes_is_given_up() -> None:
    recovery = Recovery(RttEstimator())
    for number, size in enumerate((1000, 1200, 1400, 1300)):
        recovery.on_packet_sent(SentPacket(recovery.take_number(now=0.0), size, 0.0, []))
        assert recovery.next_number == number + 1
    assert numbers(recovery.give_up_larger(1200)) == [2, 3]
    assert numbers(recovery.outstanding()) == [0, 1]
    assert recovery.bytes_in_flight == 2200


# --- losses ---


def test_loss_by_count_is_exact_and_comes_once() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 10, now=0.0)
    assert numbers(recovery.on_ack_received(ack((2, 2)), now=0.005).lost) == []
    assert numbers(recovery.on_ack_received(ack((3, 3)), now=0.005).lost) == [0]
    assert numbers(recovery.on_ack_received(ack((5, 5)), now=0.005).lost) == [1]


def test_a_path_that_has_shown_patience_waits_longer() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.1, now=0.1)
    recovery = Recovery(rtt)
    recovery.reordering.window = 0.05
    send(recovery, 2, now=1.0, gap=0.0)
    recovery.on_ack_received(ack((1, 1)), now=1.1)
    assert recovery.loss_time == pytest.approx(1.0 + 0.1125 + 0.002 + 0.05, abs=1e-3)


def test_a_packet_is_lost_at_its_time_and_not_before() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.1, now=0.1)
    recovery = Recovery(rtt)
    send(recovery, 3, now=1.0, gap=0.001)
    recovery.on_ack_received(ack((2, 2)), now=1.1)
    assert recovery.detect_lost_packets(now=1.1144) == []
    assert numbers(recovery.detect_lost_packets(now=1.1145)) == [0]
    assert recovery.loss_time == pytest.approx(1.1155)
    assert numbers(recovery.detect_lost_packets(now=1.2)) == [1]
    assert recovery.loss_time is None


def test_an_arrival_after_all_teaches_how_far_the_path_reorders() -> None:
    recovery = Recovery(RttEstimator())
    recovery.rtt.on_ack(0, 0.1, now=100.0)
    send(recovery, 30, now=100.0)
    assert numbers(recovery.on_ack_received(ack((7, 7)), now=100.01).lost) == [0, 1, 2, 3, 4]
    for _ in range(7):
        recovery.on_ack_received(ack((1, 1), (7, 7)), now=100.02)
    assert recovery.reordering.spurious == 1
    # number 1 was six behind
    assert recovery.reordering.packet_threshold == 12
    assert recovery.reordering.window == pytest.approx(0.1 / 8)
    recovery.on_ack_received(ack((8, 17)), now=100.03)
    assert recovery.reordering.window == pytest.approx(0.1 / 8 * (1 - 10 * 0.003)), "given back by arrivals"


# --- chunks ---


def test_a_chunk_is_wanted_until_it_is_done_or_its_stream_is_reset() -> None:
    origin = Origin(4)
    chunk = Chunk(b"frame", origin, 3, is_fin=True, is_interactive=False)
    assert chunk.is_wanted
    assert chunk.stream is origin
    assert (chunk.is_fin, chunk.is_interactive, chunk.data_size) == (True, False, 3)
    assert (chunk.losses, chunk.in_flight, chunk.paths_in_flight, chunk.is_queued) == (0, 0, 0, False)
    assert (chunk.first_packet, chunk.first_sent_at, chunk.first_lost_at) == (None, 0.0, None)
    origin.is_reset = True
    assert not chunk.is_wanted
    control = Chunk(b"frame")
    assert control.is_wanted
    control.is_done = True
    assert not control.is_wanted


def test_a_chunk_is_missing_on_paths_that_could_carry_it_and_do_not() -> None:
    chunk = Chunk(b"frame")
    chunk.paths_in_flight = 0b01
    assert chunk.is_missing_on(0b10, 5)
    assert not chunk.is_missing_on(0b01, 5)
    assert not chunk.is_missing_on(0b10, 4)
    chunk.is_done = True
    assert not chunk.is_missing_on(0b10, 5)


def test_a_packet_is_an_ordinary_one_until_somebody_says_otherwise() -> None:
    packet = SentPacket(1, 1000, 2.0, [])
    assert not any((packet.is_below_capacity, packet.is_app_limited, packet.is_mtu_probe))
    assert (packet.sent_bytes, packet.reference, packet.full_size) == (0, (0, None, 0, 0.0), BASE_DATAGRAM_SIZE)
