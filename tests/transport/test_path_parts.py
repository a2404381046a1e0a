"""What a path is made of: sums for figures, the order of packets, its status, policy and probing."""

import pytest

from tandem_transport.events import PathStatus
from tandem_transport.parameters import DEGRADED_HOLD, DOWN_AFTER, DOWN_PROBES
from tandem_transport.path.counters import PathCounters, RecentSums
from tandem_transport.path.mtu import COMPANION_SIZE
from tandem_transport.path.policy import Policy
from tandem_transport.path.probing import Probing, Reachability
from tandem_transport.path.sequence import Advance, LossRuns, Overtaking
from tandem_transport.path.status import DEAF, LATE, MUTE, PathSigns, Standing, evaluate
from tandem_transport.recovery.acknowledgement import ReceivedPackets
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import Mode, PathPolicyFrame, PathPreference, PathUse

# --- counters ---


def test_sums_are_those_of_ten_buckets() -> None:
    sums = RecentSums(10)
    sums.add(1, 10, now=100.0)
    sums.add(2, 20, now=100.0)
    sums.add(4, 40, now=100.9)
    sums.add(8, 80, now=101.0)
    assert sums.totals(now=101.0) == (15, 150)
    assert sums.totals(now=109.9) == (15, 150)
    assert sums.totals(now=110.0) == (8, 80)
    sums.add(16, 160, now=110.0)
    assert sums.totals(now=110.0) == (24, 240)
    assert sums.totals(now=111.0) == (16, 160)
    assert sums.totals(now=200.0) == (0, 0)
    sums.add(1, 1, now=200.0)
    assert sums.totals(now=200.0) == (1, 1)


def test_sums_that_are_empty_are_exactly_zero() -> None:
    sums = RecentSums(1)
    for tenth in range(30):
        sums.add(0.1, 0.3, now=tenth / 10)
    assert sums.totals(now=100.0) == (0.0, 0.0)


def test_a_sum_that_was_asked_for_goes_on() -> None:
    sums = RecentSums(10)
    sums.add(1, 0, now=100.0)
    assert sums.totals(now=110.0) == (0, 0)
    sums.add(2, 0, now=100.0)
    assert sums.totals(now=100.0) == (2, 0)


def test_what_a_path_has_done() -> None:
    counters = PathCounters()
    assert (counters.bytes_sent, counters.bytes_received, counters.loss_at_peer) == (0, 0, None)
    assert counters.loss_received(now=1.0) is None
    counters.on_sent(1000, now=1.0)
    counters.on_sent(500, now=1.0)
    counters.on_received(300, 1, now=1.0)
    counters.on_received(200, 3, now=1.0)
    assert (counters.bytes_sent, counters.bytes_received) == (1500, 500)
    assert counters.rates(now=1.5) == (1500, 500)
    assert counters.received_and_missing(now=1.5) == (2, 2)
    assert counters.loss_received(now=1.5) == pytest.approx(0.5)
    assert counters.loss_received(minimum=4, now=1.5) == pytest.approx(0.5)
    assert counters.loss_received(minimum=5, now=1.5) is None
    for _ in range(3):
        counters.on_received(10, 0, now=1.5)
    assert counters.received_and_missing(now=1.5) == (5, 0), "late packets fill gaps"
    counters.on_received(10, 0, now=1.5)
    assert counters.received_and_missing(now=1.5) == (6, 0)
    counters.on_acked(3, now=1.0)
    counters.on_lost(1, now=1.0)
    assert counters.loss_sent(now=1.0) == pytest.approx(0.25)
    assert counters.loss_sent(minimum=4, now=1.0) == pytest.approx(0.25)
    assert counters.loss_sent(minimum=5, now=1.0) is None
    assert counters.loss_sent(now=10.9) == pytest.approx(0.25)
    assert counters.loss_sent(now=11.0) is None
    counters.on_peer_count(3, 1)
    assert counters.loss_at_peer == pytest.approx(0.25)
    counters.on_peer_count(0, 1)
    assert counters.loss_at_peer == 1.0
    counters.on_won(now=1.0)
    counters.on_won(now=1.0)
    assert counters.won(now=59.0) == 2
    assert counters.won(now=66.0) == 0


