"""How fast a path may send: queue delay, Lc2, pacing, each on its own."""

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from simnet.paths import lone_path
from tandem_transport.congestion.capacity import CapacityFilter
from tandem_transport.congestion.controller import AckSummary
from tandem_transport.congestion.delivery_rate import DeliverySample
from tandem_transport.congestion.lc2 import Lc2, Phase
from tandem_transport.congestion.pacing import Pacer
from tandem_transport.congestion.queue_delay import QueueDelayEstimator
from tandem_transport.congestion.random_loss import RandomLoss
from tandem_transport.parameters import (
    GRANULARITY,
    PACER_QUANTUM,
    PACKET_TIME,
)


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


def summary(now: float, round_number: int, *, delivered: float, spanned: float, queue: float = 0.0) -> AckSummary:
    sample = DeliverySample(delivered, spanned, 50, False)
    return AckSummary(now, round_number, True, queue, 100, 0.06, 0.06, sample, 0)


def test_lc2_takes_random_loss_for_what_it_is() -> None:
    lc2: Any = Lc2()
    for i in range(30):
        lc2.on_ack(summary(i * 0.06, i, delivered=5e6, spanned=6.25e6))
    assert lc2.phase is not Phase.START
    lc2.phase = Phase.DOWN  # low phases teach the loss rate
    lc2.on_packets_lost(20)
    lc2.on_ack(summary(2.0, 40, delivered=5e6, spanned=6.25e6)._replace(acked_below_capacity=80))
    assert lc2._loss.value == pytest.approx(0.2)
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


@pytest.mark.parametrize("chance", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("low", [30, 50, 80, 150])
def test_a_few_packets_that_were_lucky_are_no_sign_of_a_policer(chance: float, low: int) -> None:
    """What was sent at a low rate are often a few packets, some of which by luck lose little."""
    random, found = Random(low), 0
    for _ in range(1000):
        loss = RandomLoss()
        lost = sum(random.random() < chance for _ in range(low))
        loss.count_low(low - lost, lost)
        for _ in range(9):
            lost = sum(random.random() < chance for _ in range(40))
            loss.count_full(40 - lost, lost)
            loss.end_round()
        loss.compare()
        found += loss.is_policed
    assert found <= 5


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
    while pacer.next_send_at <= 100.0:
        pacer.on_packet_sent(1000, 1e6, now=100.0)
        sent += 1
    assert sent in (4, 5), "4 ms at 1 MB/s, and a packet that uses up the rest"
    assert pacer.next_send_at > 100.0


def test_a_pacer_without_a_bottleneck_lets_a_turn_send_as_much_as_it_has_time_for() -> None:
    pacer = Pacer()
    sent = 0
    while pacer.next_send_at <= 100.0:
        pacer.on_packet_sent(500, 1e12, now=100.0)
        sent += 1
    assert sent * PACKET_TIME == pytest.approx(pacer.quantum, rel=0.01)


@pytest.mark.parametrize("rate", [62e3, 125e3, 812e3, 6.25e6])
def test_behind_a_policer_a_turn_that_comes_after_another_is_not_late(rate: float) -> None:
    """A path that took each of the pacer's turns for its sender's limit never searched again."""
    policed: Any = Lc2()
    policed._loss.is_policed, policed.pacing_rate = True, rate
    path = lone_path(0, lambda: policed)
    path.pacer.set_quantum(PACER_QUANTUM, path.network.congestion, path.network.queue.queue_delay)
    while path.pacer.next_send_at <= 100.0:
        path.pacer.on_packet_sent(1434, rate, now=100.0)
    assert not path.pacer.is_late(now=path.pacer.wake_at(now=100.0) + GRANULARITY)
    sent = 0
    while path.pacer.next_send_at <= 200.0:
        path.pacer.on_packet_sent(1434, rate, now=200.0)
        sent += 1434
    assert sent <= max(3 * 1434, 0.003 * rate + 1434), "and little is sent at once, for the bucket may be small"
