"""One path: what acknowledgements and losses tell of it."""

import pytest

from one_path import RTT, client_path, on_ack, send
from tandem_transport.congestion.controller import AckSummary
from tandem_transport.parameters import BASE_DATAGRAM_SIZE
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.wire.frames import AckFrame

# --- acknowledgements ---


def test_an_ack_of_its_own_path_is_a_sample_of_the_round_trip() -> None:
    path, congestion = client_path()
    send(path, 3, now=1.0)
    result = path.on_ack(AckFrame(3, round(1.05 * 1e6), 2000, 20_000, ((0, 1),)), is_own_path=True, now=1.15)
    assert [packet.number for packet in result.acked] == [0, 1]
    assert path.network.rtt.smoothed == pytest.approx(0.13), "less the delay of the ACK"
    assert path.network.queue.typical == pytest.approx(0.05)
    assert path.counters.loss_sent(now=1.15) == 0.0
    assert congestion.acks[0].acked == 2
    assert congestion.acks[0].min_rtt == pytest.approx(0.13)
    assert congestion.acks[0].now == 1.15
    path.on_ack(AckFrame(3, round(1.06 * 1e6), 3000, 0, ((0, 2),)), is_own_path=False, now=1.30)
    assert path.network.rtt.latest == pytest.approx(0.13), "it came over another path"
    assert path.network.queue.typical == pytest.approx(0.05 + 0.01 / 8)
    assert path.network.queue.samples == 2


def test_an_old_ack_is_no_sample_and_controls_nothing() -> None:
    path, congestion = client_path()
    send(path, 3, now=1.0)
    on_ack(path, (0, 2), now=1.1)
    assert on_ack(path, (0, 1), now=1.2).acked == []
    assert on_ack(path, (0, 2), now=1.2).acked == []
    assert (path.network.queue.samples, len(congestion.acks)) == (1, 1)
    assert path.network.rtt.latest == pytest.approx(RTT)


def test_an_answer_makes_a_silent_path_active_and_lets_it_send_at_once() -> None:
    path, _ = client_path()
    send(path, 2, now=1.0)
    path.probing.reachability = Reachability.SILENT
    path.pacer.next_send_at = 100.0
    on_ack(path, (0, 0), now=1.1)
    assert (path.probing.reachability, path.pacer.next_send_at) == (Reachability.ACTIVE, 1.1)
    path.probing.reachability = Reachability.SUSPECT
    on_ack(path, (0, 0), now=1.2)
    assert path.probing.reachability is Reachability.SUSPECT, "no news"


def test_arrivals_count_for_a_path_that_is_not_heard() -> None:
    path, _ = client_path()
    send(path, 3, now=1.0)
    on_ack(path, (0, 1), now=1.1, own=False)
    assert path.hearing.arrived == 2
    path.on_packet_received(0, 100, None, now=1.2)
    on_ack(path, (2, 2), now=1.3, own=False)
    assert path.hearing.arrived == 0


def test_the_queue_of_a_longer_route_is_none() -> None:
    path, congestion = client_path()
    for number in range(10):
        send(path, now=1.0 + number)
        on_ack(path, (number, number), now=1.1 + number)
    assert path.network.queue.base == pytest.approx(0.05)
    congestion.longer = 0.5
    send(path, now=20.0)
    on_ack(path, (10, 10), now=20.1)
    assert path.network.queue.base == pytest.approx(0.55)
    congestion.longer = 0.0
    for number in range(11, 31):
        send(path, now=10.0 + number)
        on_ack(path, (number, number), now=10.1 + number)
    assert path.network.queue.base == pytest.approx(0.05), "a shorter one is found by itself"


def overtaken(path: Path) -> None:
    """ACKs that tell of late packets, until the path counts as one that reorders."""
    begin = path.recovery.next_number
    send(path, 4, now=10.0)
    on_ack(path, (begin + 1, begin + 1), now=10.1, at=10.05)
    on_ack(path, (begin, begin + 1), now=10.1, at=10.05)
    on_ack(path, (begin + 3, begin + 3), (begin, begin + 1), now=10.1, at=10.05)
    on_ack(path, (begin, begin + 3), now=10.1, at=10.05)


def test_a_path_that_reorders_is_measured_by_packets_like_the_others() -> None:
    path, congestion = client_path()
    overtaken(path)
    assert congestion.acks[-1].is_reordering
    send(path, 3, now=20.0, gap=0.01)
    samples = path.network.queue.samples
    # number 6 is the largest; 6 % 3 is the first of the three
    path.on_ack(AckFrame(3, round(20.07 * 1e6), 9000, 30_000, ((0, 6),)), is_own_path=False, now=20.2)
    assert path.network.queue.samples == samples + 1
    assert path.network.queue._latest == pytest.approx(0.10)  # pyright: ignore[reportPrivateUsage]


def test_the_round_trip_of_a_packet_that_overtook_others_is_that_of_the_others() -> None:
    path, _ = client_path()
    overtaken(path)
    path.network.queue.typical = 0.08
    send(path, now=20.0)
    path.on_ack(AckFrame(3, round(20.02 * 1e6), 9000, 0, ((0, 4),)), is_own_path=True, now=20.1)
    # `typical` has moved by an eighth towards 0.02
    assert path.network.rtt.latest == pytest.approx(0.1 + 0.08 - 0.06 / 8 - 0.02)
    send(path, now=21.0)
    path.on_ack(AckFrame(3, round(21.5 * 1e6), 9000, 0, ((0, 5),)), is_own_path=True, now=21.6)
    assert path.network.rtt.latest == pytest.approx(0.6), "a late one is what it is"


