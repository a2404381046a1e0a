"""The search for packet sizes, and the watch over them, at their limits."""

import pytest

from tandem_transport.parameters import (
    BASE_DATAGRAM_SIZE,
    BLACK_HOLE_LOSSES,
    CHECK_BACKOFF,
    CHECK_EXTRAS,
    DATAGRAM_SIZES,
    MIN_DATAGRAM_SIZE,
    MTU_PROBES,
    MTU_RETRY,
    MTU_SOON,
    SMALL_DATAGRAM_SIZES,
    SUSPICIOUS_LOSSES,
)
from tandem_transport.path.mtu import MtuDiscovery
from tandem_transport.recovery.sent_packet import SentPacket


def packet(number: int, size: int, *, sent_at: float = 1.0, is_probe: bool = False) -> SentPacket:
    made = SentPacket(number, size, sent_at, [])
    made.is_mtu_probe = is_probe
    return made


def lose(mtu: MtuDiscovery, count: int, *, size: int = 1200, sent_at: float = 1.0, first: int = 1000) -> None:
    for number in range(first, first + count):
        mtu.on_lost(packet(number, size, sent_at=sent_at), now=sent_at)


def check(mtu: MtuDiscovery, *, now: float, first: int = 2000) -> list[SentPacket]:
    """The check that is due leaves."""
    probes = [packet(first + number, size, sent_at=now) for number, size in enumerate(mtu.due_rungs())]
    mtu.on_check_sent(probes, now=now)
    assert all(probe.is_mtu_probe for probe in probes)
    assert mtu.due_rungs() == []
    return probes


def finish(mtu: MtuDiscovery, probes: list[SentPacket], *, fits: int, now: float) -> None:
    for probe in probes:
        (mtu.on_acked if probe.size <= fits else mtu.on_lost)(probe, now=now)


def probe(mtu: MtuDiscovery, number: int, *, now: float = 0.0) -> SentPacket:
    size = mtu.due(now=now)
    assert size is not None
    sent = packet(number, size, sent_at=now)
    mtu.on_probe_sent(sent)
    assert sent.is_mtu_probe
    return sent


# --- search ---


def test_a_new_path_takes_what_every_path_does_and_nothing_is_suspected() -> None:
    mtu = MtuDiscovery()
    assert (mtu.size, mtu.suspected, mtu.extras, mtu.is_checking) == (BASE_DATAGRAM_SIZE, 0, 0, False)
    assert mtu.due_rungs() == []
    assert mtu.due(now=-1e9) == DATAGRAM_SIZES[0]


def test_each_size_has_three_probes() -> None:
    mtu = MtuDiscovery()
    for place, size in enumerate(DATAGRAM_SIZES):
        for number in range(MTU_PROBES):
            sent = probe(mtu, 10 * place + number)
            assert sent.size == size
            mtu.on_lost(sent, now=5.0)
    assert mtu.size == BASE_DATAGRAM_SIZE
    assert mtu.due(now=4.9 + MTU_RETRY) is None
    assert [probe(mtu, 900, now=5.0 + MTU_RETRY).size] == [DATAGRAM_SIZES[0]]


def test_the_search_of_a_path_that_takes_the_most_finds_nothing_larger() -> None:
    mtu = MtuDiscovery()
    mtu.on_acked(probe(mtu, 0), now=1.0)
    assert mtu.size == DATAGRAM_SIZES[0]
    assert mtu.due(now=1e9) is None


def test_a_new_search_tries_each_size_three_times_again() -> None:
    mtu = MtuDiscovery()
    mtu.on_lost(probe(mtu, 0), now=1.0)
    mtu.on_lost(probe(mtu, 1), now=1.0)
    mtu.on_lost(probe(mtu, 2), now=1.0)
    mtu.on_lost(probe(mtu, 3), now=1.0)
    mtu.on_acked(probe(mtu, 4), now=1.0)
    assert mtu.size == DATAGRAM_SIZES[1]
    for number in range(MTU_PROBES):
        assert mtu.due(now=1.0 + MTU_RETRY) == DATAGRAM_SIZES[0]
        mtu.on_lost(probe(mtu, 10 + number, now=1.0 + MTU_RETRY), now=1.0 + MTU_RETRY)
    assert mtu.due(now=1.0 + MTU_RETRY) is None


def test_packets_that_are_no_probe_find_nothing() -> None:
    mtu = MtuDiscovery()
    probe(mtu, 5)
    mtu.on_acked(packet(4, 1200), now=1.0)
    mtu.on_lost(packet(6, 1200), now=1.0)
    assert mtu.size == BASE_DATAGRAM_SIZE
    assert mtu.due(now=1.0) is None, "the probe is still on its way"
    assert mtu.suspected == 0, "one as large has just arrived"


# --- suspicion ---