# --- the order of packets ---


def advances(*numbers: int, companions: tuple[int, ...] = ()) -> list[int]:
    """By how much each packet moves the largest number on."""
    advance, received, result = Advance(), ReceivedPackets(0.0), list[int]()
    for number in numbers:
        before = received.largest
        received.record(number, 100, now=0.0)
        size = COMPANION_SIZE if number in companions else 100
        result.append(advance.of(number, before, size, received))
    return result


def test_numbers_that_are_skipped_are_counted() -> None:
    assert advances(0, 1, 4, 3, 2, 5) == [1, 1, 3, 0, 0, 1]


def test_a_probe_that_its_companion_finds_missing_is_not_counted() -> None:
    assert advances(0, 1, 3, 4, companions=(3,)) == [1, 1, 1, 1]
    assert advances(0, 1, 2, 3, companions=(2,)) == [1, 1, 1, 1], "it has arrived"
    assert advances(0, 2, 1, 3, companions=(2,)) == [1, 1, 1, 1], "it comes later"
    assert advances(0, 2, 1, 1, companions=(2,))[:3] == [1, 1, 1]
    assert advances(0, 2, 4, 1, 3, companions=(2, 4)) == [1, 1, 1, 0, 1]


def test_a_probe_counts_once() -> None:
    advance, received = Advance(), ReceivedPackets(0.0)
    received.record(2, 100, now=0.0)
    assert advance.of(2, -1, COMPANION_SIZE, received) == 2
    assert advance.of(1, 2, 100, received) == 1
    assert advance.of(1, 2, 100, received) == 0


def test_a_path_reorders_where_one_ack_of_ten_tells_of_late_packets() -> None:
    overtaking = Overtaking()
    assert [overtaking.on_ack(is_late=True), overtaking.is_usual] == [False, False], "a sixteenth"
    assert [overtaking.on_ack(is_late=True), overtaking.is_usual] == [True, True]
    assert [overtaking.on_ack(is_late=True), overtaking.is_usual] == [False, True], "told once"
    count = 0
    while overtaking.is_usual:
        assert not overtaking.on_ack(is_late=False)
        count += 1
    share = 1 - (15 / 16) ** 3
    assert share * (15 / 16) ** count < 0.02 <= share * (15 / 16) ** (count - 1)


def test_losses_of_packets_in_a_row_are_one_run() -> None:
    def lost(*numbers: int) -> list[SentPacket]:
        return [SentPacket(number, 100, 0.0, []) for number in numbers]

    runs = LossRuns()
    assert runs.count(lost(5, 6, 7)) == 1
    assert runs.count(lost(8)) == 0
    assert runs.count(lost(10, 12, 13)) == 2
    assert LossRuns().count(lost(0)) == 0, "nothing is before the first"
    assert LossRuns().count(lost(1)) == 1


# --- status ---

GOOD = PathSigns(True, 0.0, 0, False, 0.01, 0.030, 0.030, "")
HELD_UP = GOOD._replace(smoothed_rtt=0.200, min_rtt=0.040)


