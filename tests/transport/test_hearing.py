"""Which direction of a path is found to work, by what was asked there and what others tell."""

import pytest

from tandem_transport.parameters import KEEPALIVE_ACTIVE
from tandem_transport.path.hearing import ENOUGH, MIN_SILENCE, QUICK, QUICK_FOR, Hearing
from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.recovery.sent_packet import SentPacket

PATIENCE = 5.0
PTO = 0.3
"""Probe timeout of a path without a sample."""


def packets(count: int, *, now: float, gap: float = 0.0) -> list[SentPacket]:
    return [SentPacket(number, 100, now + number * gap, []) for number in range(count)]


class Ear:
    """A path that is asked and heard."""

    def __init__(self) -> None:
        self.hearing = Hearing()
        self.recovery = Recovery(RttEstimator())

    def ask(self, count: int, *, now: float, gap: float = 0.0) -> list[SentPacket]:
        """Packets that ask for an answer."""
        sent: list[SentPacket] = []
        for number in range(count):
            at = now + number * gap
            packet = SentPacket(self.recovery.take_number(now=at), 100, at, [])
            self.recovery.on_packet_sent(packet)
            self.hearing.on_sent(self.recovery.unanswered, now=at)
            sent.append(packet)
        return sent

    def hear(self, begin: float, end: float) -> None:
        """A packet ten times a second."""
        for tenth in range(round((end - begin) * 10) + 1):
            self.hearing.on_received(now=begin + tenth / 10)

    def update(self, now: float) -> tuple[bool, bool]:
        """Whether it is deaf, and whether mute."""
        self.hearing.update(self.recovery, PATIENCE, now=now)
        return self.hearing.is_deaf, self.hearing.is_mute


# --- deaf ---


def test_a_path_on_which_enough_arrives_and_nothing_comes_back_is_deaf() -> None:
    ear = Ear()
    sent = ear.ask(ENOUGH, now=1.0)
    ear.hearing.on_acked(sent[:-1])
    assert ear.update(100.0) == (False, False), "one too few"
    ear.hearing.on_acked(sent[-1:])
    assert ear.update(1.0 + MIN_SILENCE - 0.01) == (False, False)
    assert ear.update(1.0 + MIN_SILENCE) == (True, False)
    assert ear.hearing.is_one_way
    ear.hearing.on_received(now=3.0)
    assert ear.update(100.0) == (False, False)
    assert not ear.hearing.is_one_way
    assert (ear.hearing.asked_at, ear.hearing.arrived) == (None, 0)


def test_the_answer_to_the_last_of_them_has_its_time() -> None:
    ear = Ear()
    ear.hearing.on_acked(ear.ask(ENOUGH, now=1.0, gap=0.25))
    last = 1.0 + (ENOUGH - 1) * 0.25
    assert not ear.update(last + PTO - 0.01)[0]
    assert ear.update(last + PTO)[0]


def test_packets_after_enough_do_not_prolong_the_wait() -> None:
    ear = Ear()
    ear.hearing.on_acked(ear.ask(ENOUGH, now=1.0))
    ear.hearing.on_acked(ear.ask(1, now=2.1))
    assert ear.update(1.0 + MIN_SILENCE)[0]


def test_what_was_sent_before_the_last_packet_came_is_answered() -> None:
    ear = Ear()
    before = ear.ask(ENOUGH, now=1.0)
    ear.hearing.on_received(now=1.5)
    ear.hearing.on_acked(before)
    assert ear.hearing.arrived == 0
    after = ear.ask(ENOUGH, now=1.5)
    ear.hearing.on_acked(before + after)
    assert ear.hearing.arrived == ENOUGH
    assert ear.hearing.asked_at == 1.5


def test_time_in_which_this_end_did_not_listen_is_not_counted() -> None:
    ear = Ear()
    ear.hear(0.0, 1.0)
    ear.hearing.on_acked(ear.ask(ENOUGH, now=1.0))
    ear.hearing.excuse(10.0, now=11.0)
    assert (ear.hearing.asked_at, ear.hearing.heard_at) == (11.0, 11.0)
    assert not ear.update(11.0 + MIN_SILENCE - 0.01)[0]
    assert ear.update(11.0 + MIN_SILENCE)[0]
    ear.hearing.excuse(10.0, now=12.0)
    assert (ear.hearing.asked_at, ear.hearing.heard_at) == (12.0, 12.0), "never later than now"
    fresh = Hearing()
    fresh.excuse(10.0, now=11.0)
    assert (fresh.asked_at, fresh.heard_at) == (None, None)


