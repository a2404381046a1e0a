"""The small parts of the transport, each on its own."""

from collections.abc import Iterable
from itertools import islice
from random import Random
from typing import Any

import pytest

from tandem_transport.congestion.capacity import CapacityFilter
from tandem_transport.congestion.controller import AckSummary
from tandem_transport.congestion.delivery_rate import DeliverySample
from tandem_transport.congestion.lc2 import Lc2, Phase
from tandem_transport.congestion.pacing import Pacer
from tandem_transport.congestion.queue_delay import QueueDelayEstimator
from tandem_transport.congestion.random_loss import RandomLoss
from tandem_transport.driver.turns import TURN_GAP
from tandem_transport.endpoint.bounded_table import BoundedTable
from tandem_transport.endpoint.rate_limits import RateLimiter
from tandem_transport.endpoint.tokens import TokenIssuer
from tandem_transport.errors import LocalProtocolError, PeerError
from tandem_transport.events import PathStatus
from tandem_transport.parameters import (
    ACK_EVERY,
    COOKIE_LIFETIME,
    MAX_ACK_DELAY,
    MAX_SEGMENT_OVERHEAD,
    MAX_TRACKED_RANGES,
    PACER_QUANTUM,
    SESSION_BUFFER,
)
from tandem_transport.path.addresses import PathAddresses
from tandem_transport.path.counters import PathCounters
from tandem_transport.path.path import Path
from tandem_transport.path.status import PathSigns, judge
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.session.twins import TwinFilter
from tandem_transport.streams.flow_control import Budget, ReceiveWindow
from tandem_transport.streams.receive import ReceiveStream
from tandem_transport.streams.send import SendStream
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import AckFrame, StreamFrame
from tandem_transport.wire.transport_parameters import TransportParameters

# --- rtt, queue delay ---


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


def feed(queue: QueueDelayEstimator, delays: Iterable[float], *, begin: float = 0.0, gap: float = 0.01) -> list[float]:
    """Queue delays after each of these one-way delays, of packets `gap` seconds apart."""
    readings: list[float] = []
    for i, delay in enumerate(delays):
        queue.on_ack(i + 1 + int(begin / gap), delay, 0.060, now=begin + i * gap)
        readings.append(queue.queue_delay)
    return readings