@pytest.mark.parametrize(
    ("signs", "status", "reason"),
    [
        (GOOD._replace(silence=DOWN_AFTER, unanswered=DOWN_PROBES), PathStatus.DOWN, "no answer"),
        (GOOD._replace(silence=DOWN_AFTER - 0.01, unanswered=DOWN_PROBES), PathStatus.USABLE, ""),
        (GOOD._replace(silence=DOWN_AFTER, unanswered=DOWN_PROBES - 1), PathStatus.USABLE, ""),
        (GOOD._replace(is_mute=True, silence=9.0, unanswered=99), PathStatus.DEGRADED, MUTE),
        (GOOD._replace(is_deaf=True), PathStatus.DEGRADED, DEAF),
        (GOOD._replace(is_deaf=True, silence=9.0, unanswered=99), PathStatus.DOWN, "no answer"),
        (GOOD._replace(is_unheard=True), PathStatus.DOWN, "no answer"),
        (GOOD._replace(is_mute=True, link_error="gone"), PathStatus.DOWN, "gone"),
        (GOOD._replace(loss=0.10), PathStatus.USABLE, ""),
        (GOOD._replace(loss=0.11, queue_delay=0.050), PathStatus.DEGRADED, "queue of 50 ms"),
        (GOOD._replace(loss=0.11, queue_delay=0.049), PathStatus.DEGRADED, "loss over 10%"),
        (GOOD._replace(smoothed_rtt=0.050, min_rtt=0.010), PathStatus.USABLE, ""),
        (GOOD._replace(smoothed_rtt=0.051, min_rtt=0.010), PathStatus.DEGRADED, "round trip over 3 x its minimum"),
        (GOOD._replace(smoothed_rtt=0.120, min_rtt=0.040), PathStatus.USABLE, ""),
        (GOOD._replace(smoothed_rtt=0.121, min_rtt=0.040), PathStatus.DEGRADED, "round trip over 3 x its minimum"),
        (GOOD._replace(smoothed_rtt=0.121, min_rtt=0.0), PathStatus.USABLE, ""),
        (HELD_UP._replace(queue_delay=0.081), PathStatus.DEGRADED, "queue of 81 ms"),
        (HELD_UP._replace(queue_delay=0.079), PathStatus.DEGRADED, "round trip over 3 x its minimum"),
        (HELD_UP._replace(queue_delay=0.081, is_suspect=True), PathStatus.DEGRADED, "queue of 81 ms"),
        (HELD_UP._replace(is_suspect=True), PathStatus.DEGRADED, "an answer is late"),
        (GOOD._replace(queue_delay=0.5), PathStatus.USABLE, ""),
        (GOOD._replace(policed_rate=250_000.0), PathStatus.USABLE, "drops what exceeds 2 Mbit/s"),
    ],
)
def test_status_and_cause_at_their_limits(signs: PathSigns, status: PathStatus, reason: str) -> None:
    assert evaluate(signs) == (status, reason)


def test_a_new_path_is_probing() -> None:
    standing = Standing()
    assert (standing.status, standing.reason, standing.link_error) == (PathStatus.PROBING, "no answer yet", "")
    assert not standing.is_down
    assert not standing.update(GOOD._replace(has_answered=False), now=1.0)
    assert standing.update(GOOD, now=1.0)
    assert (standing.status, standing.reason) == (PathStatus.USABLE, "")
    assert standing.update(GOOD._replace(link_error="gone"), now=2.0)
    assert standing.is_down


def test_a_path_that_was_degraded_stays_so_for_a_while() -> None:
    standing = Standing()
    assert standing.update(GOOD._replace(loss=0.2), now=10.0)
    assert not standing.update(GOOD, now=10.0 + DEGRADED_HOLD - 0.01)
    assert (standing.status, standing.reason) == (PathStatus.DEGRADED, "loss over 10%")
    assert not standing.update(GOOD._replace(is_suspect=True), now=10.5)
    assert standing.reason == "an answer is late"
    assert not standing.update(GOOD, now=10.5 + DEGRADED_HOLD - 0.01)
    assert standing.update(GOOD, now=10.5 + DEGRADED_HOLD)
    standing.update(GOOD._replace(loss=0.2), now=20.0)
    assert standing.update(GOOD._replace(link_error="gone"), now=20.1), "worse comes at once"
    assert standing.update(GOOD, now=20.2)


@pytest.mark.parametrize("signs", [GOOD._replace(is_mute=True), GOOD._replace(is_deaf=True)])
def test_a_direction_that_works_again_counts_at_once(signs: PathSigns) -> None:
    standing = Standing()
    standing.update(signs, now=10.0)
    assert standing.update(GOOD, now=10.1)


def test_an_answer_is_late_after_two_tenths_of_a_second() -> None:
    assert LATE == 0.2


# --- policy ---


