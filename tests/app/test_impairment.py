"""The model of a bad link does what it says."""

from dataclasses import replace

import pytest

from tandem.impair.impairment import ImpairedLink, Impairment


def arrivals(impairment: Impairment, count: int = 2000, gap: float = 0.001, size: int = 1000) -> list[list[float]]:
    link = ImpairedLink(impairment, seed=1)
    return [link.send(size, now=i * gap) for i in range(count)]


def test_loss_and_duplication_are_shares() -> None:
    lost = arrivals(Impairment(loss=0.2))
    assert sum(not times for times in lost) / 2000 == pytest.approx(0.2, abs=0.03)
    twice = arrivals(Impairment(duplicate=0.1))
    assert sum(len(times) == 2 for times in twice) / 2000 == pytest.approx(0.1, abs=0.03)


def test_delay_and_jitter_keep_the_order() -> None:
    times = [at for (at,) in arrivals(Impairment(delay=0.03, jitter=0.01))]
    assert times == sorted(times)
    delays = [at - i * 0.001 for i, at in enumerate(times)]
    assert 0.019 < min(delays) < 0.028
    assert 0.032 < max(delays) < 0.045


def test_reordering_breaks_it() -> None:
    times = [at for (at,) in arrivals(Impairment(delay=0.02, reorder=0.1))]
    assert times != sorted(times)


def test_a_rate_queues_and_then_drops() -> None:
    link = ImpairedLink(Impairment(rate=100_000, queue=0.1), seed=1)
    taken = [link.send(1000, now=0.0) for _ in range(20)]
    assert [times[0] for times in taken[:10]] == pytest.approx([0.01 * (i + 1) for i in range(10)])
    assert taken[10:] == [[]] * 10
    assert link.dropped == 10


def test_an_outage_swallows_everything() -> None:
    times = arrivals(Impairment(outages=((0.5, 1.0),)))
    assert all(not t for t in times[500:1000])
    assert all(times[:500])
    assert all(times[1000:])


def test_the_same_seed_gives_the_same_history() -> None:
    impairment = Impairment(loss=0.3, delay=0.02, jitter=0.01, reorder=0.1, duplicate=0.1)
    assert arrivals(impairment) == arrivals(impairment)
    assert arrivals(impairment) != arrivals(replace(impairment, loss=0.31))