def test_queue_delay_is_what_packets_take_more_than_on_the_empty_path() -> None:
    queue = QueueDelayEstimator()
    offset = 1e6  # the receiver's clock began at another time
    assert feed(queue, [offset + 0.030] * 100)[-1] == pytest.approx(0.0)
    assert feed(queue, [offset + 0.070] * 100, begin=1.0)[-1] == pytest.approx(0.040)
    queue.rebase(0.040, now=2.0)
    assert queue.queue_delay == pytest.approx(0.0)
    assert feed(queue, [offset + 0.070] * 100, begin=2.0)[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("deviation", [0.005, 0.020, 0.050])
def test_jitter_is_no_queue_and_a_queue_shows_in_jitter(deviation: float) -> None:
    random = Random(1)
    queue = QueueDelayEstimator()
    delays = [max(0.0, random.gauss(0.100, deviation)) for _ in range(1000)]
    assert max(feed(queue, delays)[100:]) < 2 * deviation
    assert queue.noise < deviation
    assert queue.packet_noise == pytest.approx(deviation, rel=0.5)
    assert min(feed(queue, [delay + 4 * deviation for delay in delays[:100]], begin=10.0)[20:]) > 2 * deviation


def test_one_lucky_packet_makes_no_queue_of_all_others() -> None:
    queue = QueueDelayEstimator()
    assert feed(queue, [0.100] * 50 + [0.001] + [0.100] * 50)[-1] == pytest.approx(0.0)


# --- recovery ---


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


# --- acknowledgements ---


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
    twins = TwinFilter()
    assert [twins.is_new(n) for n in (0, 1, 1, 0, 5, 3, 3)] == [True, True, False, False, True, True, False]
    assert [twins.next_sequence() for _ in range(3)] == [0, 1, 2]


# --- streams ---


def test_segments_in_any_order_with_overlaps() -> None:
    stream = ReceiveStream(0, 1 << 16)
    data = bytes(range(200))
    for start, end in [(150, 200), (50, 120), (40, 60), (100, 160), (0, 10), (0, 45)]:
        stream.receive(start, data[start:end], fin=end == 200)
    assert stream.take() == (data, True)
    assert stream.take() == (b"", False), "the end is told once"


def test_a_stream_does_not_exceed_its_window_or_its_end() -> None:
    stream = ReceiveStream(0, 1000)
    with pytest.raises(PeerError, match="FLOW_CONTROL"):
        stream.receive(900, bytes(101), fin=False)
    stream.receive(100, bytes(10), fin=True)
    with pytest.raises(PeerError, match="FINAL_SIZE"):
        stream.receive(105, bytes(10), fin=False)
    late_end = ReceiveStream(0, 1000)
    late_end.receive(0, bytes(50), fin=False)
    with pytest.raises(PeerError, match="FINAL_SIZE"):
        late_end.receive(0, bytes(20), fin=True)


def test_segments_that_overlap_without_end_are_a_violation() -> None:
    parameters = TransportParameters()
    streams = Streams(
        is_client=False, local=parameters, remote=parameters, send_control=lambda _: None, emit=lambda _: None
    )
    frames = (StreamFrame(2 * i, offset, bytes(1000), False) for i in range(1000) for offset in range(1, 50))
    fitting = MAX_SEGMENT_OVERHEAD * SESSION_BUFFER // 1160
    for frame in islice(frames, fitting):
        streams.on_stream_frame(frame, rtt=0.1, now=1.0)
    with pytest.raises(PeerError, match="overlaps"):
        streams.on_stream_frame(next(frames), rtt=0.1, now=1.0)


def test_no_session_takes_all_of_the_memory_that_a_server_has() -> None:
    budget = Budget(32 << 20)
    parameters = TransportParameters()
    everybody = [
        Streams(
            is_client=False,
            local=parameters,
            remote=parameters,
            send_control=lambda _: None,
            emit=lambda _: None,
            send_budget=budget,
        )
        for _ in range(12)
    ]
    for streams in everybody:
        for _ in range(100):
            stream_id = streams.open()
            while capacity := streams.send_capacity(stream_id):
                streams.write(stream_id, bytes(capacity), end_stream=False)
        assert streams.held > 0
    assert sum(streams.held for streams in everybody) == budget.used <= budget.limit
    for streams in everybody:
        streams.release()
    assert budget.used == 0


def test_a_window_grows_for_slow_readers_while_the_budget_allows() -> None:
    budget = Budget(1 << 20)
    greedy, modest = ReceiveWindow(128 << 10, 8 << 20, budget), ReceiveWindow(128 << 10, 8 << 20, budget)
    for window in (greedy, modest):
        while True:
            window.received = window.limit
            if window.on_filled() is None:
                break
    assert greedy.window == 512 << 10
    assert modest.window == 256 << 10
    greedy.release()
    assert modest.on_filled() == 512 << 10


def test_empty_segments_are_not_kept() -> None:
    stream = ReceiveStream(0, 1 << 20)
    assert not any(stream.receive(offset, b"", fin=False)[1] for offset in range(1, 1000))
    assert not stream.has_gap


def test_chunks_fit_the_room_and_the_credit() -> None:
    stream = SendStream(4, limit=1500)
    stream.write(bytes(2000), end_stream=True)
    first = stream.cut(1000, 1 << 20, is_interactive=False)
    assert first is not None
    assert len(first.frame) == 1000 or len(first.frame) == 999
    second = stream.cut(5000, 1 << 20, is_interactive=False)
    assert second is not None
    assert first.data_size + second.data_size == 1500
    assert stream.cut(5000, 1 << 20, is_interactive=False) is None
    stream.raise_limit(3000, 1500)
    assert stream.cut(20, 1 << 20, is_interactive=False) is None
    last = stream.cut(5000, 1 << 20, is_interactive=False)
    assert last is not None
    assert last.is_fin
    for chunk in (first, second, last):
        stream.on_chunk_acked(chunk)
    assert stream.is_done
    with pytest.raises(LocalProtocolError):
        stream.write(b"more", end_stream=False)


def test_windows_grow_where_they_are_the_limit() -> None:
    window = ReceiveWindow(1000, 8000)
    assert window.on_consumed(400, 8 << 20, rtt=0.1, now=1.0) is None
    assert window.on_consumed(200, 8 << 20, rtt=0.1, now=1.0) == 600 + 4000
    assert window.on_consumed(2500, 8 << 20, rtt=0.1, now=9.0) == 3100 + 4000, "slow consumption does not grow it"


# --- congestion control, pacing ---


def summary(now: float, round_number: int, *, delivered: float, spanned: float, queue: float = 0.0) -> AckSummary:
    sample = DeliverySample(delivered, spanned, 50, False)
    return AckSummary(now, round_number, True, queue, 100, 0.06, 0.06, sample, 0)


def test_lc2_takes_random_loss_for_what_it_is() -> None:
    lc2 = Lc2()
    for i in range(30):
        lc2.on_ack(summary(i * 0.06, i, delivered=5e6, spanned=6.25e6))
    assert lc2.phase is not Phase.START
    lc2.phase = Phase.DOWN  # low phases teach the loss rate
    lc2.on_packets_lost(20)
    lc2.on_ack(summary(2.0, 40, delivered=5e6, spanned=6.25e6)._replace(acked_below_capacity=80))
    assert lc2.random_loss == pytest.approx(0.2)
    lc2.on_ack(summary(2.06, 41, delivered=5e6, spanned=6.25e6))
    assert lc2.capacity == pytest.approx(6.25e6)


def test_lc2_leaves_start_up_when_a_queue_grows() -> None:
    lc2 = Lc2()
    lc2.on_ack(summary(0.0, 1, delivered=1e6, spanned=1e6))
    before = lc2.phase
    growing = summary(0.06, 1, delivered=2e6, spanned=2e6, queue=0.030)._replace(is_round_start=False)
    lc2.on_ack(growing)
    assert (before, lc2.phase) == (Phase.START, Phase.DRAIN)
    assert lc2.pacing_rate < 2e6


def test_app_limited_and_short_samples_only_raise_the_capacity() -> None:
    lc2 = Lc2()
    for i in range(30):
        lc2.on_ack(summary(i * 0.05, i, delivered=400e3, spanned=400e3))
    few = DeliverySample(9510.0, 9510.0, 0.3, False)
    alone = DeliverySample(13162.0, 13162.0, 50.0, True)
    for i in range(30, 400):
        sample = (few, None, alone, few._replace(is_app_limited=True))[i % 4]
        lc2.on_ack(summary(i * 0.05, i, delivered=0, spanned=0)._replace(sample=sample))
    assert lc2.capacity == 400e3
    lc2.on_ack(summary(20.0, 400, delivered=0, spanned=0)._replace(sample=alone._replace(delivered=5e5, spanned=5e5)))
    assert lc2.capacity == 5e5, "what has arrived, the path can carry"


def test_short_samples_of_a_slow_path_add_up() -> None:
    capacity = CapacityFilter()
    one = DeliverySample(10e3, 10e3, 1.0, False, 0.140)
    wholes = [capacity.whole(one) for _ in range(8)]
    assert [whole is not None for whole in wholes] == [False, False, False, True] * 2
    assert wholes[3] is not None
    assert (wholes[3].delivered, wholes[3].interval) == pytest.approx((10e3, 0.56))


def test_what_is_lost_at_full_rate_only_is_no_random_loss() -> None:
    loss = RandomLoss()
    for _ in range(10):
        loss.count_low(40, 0)
        loss.count_full(30, 10)
        loss.end_round()
        loss.compare()
    assert (loss.is_policed, loss.value) == (True, 0.0)


def test_a_loss_that_comes_and_goes_is_no_policer() -> None:
    """A fade now and then loses as many as a policer would, but most rounds lose nothing."""
    loss = RandomLoss()
    for i in range(100):
        loss.count_low(40, 0)
        loss.count_full(40 - 30 * (i % 4 == 0), 30 * (i % 4 == 0))
        loss.end_round()
        loss.compare()
        assert not loss.is_policed or i < 4


def test_random_loss_is_no_policer() -> None:
    loss, random = RandomLoss(), Random(1)
    for _ in range(100):
        for count in (loss.count_low, loss.count_full):
            lost = sum(random.random() < 0.2 for _ in range(30))
            count(30 - lost, lost)
        loss.end_round()
        loss.compare()
        assert not loss.is_policed
    assert loss.value == pytest.approx(0.2, abs=0.05)


def test_a_pacer_saves_up_one_quantum_at_most() -> None:
    pacer = Pacer()
    sent = 0
    while pacer.may_send(now=100.0):
        pacer.on_packet_sent(1000, 1e6, now=100.0)
        sent += 1
    assert sent in (4, 5), "4 ms at 1 MB/s, and a packet that uses up the rest"
    assert pacer.next_send_at > 100.0


@pytest.mark.parametrize("rate", [62e3, 125e3, 812e3, 6.25e6])
def test_behind_a_policer_a_turn_that_comes_after_another_is_not_late(rate: float) -> None:
    """Endpoints share turns for two milliseconds: a path that took each for its sender's limit never searched again."""
    addresses = PathAddresses(is_fixed=True, randomness=bytes, host_of=lambda address: address)
    policed: Any = Lc2()
    policed._loss.is_policed, policed.pacing_rate = True, rate
    path = Path(0, addresses, lambda: policed, epoch=0.0)
    path.set_quantum(PACER_QUANTUM)
    path.pacer.on_packet_sent(1434, rate, now=100.0)
    assert not path.pacer.is_late(now=path.pacer.next_send_at + TURN_GAP + 0.0005)
    sent = 0
    while path.pacer.may_send(now=200.0):
        path.pacer.on_packet_sent(1434, rate, now=200.0)
        sent += 1434
    assert sent <= max(3 * 1434, 0.003 * rate + 1434), "and little is sent at once, for the bucket may be small"


# --- status, counters, limits ---

GOOD = PathSigns(True, 0.0, 0, False, 0.01, 0.030, 0.030, "")


@pytest.mark.parametrize(
    ("signs", "status", "reason"),
    [
        (GOOD, PathStatus.USABLE, ""),
        (GOOD._replace(loss=0.11), PathStatus.DEGRADED, "loss over 10%"),
        (GOOD._replace(is_suspect=True), PathStatus.DEGRADED, "an answer is late"),
        (GOOD._replace(smoothed_rtt=0.2), PathStatus.DEGRADED, "round trip over 3 x its minimum"),
        (GOOD._replace(silence=2.0, unanswered=4), PathStatus.DOWN, "no answer"),
        (GOOD._replace(silence=9.0, unanswered=3), PathStatus.USABLE, ""),
        (GOOD._replace(has_answered=False), PathStatus.PROBING, "no answer yet"),
        (GOOD._replace(has_answered=False, silence=3, unanswered=9), PathStatus.DOWN, "never answered"),
        (GOOD._replace(link_error="wlan0 is gone"), PathStatus.DOWN, "wlan0 is gone"),
    ],
)
def test_status_and_cause(signs: PathSigns, status: PathStatus, reason: str) -> None:
    assert judge(signs) == (status, reason)


def test_counters_forget() -> None:
    counters = PathCounters()
    counters.on_acked(80, now=1.0)
    counters.on_lost(20, now=2.0)
    assert counters.loss_sent(now=3.0) == pytest.approx(0.2)
    assert counters.loss_sent(now=30.0) is None
    counters.on_sent(1000, now=30.0)
    assert counters.rates(now=30.5)[0] == 1000
    assert counters.rates(now=32.0)[0] == 0


def test_a_rate_limiter_allows_its_rate() -> None:
    limiter = RateLimiter(10, now=0.0)
    assert sum(limiter.allows(now=0.0) for _ in range(50)) == 10
    assert sum(limiter.allows(now=0.5) for _ in range(50)) == 5


def test_tokens_live_for_two_periods_at_most() -> None:
    made = iter([b"a" * 32, b"b" * 32, b"c" * 32, b"d" * 32, b"e" * 32])
    issuer = TokenIssuer(lambda _: next(made), now=0.0)
    token = issuer.issue(b"me", now=1.0)
    assert token in issuer.valid(b"me", now=COOKIE_LIFETIME + 1)
    assert token not in issuer.valid(b"you", now=COOKIE_LIFETIME + 1)
    assert token not in issuer.valid(b"me", now=2 * COOKIE_LIFETIME + 2)


def test_a_bounded_table_forgets_its_oldest() -> None:
    table: BoundedTable[int, str] = BoundedTable(2)
    for i in range(3):
        table.put(i, str(i))
    assert (table.get(0), table.get(2), len(table)) == (None, "2", 2)
