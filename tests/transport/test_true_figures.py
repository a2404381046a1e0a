"""What the status says of a link is what the link does."""

from dataclasses import replace

import pytest

from simnet import Network, Traffic, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.path.status import PathSigns, evaluate
from tandem_transport.wire.frames import Mode

FAST = Impairment(delay=0.015, rate=mbit(20))
SLOW = Impairment(delay=0.040, rate=mbit(8))
MODES = [Mode.DUPLICATE, Mode.ADAPTIVE]


@pytest.mark.sampled
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_loss_towards_the_client_is_told_as_that_within_fifteen_seconds(mode: Mode, seed: int) -> None:
    fast, slow = replace(FAST, rate=mbit(4)), replace(SLOW, rate=mbit(2))
    network = Network(fast, slow, server_links=[fast, replace(slow, loss=0.15)], mode=mode, seed=seed).connect()
    Traffic(network).download(100_000_000)
    network.run(15)
    a, b = network.client.connection.stats(now=network.now).paths
    assert b.loss_received is not None
    assert 0.12 <= b.loss_received <= 0.18
    for clean in (b.loss_sent, a.loss_sent, a.loss_received):
        assert clean is not None
        assert clean < 0.02


@pytest.mark.parametrize("mode", MODES)
def test_round_trip_times_are_those_of_the_links(mode: Mode) -> None:
    network = Network(FAST, replace(SLOW, loss=0.15), mode=mode).connect()
    Traffic(network).echo(count=100, gap=0.05).finish()
    for path, link in zip(network.client.connection.stats(now=network.now).paths, (FAST, SLOW), strict=True):
        assert path.rtt_min == pytest.approx(2 * link.delay, rel=0.10)
        assert path.rtt_smoothed == pytest.approx(2 * link.delay, rel=0.10)


@pytest.mark.parametrize(
    ("signs", "status", "reason"),
    [
        ({"smoothed_rtt": 0.2, "queue_delay": 0.15}, "degraded", "queue of 150 ms"),
        ({"smoothed_rtt": 0.2, "queue_delay": 0.03}, "degraded", "round trip over 3 x its minimum"),
        ({"loss": 0.2, "queue_delay": 0.15}, "degraded", "queue of 150 ms"),
        ({"loss": 0.2, "queue_delay": 0.02}, "degraded", "loss over 10%"),
        ({"policed_rate": 250_000.0}, "usable", "drops what exceeds 2 Mbit/s"),
    ],
)
def test_the_cause_is_named(signs: dict[str, float], status: str, reason: str) -> None:
    good = PathSigns(True, 0.0, 0, False, 0.01, 0.030, 0.030, "")
    assert evaluate(good._replace(**signs)) == (status, reason)  # type: ignore[arg-type]
