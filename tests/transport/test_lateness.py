"""No link is blamed for what this machine itself is late with."""

import pytest

from simnet import Network, Traffic, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.path.status import DEAF, MUTE
from tandem_transport.wire.frames import Mode

FAST = Impairment(delay=0.015, rate=mbit(20))
SLOW = Impairment(delay=0.040, rate=mbit(20))

_SILENT = ("an answer is late", DEAF, MUTE)


@pytest.mark.sampled
@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_busy_machine_is_no_fault_of_its_links(mode: Mode, seed: int) -> None:
    network = Network(FAST, SLOW, mode=mode, seed=seed, is_busy=True).connect()
    traffic = Traffic(network)
    traffic.echo(count=90)
    traffic.download(3_000_000)
    seen = set[tuple[str, int, str]]()
    for _ in range(60):
        network.run(0.1)
        for name, peer in (("c", network.client), ("s", network.server)):
            for path in peer.connection.stats(now=network.now).paths:
                if path.status.value == "down" or path.reason in _SILENT:
                    seen.add((name, path.path_id, path.reason))
    assert not seen


@pytest.mark.parametrize("seconds", [0.3, 2.0, 10.0])
def test_a_process_that_was_stopped_blames_no_link(seconds: float) -> None:
    network = Network(FAST, SLOW, mode=Mode.ADAPTIVE).connect()
    Traffic(network).echo(count=400)
    network.run(5)
    begin, end = network.now, network.now + seconds
    core = network.client_core
    core.runs_at = lambda time: end if begin <= time < end else time  # type: ignore[method-assign]
    network.client.statuses.clear()
    network.run(seconds + 5)
    assert not network.client.statuses