def test_two_large_packets_that_are_late_or_lost_make_a_check() -> None:
    assert SUSPICIOUS_LOSSES == 2
    for lost, late in ((2, 0), (0, 2), (1, 1)):
        mtu = MtuDiscovery()
        lose(mtu, lost)
        mtu.suspect(late - 1, 0.0, now=2.0)
        assert not mtu.is_checking
        mtu.suspect(late, 0.0, now=2.0)
        assert mtu.is_checking
        assert mtu.extras == CHECK_EXTRAS


def test_a_check_has_probes_of_the_present_size_before_and_after_the_smaller_ones() -> None:
    mtu = MtuDiscovery()
    mtu.suspect(2, 0.0, now=2.0)
    assert mtu.due_rungs() == [1200, 972, 772, 548, 1200, 1200, 1200]
    mtu = MtuDiscovery()
    mtu.suspect(BLACK_HOLE_LOSSES - 1, 0.0, now=2.0)
    assert mtu.due_rungs() == [1200, 972, 772, 548, 1200], "two at least"


def test_a_check_that_is_due_or_on_its_way_is_not_begun_anew() -> None:
    mtu = MtuDiscovery()
    mtu.suspect(2, 0.0, now=2.0)
    due = mtu.due_rungs()
    mtu.suspect(9, 0.0, now=2.0)
    assert mtu.due_rungs() is due
    check(mtu, now=2.0)
    mtu.suspect(9, 0.0, now=2.0)
    assert mtu.due_rungs() == []
    assert mtu.due(now=1e9) is None, "and meanwhile nothing is searched for"


def test_a_path_that_takes_the_least_only_is_not_checked() -> None:
    mtu = MtuDiscovery()
    mtu.size = MIN_DATAGRAM_SIZE
    mtu.suspect(99, 0.0, now=2.0)
    assert not mtu.is_checking


def test_suspects_are_large_ones_sent_after_what_has_arrived() -> None:
    mtu = MtuDiscovery()
    minimum = MIN_DATAGRAM_SIZE
    packets = [packet(0, minimum), packet(1, minimum + 1), packet(2, 1200), packet(3, 1200, is_probe=True)]
    assert mtu.count_suspects(packets) == 2
    mtu.on_acked(packet(4, 660, sent_at=1.0), now=1.0)
    assert mtu.count_suspects(packets) == 1, "as large as the first has arrived"
    mtu.on_acked(packet(5, 1200, sent_at=1.0), now=1.0)
    assert mtu.count_suspects(packets) == 0, "sent at the same time"
    assert mtu.count_suspects([packet(6, 1200, sent_at=1.1)]) == 1


def test_losses_count_until_one_as_large_arrives() -> None:
    mtu = MtuDiscovery()
    minimum = MIN_DATAGRAM_SIZE
    mtu.on_lost(packet(0, minimum), now=1.0)
    mtu.on_lost(packet(1, 1472, is_probe=True), now=1.0)
    assert mtu.suspected == 0
    lose(mtu, 2, size=minimum + 1)
    lose(mtu, 3, size=1100)
    assert mtu.suspected == 5
    mtu.on_acked(packet(2, minimum, sent_at=2.0), now=2.0)
    assert mtu.suspected == 5
    mtu.on_acked(packet(3, minimum + 1, sent_at=2.0), now=2.0)
    assert mtu.suspected == 3
    lose(mtu, 2, size=minimum + 1, sent_at=2.0)
    assert mtu.suspected == 3
    mtu.on_acked(packet(4, 1200, sent_at=3.0), now=3.0)
    assert mtu.suspected == 0


# --- checks ---


def test_a_path_that_loses_by_chance_is_checked_for_more_than_that_and_asked_more_often() -> None:
    # 0.3 ** 5 < 3e-3 < 0.3 ** 4
    mtu = MtuDiscovery()
    mtu.suspect(4, 0.3, now=2.0)
    assert not mtu.is_checking
    mtu.suspect(5, 0.3, now=2.0)
    assert mtu.is_checking
    # 0.3 ** 8 < 1e-4 < 0.3 ** 7: eight probes of the present size, two of them at once
    mtu.suspected = 99
    probes = check(mtu, now=2.0)
    assert sum(probe.size == 1200 for probe in probes) == 2
    finish(mtu, probes, fits=1000, now=2.1)
    more = 0
    while mtu.size == BASE_DATAGRAM_SIZE:
        assert mtu.due_rungs() == [1200]
        more += 1
        finish(mtu, check(mtu, now=2.0 + more, first=3000 + more), fits=1000, now=2.1 + more)
    assert more == 6
    assert mtu.size == 972


@pytest.mark.parametrize(("loss", "enough"), [(0.9, 12), (1.0, 12), (0.0, 2), (0.05, 2), (0.06, 3), (0.5, 9)])
def test_how_many_losses_are_no_chance(loss: float, enough: int) -> None:
    mtu = MtuDiscovery()
    mtu.suspect(enough - 1, loss, now=2.0)
    assert not mtu.is_checking
    mtu.suspect(enough, loss, now=2.0)
    assert mtu.is_checking


