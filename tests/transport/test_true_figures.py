"""What the status says of a link is what the link does."""

import re
from dataclasses import replace

import pytest

from simnet import Network, Traffic, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.events import PathStatus
from tandem_transport.path.status import PathSigns, evaluate
from tandem_transport.session.reports import Reports
from tandem_transport.wire.frames import Mode, PathLimit, PathLimitsFrame

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
        ({"arriving_rate": 250_000.0}, "usable", "drops what exceeds 2 Mbit/s on its way here"),
        (
            {"policed_rate": 250_000.0, "arriving_rate": 1_250_000.0},
            "usable",
            "drops what exceeds 2 Mbit/s, or 10 Mbit/s on its way here",
        ),
    ],
)
def test_the_cause_is_named(signs: dict[str, float], status: str, reason: str) -> None:
    good = PathSigns(True, 0.0, 0, False, 0.01, 0.030, 0.030, "")
    assert evaluate(good._replace(**signs)) == (status, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("allowed", [1, 4])
def test_both_ends_say_which_link_is_policed(allowed: float) -> None:
    """Only the end that sends can find it out; it tells the other one, which takes the drops for no fault."""
    fast = Impairment(delay=0.020, rate=mbit(50))
    policed = replace(fast, police=mbit(allowed), police_burst=16_000)
    network = Network(fast, server_links=[policed], mode=Mode.ADAPTIVE).connect()
    download = Traffic(network).download(int(mbit(allowed) * 30))
    network.run(15)
    assert not download.is_done
    (path,) = network.client.connection.stats(now=network.now).paths
    assert path.status is PathStatus.USABLE
    rate = re.fullmatch(r"drops what exceeds ([0-9.]+) Mbit/s on its way here", path.reason)
    assert rate is not None, path.reason
    assert float(rate[1]) == pytest.approx(allowed, rel=0.25)
    (path,) = network.server.connection.stats(now=network.now).paths
    assert re.fullmatch(r"drops what exceeds [0-9.]+ Mbit/s", path.reason)


def test_a_limit_that_is_not_repeated_is_forgotten_and_an_older_frame_ignored() -> None:
    network = Network(FAST, mode=Mode.ADAPTIVE).connect()
    paths, reports = network.client.connection._paths, Reports(tells_limits=True)  # pyright: ignore[reportPrivateUsage]
    counters = paths.by_id[0].counters
    limits = PathLimitsFrame(7, (PathLimit(0, 125_000), PathLimit(3, 1)))
    reports.take_limits(limits, paths.by_id, now=10.0)
    reports.take_limits(PathLimitsFrame(6, (PathLimit(0, 1),)), paths.by_id, now=11.0)
    assert counters.peer_limit(now=14.9) == 125_000
    assert counters.peer_limit(now=15.1) == 0


def test_what_the_peer_counts_is_told_as_long_as_a_download_lasts() -> None:
    """A server whose application has handed over all its data long ago still sends it."""
    slow = replace(FAST, rate=mbit(0.5), loss=0.05)
    network = Network(slow, mode=Mode.ADAPTIVE).connect()
    download = Traffic(network).download(3_000_000)
    network.run(15)
    before = network.client.connection.stats(now=network.now).copy_bytes
    network.run(10)
    assert not download.is_done
    assert network.client.connection.stats(now=network.now).copy_bytes > before
