"""A link of which one direction works: both ends say which, and a healthy link is never taken for one."""

from dataclasses import replace

import pytest

from simnet import Network, Traffic, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.session.stats import PathStats
from tandem_transport.wire.frames import Mode, PathPreference, PathUse

FAST = Impairment(delay=0.015, rate=mbit(20))
SLOW = Impairment(delay=0.040, rate=mbit(8))
FAR = Impairment(delay=0.320, rate=mbit(20))
DEAF = "what is sent arrives, nothing comes back"
MUTE = "nothing that is sent here arrives"
MODES = [Mode.DUPLICATE, Mode.ADAPTIVE]


def path(network: Network, end: str, path_id: int = 1) -> PathStats:
    peer = network.client if end == "client" else network.server
    return peer.connection.stats(now=network.now).paths[path_id]


def told(network: Network, end: str, path_id: int = 1) -> tuple[str, str]:
    if len((network.client if end == "client" else network.server).connection.stats(now=network.now).paths) <= path_id:
        return "probing", ""
    found = path(network, end, path_id)
    if found.reason in (DEAF, MUTE):
        assert (found.rtt_latest, found.rtt_smoothed, found.rtt_min, found.rtt_p95) == (None,) * 4
    return found.status.value, found.reason


def is_said(network: Network, client: str, server: str) -> bool:
    return told(network, "client") == ("degraded", client) and told(network, "server") == ("degraded", server)


def is_well(network: Network) -> bool:
    ends = [path(network, end) for end in ("client", "server")]
    return all(end.status.value == "usable" and end.rtt_smoothed is not None for end in ends)


@pytest.mark.parametrize("link", [SLOW, FAR])
@pytest.mark.parametrize("mode", MODES)
def test_a_link_that_never_delivers_to_the_client_is_never_usable(mode: Mode, link: Impairment) -> None:
    network = Network(FAST, link, server_links=[FAST, replace(link, loss=1.0)], mode=mode).connect()
    Traffic(network).echo(count=300)
    network.run_until(lambda: is_said(network, DEAF, MUTE), limit=3)
    for _ in range(40):
        network.run(0.5)
        assert is_said(network, DEAF, MUTE)
    statuses = [status for peer in (network.client, network.server) for _, path_id, status in peer.statuses if path_id]
    assert "usable" not in statuses


@pytest.mark.sampled
@pytest.mark.parametrize("link", [SLOW, FAR])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("work", ["echo", "download", "upload", "open"])
def test_a_direction_dies_and_returns(work: str, direction: str, mode: Mode, link: Impairment) -> None:
    network = Network(FAST, link, mode=mode).connect()
    start(network, work)
    network.run(5)
    network.change(1, after=0, directions=direction, loss=1.0)
    said = (DEAF, MUTE) if direction == "down" else (MUTE, DEAF)
    network.run_until(lambda: is_said(network, *said), limit=3)
    for _ in range(50):
        network.run(0.5)
        assert is_said(network, *said)
    network.change(1, after=0, directions=direction, loss=0.0)
    network.run_until(lambda: is_well(network), limit=2.5)


def start(network: Network, work: str) -> None:
    """Something that goes on for a minute and a half, or a stream that is open and quiet now."""
    traffic = Traffic(network)
    match work:
        case "echo":
            traffic.echo(count=900)
        case "download":
            traffic.stream(rate=40_000, frame=0.1, seconds=90)
        case "upload":
            traffic.echo(count=12, gap=8.0)
            for number in range(9):
                network.after(10.0 * number, lambda: _upload(traffic))
        case _:
            traffic.echo(count=12, gap=8.0)


def _upload(traffic: Traffic) -> None:
    traffic.upload(400_000)


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("after", [0.0, 3.0, 14.9])
def test_an_idle_session_says_it_within_a_keep_alive(direction: str, after: float) -> None:
    network = Network(FAST, SLOW).connect()
    network.run(40 + after)
    network.change(1, after=0, directions=direction, loss=1.0)
    said = (DEAF, MUTE) if direction == "down" else (MUTE, DEAF)
    network.run_until(lambda: is_said(network, *said), limit=18)
    for _ in range(60):
        network.run(1)
        assert is_said(network, *said)
    network.change(1, after=0, directions=direction, loss=0.0)
    network.run_until(lambda: is_well(network), limit=17)


@pytest.mark.sampled
@pytest.mark.parametrize("use", [PathUse.METERED, PathUse.BACKUP])
@pytest.mark.parametrize("spared", [0, 1])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_links_that_cost_money_are_judged_too(use: PathUse, spared: int, direction: str) -> None:
    network = Network(FAST, SLOW).connect()
    network.client.connection.set_policy(Mode.ADAPTIVE, (PathPreference(spared, use, 0),))
    Traffic(network).echo(count=900)
    network.run(20)
    network.change(1, after=0, directions=direction, loss=1.0)
    said = (DEAF, MUTE) if direction == "down" else (MUTE, DEAF)
    is_asked_rarely = use is PathUse.BACKUP and spared == 1
    network.run_until(lambda: is_said(network, *said), limit=18 if is_asked_rarely else 3)


def test_both_directions_dead_are_down() -> None:
    network = Network(FAST, SLOW).connect()
    Traffic(network).echo(count=900)
    network.run(5)
    network.change(1, after=0, directions="down", loss=1.0)
    network.change(1, after=10, directions="up", loss=1.0)
    network.run(15)
    for end in ("client", "server"):
        assert told(network, end) == ("down", "no answer")
        assert path(network, end).rtt_smoothed is None
    network.change(1, after=0, directions="up", loss=0.0)
    network.run_until(lambda: is_said(network, DEAF, MUTE), limit=4)


def test_a_session_whose_only_link_is_mute_is_out() -> None:
    network = Network(FAST).connect()
    Traffic(network).echo(count=100)
    network.run(3)
    network.change(0, after=0, directions="up", loss=1.0)
    network.run(3)
    assert told(network, "client", 0) == ("degraded", MUTE)
    assert network.client.connection.is_out


@pytest.mark.sampled
@pytest.mark.parametrize("work", ["idle", "open", "echo", "download", "upload"])
@pytest.mark.parametrize(
    "link", [SLOW, FAR, replace(SLOW, loss=0.3), replace(FAR, loss=0.3), replace(FAST, delay=0.001)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_healthy_link_is_never_called_one_way(link: Impairment, work: str, seed: int) -> None:
    network = Network(FAST, link, mode=Mode.ADAPTIVE, seed=seed).connect()
    if work != "idle":
        start(network, work)
    for _ in range(150):
        network.run(0.3)
        for end in ("client", "server"):
            for path_id in (0, 1):
                state, reason = told(network, end, path_id)
                assert reason not in (DEAF, MUTE), network.now
                assert state != "down" or link.loss