def test_the_wait_after_enough_is_excused_too() -> None:
    ear = Ear()
    ear.hearing.on_acked(ear.ask(ENOUGH, now=1.0, gap=0.25))
    ear.hearing.excuse(1.0, now=2.75)
    assert not ear.update(3.75 + PTO - 0.01)[0]
    assert ear.update(3.75 + PTO)[0]


def test_a_path_that_begins_anew_has_missed_nothing() -> None:
    ear = Ear()
    ear.hearing.on_acked(ear.ask(ENOUGH, now=1.0))
    ear.update(10.0)
    ear.hearing.is_mute = True
    ear.hearing.begin_anew()
    assert (ear.hearing.asked_at, ear.hearing.arrived, ear.hearing.is_one_way) == (None, 0, False)


# --- mute ---


def test_a_path_that_is_heard_and_not_answered_is_mute() -> None:
    ear = Ear()
    ear.hear(0.0, 3.0)
    ear.ask(ENOUGH, now=1.0)
    # heard for two probe timeouts and 0.3 s since then
    assert ear.update(3.0) == (False, True)
    assert ear.hearing.is_one_way
    ear.recovery.last_acked_at = 3.0
    assert ear.update(3.0) == (False, True)
    ear.recovery.last_acked_at = 3.01
    assert ear.update(3.1) == (False, False)


