"""When a path falls silent, when it is probed, and how long a round lasts."""

import pytest

from sent import ack, send
from tandem_transport.parameters import MAX_RTT
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.rtt import RttEstimator

# --- silence ---


def test_a_silence_begins_with_the_first_packet_after_the_last_answer() -> None:
    recovery = Recovery(RttEstimator())
    assert (recovery.unanswered_since, recovery.unanswered, recovery.last_acked_at) == (None, 0, None)
    send(recovery, 3, now=1.0)
    assert (recovery.unanswered_since, recovery.unanswered) == (1.0, 3)
    recovery.pto_count = 2
    assert recovery.on_ack_received(ack((0, 0)), now=1.5).is_answer
    assert (recovery.unanswered_since, recovery.unanswered, recovery.last_acked_at) == (None, 0, 1.5)
    assert recovery.pto_count == 0
    send(recovery, 2, now=2.0)
    assert (recovery.unanswered_since, recovery.unanswered) == (2.0, 2)


def test_an_ack_of_a_packet_that_is_never_tracked_ends_a_silence_if_it_was_sent_in_it() -> None:
    recovery = Recovery(RttEstimator())
    ack_only = recovery.take_number(now=0.5)
    send(recovery, 1, now=1.0)
    assert not recovery.on_ack_received(ack((ack_only, ack_only)), now=1.5).is_answer, "sent before it"
    at_once = recovery.take_number(now=1.0)
    assert not recovery.on_ack_received(ack((at_once, at_once)), now=1.5).is_answer, "sent as it began"
    assert recovery.last_acked_at is None
    later = recovery.take_number(now=1.25)
    assert recovery.on_ack_received(ack((later, later)), now=1.5).is_answer
    assert recovery.last_acked_at == 1.5
    assert not recovery.on_ack_received(ack((later, later)), now=2.0).is_answer, "told before"
    send(recovery, 1, now=3.0)
    assert not recovery.on_ack_received(ack((later, later)), now=3.5).is_answer, "told before the silence"
    assert recovery.last_acked_at == 1.5


def test_an_old_number_told_again_ends_no_silence() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 1, now=1.0)
    later = recovery.take_number(now=2.0)
    assert recovery.on_ack_received(ack((later, later)), now=2.5).is_answer
    recovery.unanswered_since = 1.0
    assert not recovery.on_ack_received(ack((later, later)), now=2.5).is_answer


def test_time_in_which_this_end_did_not_listen_is_no_silence() -> None:
    recovery = Recovery(RttEstimator())
    recovery.excuse(5.0, now=10.0)
    assert recovery.unanswered_since is None
    send(recovery, 1, now=1.0)
    recovery.excuse(5.0, now=10.0)
    assert recovery.unanswered_since == 6.0
    recovery.excuse(5.0, now=10.0)
    assert recovery.unanswered_since == 10.0


# --- rounds ---


def test_a_round_ends_with_the_first_packet_sent_after_the_last_one() -> None:
    recovery = Recovery(RttEstimator())
    assert recovery.round == 0
    send(recovery, 3, now=0.0, gap=0.0)
    assert recovery.on_ack_received(ack((0, 0)), now=1.0).is_round_start
    assert (recovery.round, recovery.feedback) == (1, 1.0)
    assert not recovery.on_ack_received(ack((1, 2)), now=5.0).is_round_start, "sent before the round began"
    send(recovery, 2, now=5.0, gap=0.0)
    assert recovery.on_ack_received(ack((3, 3)), now=6.0).is_round_start
    assert recovery.round == 2
    assert not recovery.on_ack_received(ack((4, 4)), now=7.0).is_round_start


def test_a_round_lasts_most_of_a_feedback_time_at_least() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 1, now=0.0)
    assert recovery.on_ack_received(ack((0, 0)), now=1.0).is_round_start
    recovery.take_number(now=1.0)
    send(recovery, 1, now=0.6, gap=0.0)
    assert not recovery.on_ack_received(ack((2, 2)), now=1.625).is_round_start
    recovery.feedback = 1.0
    send(recovery, 1, now=0.75, gap=0.0)
    assert recovery.on_ack_received(ack((3, 3)), now=1.75).is_round_start, "three quarters"