def test_the_clients_policy_names_wishes_and_links_that_cannot_be_used() -> None:
    policy = Policy()
    assert (policy.mode, policy.preferences) == (Mode.DUPLICATE, ())
    preferences = (PathPreference(1, PathUse.BACKUP, 0), PathPreference(2, PathUse.METERED, 5))
    assert policy.choose(Mode.ADAPTIVE, preferences) == PathPolicyFrame(1, Mode.ADAPTIVE, preferences)
    assert (policy.mode, policy.preferences) == (Mode.ADAPTIVE, preferences)
    off = PathPreference(1, PathUse.OFF, 0)
    assert policy.switch(1, is_off=True) == PathPolicyFrame(2, Mode.ADAPTIVE, (off, preferences[1]))
    assert policy.switch(3, is_off=True).preferences == (off, preferences[1], PathPreference(3, PathUse.OFF, 0))
    assert policy.switch(3, is_off=True).preferences[2:] == (PathPreference(3, PathUse.OFF, 0),)
    assert policy.switch(1, is_off=False).preferences == (*preferences, PathPreference(3, PathUse.OFF, 0))
    assert policy.switch(3, is_off=False) == PathPolicyFrame(6, Mode.ADAPTIVE, preferences)
    assert policy.switch(3, is_off=False) == PathPolicyFrame(7, Mode.ADAPTIVE, preferences)


def mode_after(policy: Policy, frame: PathPolicyFrame) -> Mode:
    policy.take(frame)
    return policy.mode


def test_the_newest_policy_of_the_peer_counts() -> None:
    policy = Policy()
    assert mode_after(policy, PathPolicyFrame(2, Mode.ADAPTIVE, ())) is Mode.ADAPTIVE
    assert mode_after(policy, PathPolicyFrame(2, Mode.DUPLICATE, ())) is Mode.ADAPTIVE
    assert mode_after(policy, PathPolicyFrame(1, Mode.DUPLICATE, ())) is Mode.ADAPTIVE
    assert mode_after(policy, PathPolicyFrame(3, 77, ())) is Mode.DUPLICATE


# --- probing ---


def test_a_probe_is_due_until_it_has_left_and_full_until_a_full_one_has() -> None:
    probing = Probing()
    assert (probing.is_due, probing.is_full, probing.reachability) == (False, True, Reachability.ACTIVE)
    probing.request()
    assert (probing.is_due, probing.is_full) == (True, True)
    probing.on_full_sent()
    probing.on_sent()
    assert (probing.is_due, probing.is_full) == (False, False)
    probing.request()
    assert (probing.is_due, probing.is_full) == (True, False)
    probing.request(is_full=True)
    assert probing.is_full
    probing.request()
    assert probing.is_full


def test_a_path_is_suspect_after_one_probe_timeout_and_silent_after_two() -> None:
    recovery, probing = Recovery(RttEstimator()), Probing()
    probing.on_timeout(recovery, now=1.0)
    assert (probing.reachability, probing.is_due, recovery.pto_count) == (Reachability.SUSPECT, True, 1)
    probing.on_timeout(recovery, now=1.0)
    assert (probing.reachability, recovery.pto_count) == (Reachability.SILENT, 2)
    probing.on_timeout(recovery, now=1.0)
    assert (probing.reachability, recovery.pto_count) == (Reachability.SILENT, 3)
    assert [probing.on_answer(), probing.on_answer()] == [True, False], "news once"
    probing.on_blocked()
    assert probing.reachability is Reachability.SILENT


@pytest.mark.parametrize(("now", "is_silent"), [(10.375, False), (10.385, True)])
def test_a_path_that_has_just_answered_is_not_silent(now: float, *, is_silent: bool) -> None:
    rtt = RttEstimator()
    rtt.on_ack(0, 0.125, now=1.0)
    recovery, probing = Recovery(rtt), Probing()
    recovery.last_acked_at, recovery.pto_count = 10.0, 1
    probing.on_timeout(recovery, now=now)
    assert (probing.reachability is Reachability.SILENT) == is_silent