# --- losses ---


def test_losses_are_told_in_runs() -> None:
    path, congestion = client_path()
    congestion.is_sending_below_capacity = True
    send(path, 3, now=1.0)
    congestion.is_sending_below_capacity = False
    send(path, 7, now=1.0)
    result = on_ack(path, (9, 9), (2, 2), now=1.1)
    assert [packet.number for packet in result.lost] == [0, 1, 3, 4, 5, 6]
    assert congestion.losses == [(2, 6, 1)]
    assert path.counters.loss_sent(now=1.1) == pytest.approx(6 / 8)
    assert path.network.loss_rate.value > 0


def test_what_is_lost_by_time_is_told_too() -> None:
    path, congestion = client_path()
    send(path, 2, now=1.0)
    on_ack(path, (1, 1), now=1.1)
    assert path.on_loss_timeout(now=1.11) == []
    assert congestion.losses == []
    assert [packet.number for packet in path.on_loss_timeout(now=1.2)] == [0]
    assert congestion.losses == [(0, 1, 0)]
    assert path.counters.loss_sent(now=1.2) == pytest.approx(0.5)


@pytest.mark.parametrize(("gap", "count", "is_outage"), [(0.4, 4, True), (0.2, 4, False), (0.6, 3, False)])
def test_a_long_run_of_losses_is_an_outage(gap: float, count: int, *, is_outage: bool) -> None:
    path, congestion = client_path()
    send(path, now=0.0)
    on_ack(path, (0, 0), now=RTT)
    assert path.network.rtt.probe_timeout(0.0) == pytest.approx(0.3)
    send(path, count, now=1.0, gap=gap)
    send(path, 3, now=3.95)
    on_ack(path, (count + 3, count + 3), (0, 0), now=4.0, own=False)
    path.on_loss_timeout(now=9.0)
    told = sum(lost for _, lost, _ in congestion.losses)
    assert (told < count) == is_outage


def test_what_is_lost_while_a_path_is_silent_is_an_outage() -> None:
    path, congestion = client_path()
    send(path, 9, now=1.0)
    path.probing.reachability = Reachability.SILENT
    assert len(on_ack(path, (8, 8), now=5.0).lost) > 0
    assert congestion.losses == []
    assert path.counters.loss_sent(now=5.0) == 0.0


def test_probes_that_are_lost_are_no_loss() -> None:
    path, congestion = client_path()
    path.recovery.last_acked_at = 0.0
    sent = send(path, 9, now=1.0)
    sent[0].is_mtu_probe = True
    sent[1].size = BASE_DATAGRAM_SIZE + 1
    on_ack(path, (8, 8), now=1.1)
    assert congestion.losses == [(0, 4, 1)]


def test_a_controller_is_told_all_that_is_known() -> None:
    path, congestion = client_path()
    congestion.is_sending_below_capacity = True
    send(path, 2, now=1.0)
    congestion.is_sending_below_capacity = False
    send(path, now=1.0)
    queue, recovery = path.network.queue, path.recovery
    queue.queue_delay, queue.noise, queue.packet_noise, queue.min_queue_delay = 0.5, 0.1, 0.2, 0.3
    recovery.reordering.spurious = 4
    on_ack(path, (0, 2), now=1.1)
    (told,) = congestion.acks
    assert told._replace(sample=None) == AckSummary(
        now=1.1,
        round=1,
        is_round_start=True,
        queue_delay=0.5,
        delay_samples=1,
        min_rtt=path.network.rtt.minimum,
        smoothed_rtt=path.network.rtt.smoothed,
        sample=None,
        acked_below_capacity=2,
        acked=3,
        noise=0.1,
        is_reordering=False,
        spurious=4,
        packet_noise=0.2,
        min_queue_delay=0.3,
    )


def steady(path: Path, count: int, *, noise: float = 0.0) -> None:
    """A packet each hundredth of a second, acknowledged a tenth of a second later."""
    for number in range(count):
        now = 1.0 + number / 100
        path.network.queue.packet_noise = noise
        if number >= 10:
            on_ack(path, (0, number - 10), now=now)
        send(path, now=now)


def test_a_sample_of_the_rate_spans_half_a_feedback_time_at_least() -> None:
    path, congestion = client_path()
    steady(path, 40)
    first, *_, last = [ack.sample for ack in congestion.acks]
    assert first is None
    assert last is not None
    assert last.interval == pytest.approx(0.1, abs=0.02)
    assert last.delivered == pytest.approx(100_000, rel=0.15)
    assert last.spanned == pytest.approx(100_000, rel=0.15)


@pytest.mark.parametrize(("feedback", "is_sample"), [(0.18, True), (0.30, False)])
def test_a_sample_that_spans_less_is_none(feedback: float, *, is_sample: bool) -> None:
    path, congestion = client_path()
    steady(path, 40)
    path.recovery.feedback = feedback
    on_ack(path, (0, 30), now=1.40)
    assert (congestion.acks[-1].sample is not None) == is_sample


def test_where_packets_come_by_chance_a_sample_spans_more() -> None:
    path, congestion = client_path()
    steady(path, 60, noise=0.05)
    assert path.recovery.min_round == pytest.approx(4 * path.network.queue.packet_noise)
    assert path.recovery.min_round > 0.15
    intervals = [ack.sample.interval for ack in congestion.acks if ack.sample is not None]
    assert min(intervals) >= 0.09
    assert max(intervals) > 0.15, "the reference stays for a round"