@pytest.mark.parametrize(("count", "is_mute"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_enough_packets_must_be_unanswered(count: int, *, is_mute: bool) -> None:
    ear = Ear()
    ear.hear(0.0, 3.0)
    ear.ask(count, now=1.0)
    assert ear.update(3.0)[1] == is_mute


@pytest.mark.parametrize(("until", "is_mute"), [(1.8, False), (2.0, True)])
def test_a_path_must_be_heard_for_a_while_after_it_was_asked(until: float, *, is_mute: bool) -> None:
    ear = Ear()
    ear.hear(0.0, until)
    ear.ask(ENOUGH, now=1.0)
    assert ear.update(4.0)[1] == is_mute


@pytest.mark.parametrize(("begin", "is_mute"), [(2.2, False), (1.9, True)])
def test_a_path_that_is_heard_again_must_be_heard_for_a_while(begin: float, *, is_mute: bool) -> None:
    ear = Ear()
    ear.hear(-3.0, -2.0)
    ear.ask(ENOUGH, now=1.0)
    ear.hear(begin, 3.0)
    assert ear.update(3.0)[1] == is_mute


def test_two_seconds_without_a_packet_are_no_gap() -> None:
    ear = Ear()
    ear.hearing.on_received(now=1.0)
    ear.hearing.on_received(now=3.0)
    assert ear.hearing.heard_since == 1.0
    ear.hearing.on_received(now=5.1)
    assert ear.hearing.heard_since == 5.1


@pytest.mark.parametrize(("gap", "wait"), [(0.0, MIN_SILENCE), (0.3, 7 * 0.3 + PTO)])
def test_a_verdict_has_its_time(gap: float, wait: float) -> None:
    ear = Ear()
    ear.hear(0.0, 10.0)
    ear.ask(ENOUGH, now=1.0, gap=gap)
    assert not ear.update(1.0 + wait - 0.01)[1]
    assert ear.update(1.0 + wait + 0.001)[1]


def test_packets_after_enough_do_not_put_the_verdict_off() -> None:
    ear = Ear()
    ear.hear(0.0, 10.0)
    ear.ask(ENOUGH, now=1.0)
    ear.ask(3, now=2.15)
    assert ear.update(1.0 + MIN_SILENCE)[1]


def test_time_in_which_this_end_did_not_listen_puts_it_off() -> None:
    ear = Ear()
    ear.hear(0.0, 10.0)
    ear.ask(ENOUGH, now=1.0, gap=0.3)
    ear.hearing.excuse(1.0, now=10.0)
    ear.hearing.heard_at = 10.0
    assert not ear.update(1.0 + 2.1 + PTO + 0.99)[1]
    assert ear.update(1.0 + 2.1 + PTO + 1.01)[1]


def test_a_path_that_is_not_heard_any_more_is_silent_and_not_mute() -> None:
    ear = Ear()
    ear.hear(0.0, 3.0)
    ear.ask(ENOUGH, now=1.0)
    assert ear.update(3.0)[1]
    assert ear.update(3.0 + PATIENCE)[1]
    assert not ear.update(3.01 + PATIENCE)[1]
    never = Ear()
    never.ask(ENOUGH, now=1.0)
    assert never.update(3.0) == (False, False)
    ear = Ear()
    ear.hear(0.0, 3.0)
    ear.hearing.is_mute = True
    assert not ear.update(3.0)[1], "nothing is unanswered"


# --- asking ---


def test_a_peer_that_asks_twice_in_a_second_while_all_is_quiet_misses_answers() -> None:
    ear = Ear()
    hearing, recovery = ear.hearing, ear.recovery
    recovery.last_sent_at = 100.0
    quiet = 100.0 + KEEPALIVE_ACTIVE
    assert not hearing.is_asked_again(recovery, now=quiet)
    assert hearing.is_asked_again(recovery, now=quiet + 0.9)
    assert not hearing.is_asked_again(recovery, now=quiet + 1.9), "a second later"
    recovery.last_sent_at = quiet + 2.5 - KEEPALIVE_ACTIVE + 0.1
    assert not hearing.is_asked_again(recovery, now=quiet + 2.5), "we have just asked"
    recovery.last_sent_at = quiet + 2.75 - KEEPALIVE_ACTIVE
    assert hearing.is_asked_again(recovery, now=quiet + 2.75)
    ear.ask(1, now=0.0)
    assert not hearing.is_asked_again(recovery, now=quiet + 3.0), "we wait for an answer ourselves"


def test_a_path_without_doubt_is_not_asked() -> None:
    ear = Ear()
    assert ear.hearing.probe_at(ear.recovery) is None
    ear.hear(0.0, 1.0)
    ear.ask(1, now=1.0)
    ear.recovery.pto_count = 1
    assert ear.hearing.probe_at(ear.recovery) is None, "it was not heard since"
    ear.recovery.unanswered_since = None
    assert ear.hearing.probe_at(ear.recovery) is None


def test_a_path_that_hears_us_and_is_not_heard_is_asked_quickly_for_a_while() -> None:
    ear = Ear()
    sent = ear.ask(2, now=1.0)
    assert ear.hearing.probe_at(ear.recovery) is None
    ear.hearing.on_acked(sent[:1])
    assert ear.hearing.probe_at(ear.recovery) == pytest.approx(1.0 + PTO)
    ear.ask(1, now=1.5)
    assert ear.hearing.probe_at(ear.recovery) == pytest.approx(1.5 + QUICK)
    ear.ask(1, now=1.0 + QUICK_FOR)
    assert ear.hearing.probe_at(ear.recovery) == pytest.approx(1.0 + QUICK_FOR + QUICK)
    ear.ask(1, now=1.1 + QUICK_FOR)
    assert ear.hearing.probe_at(ear.recovery) is None


@pytest.mark.parametrize(("heard", "is_asked"), [(1.29, False), (1.31, True)])
def test_a_path_that_is_heard_and_misses_a_probe_timeout_is_asked(heard: float, *, is_asked: bool) -> None:
    ear = Ear()
    ear.ask(1, now=1.0)
    ear.hearing.on_received(now=heard)
    assert ear.hearing.probe_at(ear.recovery) is None
    ear.recovery.pto_count = 1
    at = ear.hearing.probe_at(ear.recovery)
    assert at == (pytest.approx(1.0 + PTO) if is_asked else None)


def test_a_path_in_doubt_is_asked_after_its_own_probe_timeout() -> None:
    ear = Ear()
    ear.recovery.rtt.on_ack(0, 0.1, now=0.1)
    ear.hearing.on_acked(ear.ask(1, now=1.0))
    assert ear.recovery.rtt.probe_timeout(0.0) == pytest.approx(0.3)
    assert ear.hearing.probe_at(ear.recovery) == pytest.approx(1.3)