def test_a_round_lasts_as_long_as_jitter_asks_for() -> None:
    recovery = Recovery(RttEstimator())
    recovery.min_round = 5.0
    send(recovery, 1, now=0.0)
    assert not recovery.on_ack_received(ack((0, 0)), now=4.5).is_round_start
    send(recovery, 1, now=4.5)
    assert recovery.on_ack_received(ack((1, 1)), now=5.5).is_round_start


def test_feedback_times_are_smoothed_over_sixteen_acks_and_an_outage_counts_twice_at_most() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 1, now=0.0)
    recovery.on_ack_received(ack((0, 0)), now=1.0)
    send(recovery, 1, now=10.0)
    recovery.on_ack_received(ack((1, 1)), now=11.5)
    assert recovery.feedback == pytest.approx(1 + 0.5 / 16)
    send(recovery, 1, now=20.0)
    recovery.feedback = 1.0
    recovery.on_ack_received(ack((2, 2)), now=120.0)
    assert recovery.feedback == pytest.approx(1 + 1 / 16)


def test_the_packet_in_the_middle_of_an_ack_says_how_long_news_takes() -> None:
    recovery = Recovery(RttEstimator())
    send(recovery, 5, now=1.0, gap=1.0)
    recovery.on_ack_received(ack((0, 4)), now=6.0)
    assert recovery.feedback == pytest.approx(3.0)
    slow = Recovery(RttEstimator())
    send(slow, 1, now=0.0)
    slow.on_ack_received(ack((0, 0)), now=1000.0)
    assert slow.feedback == pytest.approx(MAX_RTT * 17 / 16)


# --- probes ---


def probing(*, rtt: float = 0.02, silence_began: float = 100.0) -> Recovery:
    estimator = RttEstimator()
    estimator.on_ack(0, rtt, now=rtt)
    recovery = Recovery(estimator)
    send(recovery, 1, now=silence_began)
    recovery.last_sent_at = 0.0
    return recovery


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


def test_nothing_in_flight_needs_no_probe() -> None:
    assert Recovery(RttEstimator()).probe_at(0.005, has_streams=True, now=0.0) is None


def test_probes_double_their_interval() -> None:
    recovery = probing(rtt=0.004)
    pto = recovery.rtt.probe_timeout(0.0)
    intervals: list[float | None] = []
    for recovery.pto_count in range(7):
        intervals.append(recovery.probe_at(0.0, has_streams=True, now=100.0))
    assert intervals == pytest.approx([pto, 2 * pto, 4 * pto, 8 * pto, 16 * pto, 0.25, 0.25])
    recovery.pto_count = 10_000
    assert recovery.probe_at(0.0, has_streams=True, now=100.0) == 0.25


@pytest.mark.parametrize(
    ("silence", "with_streams", "without"),
    [(19.9, 0.25, 0.25), (20.0, 1.0, 15.0), (59.9, 1.0, 15.0), (60.0, 2.0, 15.0), (3600.0, 2.0, 15.0)],
)
def test_a_long_silence_makes_probes_rare(silence: float, with_streams: float, without: float) -> None:
    recovery = probing()
    recovery.pto_count = 9
    assert recovery.probe_at(0.0, has_streams=True, now=100.0 + silence) == with_streams
    assert recovery.probe_at(0.0, has_streams=False, now=100.0 + silence) == without
    recovery.unanswered_since = None
    assert recovery.probe_at(0.0, has_streams=True, now=100.0 + silence) == 0.25


def test_no_probe_comes_before_an_answer_could() -> None:
    recovery = probing(rtt=4.0)
    recovery.pto_count = 1
    pto = recovery.rtt.probe_timeout(0.0)
    assert pto == 12.0
    for silence in (0.0, 30.0, 90.0):
        assert recovery.probe_at(0.0, has_streams=True, now=100.0 + silence) == pto


def test_a_timer_that_fires_a_rounding_error_early_counts() -> None:
    recovery = Recovery(RttEstimator())
    assert not recovery.is_probe_due(None, now=1.0)
    assert recovery.is_probe_due(1.0, now=1.0)
    assert recovery.is_probe_due(1.0 + 5e-7, now=1.0)
    assert not recovery.is_probe_due(1.0 + 2e-6, now=1.0)