def test_a_check_in_vain_makes_patient_for_ever_longer() -> None:
    mtu, now = MtuDiscovery(), 10.0
    minimum, most = CHECK_BACKOFF
    for number, window in enumerate((minimum, 2 * minimum, 4 * minimum, 8 * minimum, most, most)):
        mtu.suspect(BLACK_HOLE_LOSSES - 1, 0.0, now=now)
        assert mtu.is_checking
        mtu.on_acked(check(mtu, now=now, first=100 * number)[0], now=now)
        assert (mtu.size, mtu.is_checking) == (BASE_DATAGRAM_SIZE, False)
        now += window
        mtu.suspect(BLACK_HOLE_LOSSES - 1, 0.0, now=now - 0.01)
        assert not mtu.is_checking
    mtu.suspect(BLACK_HOLE_LOSSES, 0.0, now=now - 0.01)
    assert mtu.is_checking, "so many are always a reason"


def test_while_it_is_patient_a_lossy_path_needs_as_many_losses_as_it_is_asked_times() -> None:
    mtu = MtuDiscovery()
    mtu.suspect(6, 0.3, now=10.0)
    mtu.on_acked(check(mtu, now=10.0)[0], now=10.0)
    mtu.suspect(7, 0.3, now=11.0)
    assert not mtu.is_checking
    mtu.suspect(8, 0.3, now=11.0)
    assert mtu.is_checking


def test_an_ordinary_packet_of_full_size_ends_a_check_if_it_was_sent_in_it() -> None:
    mtu = MtuDiscovery()
    mtu.suspect(6, 0.0, now=2.0)
    check(mtu, now=2.0)
    mtu.on_acked(packet(10, 1200, sent_at=1.9), now=2.1)
    mtu.on_acked(packet(11, 1199, sent_at=2.1), now=2.1)
    assert mtu.is_checking
    mtu.on_acked(packet(12, 1200, sent_at=2.0), now=2.1)
    assert not mtu.is_checking
    assert mtu.size == BASE_DATAGRAM_SIZE


def test_without_enough_losses_a_path_does_not_become_narrower() -> None:
    for losses, size in ((BLACK_HOLE_LOSSES - 3, 1200), (BLACK_HOLE_LOSSES - 2, 972)):
        mtu = MtuDiscovery()
        lose(mtu, losses)
        mtu.suspect(99, 0.0, now=2.0)
        finish(mtu, check(mtu, now=2.0), fits=1000, now=2.1)
        assert mtu.size == size
        assert not mtu.is_checking


def test_a_check_of_which_the_last_answer_is_a_small_one() -> None:
    mtu = MtuDiscovery()
    lose(mtu, 9)
    mtu.suspect(9, 0.0, now=2.0)
    probes = check(mtu, now=2.0)
    finish(mtu, sorted(probes, key=lambda probe: -probe.size), fits=800, now=2.1)
    assert mtu.size == 772


def test_a_path_that_has_become_narrower_searches_between_at_once_and_anew_soon() -> None:
    mtu = MtuDiscovery()
    first = probe(mtu, 0)
    mtu.on_lost(first, now=1.0)
    mtu.on_lost(probe(mtu, 1), now=1.0)
    lose(mtu, 9)
    mtu.suspect(9, 0.0, now=2.0)
    finish(mtu, check(mtu, now=2.0), fits=800, now=2.1)
    assert (mtu.size, mtu.suspected) == (772, 0)
    between = [size for size in SMALL_DATAGRAM_SIZES if size > 772]
    for place, size in enumerate(between):
        for number in range(MTU_PROBES):
            assert mtu.due(now=2.1) == size
            mtu.on_lost(probe(mtu, 100 + 10 * place + number, now=2.1), now=2.2)
    assert mtu.due(now=2.1 + MTU_SOON) is None
    assert mtu.due(now=2.2 + MTU_SOON) == DATAGRAM_SIZES[0]


def test_a_path_that_has_become_narrower_is_not_patient_any_more() -> None:
    mtu = MtuDiscovery()
    mtu.suspect(6, 0.0, now=2.0)
    mtu.on_acked(check(mtu, now=2.0)[0], now=2.0)
    lose(mtu, 9, sent_at=2.5)
    mtu.suspect(0, 0.0, now=3.0)
    finish(mtu, check(mtu, now=3.0), fits=1000, now=3.1)
    assert mtu.size == 972
    mtu.suspect(2, 0.0, now=3.2)
    assert mtu.is_checking
    mtu.on_acked(check(mtu, now=3.2, first=3000)[0], now=3.3)
    mtu.suspect(2, 0.0, now=3.3 + CHECK_BACKOFF[0] - 0.01)
    assert not mtu.is_checking
    mtu.suspect(2, 0.0, now=3.3 + CHECK_BACKOFF[0])
    assert mtu.is_checking, "it learns patience from the beginning"
