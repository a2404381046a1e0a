"""Round-trip times of a path beyond the formulas of RFC 9002: least values, what is no sample, percentiles."""

import pytest

from tandem_transport.parameters import INITIAL_PTO, MAX_RTT
from tandem_transport.recovery.rtt import MinimumFilter, RttEstimator


def test_a_minimum_is_that_of_buckets_of_a_second() -> None:
    minimum = MinimumFilter(3.0)
    assert not minimum
    assert minimum.value == 0.0
    minimum.add(5.0, now=100.0)
    assert minimum
    minimum.add(4.0, now=100.75)
    minimum.add(6.0, now=100.875)
    assert minimum.value == 4.0, "of one bucket, the least"
    minimum.add(9.0, now=101.0)
    assert minimum.value == 4.0
    minimum.add(8.0, now=103.0)
    assert minimum.value == 4.0, "a bucket of three seconds ago still counts"
    minimum.add(7.0, now=104.0)
    assert minimum.value == 7.0
    minimum.add(9.0, now=104.5)
    assert minimum.value == 7.0
    minimum.add(9.0, now=106.0)
    assert minimum.value == 7.0
    minimum.add(9.0, now=107.5)
    assert minimum.value == 9.0


def test_a_sample_later_in_a_bucket_makes_it_no_younger() -> None:
    minimum = MinimumFilter(3.0)
    minimum.add(5.0, now=100.0)
    minimum.add(1.0, now=100.9)
    minimum.add(9.0, now=103.5)
    assert minimum.value == 9.0


def test_a_minimum_that_begins_anew_knows_one_sample() -> None:
    minimum = MinimumFilter(3.0)
    minimum.add(1.0, now=100.0)
    minimum.restart(5.0, now=101.0)
    assert minimum.value == 5.0
    minimum.add(7.0, now=103.0)
    assert minimum.value == 5.0
    minimum.add(7.0, now=104.5)
    assert minimum.value == 7.0


def test_before_the_first_sample() -> None:
    rtt = RttEstimator()
    assert (rtt.latest, rtt.smoothed, rtt.variation, rtt.minimum, rtt.p95()) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert rtt.loss_delay() == rtt.probe_timeout(0.1) == INITIAL_PTO


def test_the_least_rtt_counts_for_ten_seconds() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.01, now=0.0)
    rtt.on_ack(1, 0.05, now=9.5)
    assert rtt.minimum == 0.01
    rtt.on_ack(2, 0.05, now=10.5)
    assert rtt.minimum == 0.05


def test_what_is_no_sample() -> None:
    rtt = RttEstimator(after=3)
    assert not rtt.on_ack(3, 0.1, now=1.0)
    assert rtt.on_ack(4, MAX_RTT, now=1.0)
    assert not rtt.on_ack(5, MAX_RTT + 0.1, now=1.0)
    assert not rtt.on_ack(5, 0.1, now=1.0), "its number has been there"
    assert rtt.on_ack(6, -1.0, now=1.0)
    assert rtt.latest == pytest.approx(0.0001)
    rtt.ignore_until(9)
    rtt.ignore_until(7)
    assert not rtt.on_ack(9, 0.1, now=1.0)
    assert rtt.on_ack(10, 0.1, now=1.0)


def test_the_95th_percentile_of_the_last_samples() -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.5, now=0.0)
    assert rtt.p95() == 0.5
    for number in range(1, 21):
        rtt.on_ack(number, number / 100, now=0.0)
    assert rtt.p95() == 0.20
    for number in range(21, 149):
        rtt.on_ack(number, 0.01, now=0.0)
    assert rtt.p95() == 0.01, "128 samples are remembered"
    for number in range(149, 156):
        rtt.on_ack(number, 0.02, now=0.0)
    assert rtt.p95() == 0.01
    rtt.on_ack(156, 0.02, now=0.0)
    assert rtt.p95() == 0.02
