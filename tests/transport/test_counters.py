"""Figures of a path that people look at: each over its own period."""

import pytest

from tandem_transport.path.counters import PathCounters


def test_each_figure_has_its_period() -> None:
    counters = PathCounters()
    counters.on_sent(1000, now=1.0)
    assert counters.rates(now=1.95) == (1000, 0)
    assert counters.rates(now=2.0) == (0, 0)
    counters.on_acked(1, now=1.9)
    counters.on_received(100, 1, now=1.9)
    assert counters.received_and_missing(now=10.9) == (1, 0)
    assert counters.received_and_missing(now=11.0) == (0, 0)
    assert counters.loss_sent(now=10.9) == 0.0
    assert counters.loss_sent(now=11.0) is None
    counters.on_won(now=5.9)
    assert counters.won(now=59.0) == 1
    assert counters.won(now=60.0) == 0


def test_the_peer_may_miss_as_many_packets_as_it_got() -> None:
    counters = PathCounters()
    counters.on_peer_count(2, 2)
    assert counters.loss_at_peer == pytest.approx(0.5)
