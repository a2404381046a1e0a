"""Two servers with one registry: one invite names both, and a client moves when one of them goes away."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres
from loopback.processes import Pair, run_tandem
from loopback.target import Target
from tandem.config.invites import FLEET_PREFIX, decode_invites

assert sys.platform != "win32"  # see conftest.py

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


class FleetPair(Pair):
    """A server of a fleet; the client of the first is the fleet's."""

    def __init__(self, directory: Path, name: str, url: str) -> None:
        directory.mkdir()
        super().__init__(directory)
        self.name = name
        more = {
            "TANDEM_REGISTRY__URL": url,
            "TANDEM_SERVER__PUBLIC": json.dumps(self.endpoints),
            "TANDEM_SERVER__NAME": name,
        }
        self.environment.update(more)

    def servers(self) -> dict[str, str]:
        """The state of each server of the fleet."""
        done = run_tandem("servers", "--json", "--state", str(self.state), environment=self.environment)
        assert done.returncode == 0, done.stderr
        return {server["name"]: server["state"] for server in json.loads(done.stdout)}

    def fleet_invite(self, name: str) -> str:
        done = run_tandem("invite", name, "--state", str(self.state), environment=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    if postgres.missing():
        pytest.skip(postgres.missing())
    with postgres.running_cluster() as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, cluster: postgres.Cluster) -> Iterator[list[FleetPair]]:
    url = cluster.make_database()
    made = [FleetPair(tmp_path / name, name, url) for name in ("aachen", "berlin")]
    try:
        for one in made:
            one.start_server()
        made[0].wait(lambda: made[0].servers() == {"aachen": "up", "berlin": "up"}, "both servers in the registry")
        yield made
    finally:
        for one in made:
            one.close()


def server_of(fleet: list[FleetPair]) -> FleetPair:
    """The server with which the client has its session."""
    remote = fleet[0].client_status()["session"]["server"]
    return next(one for one in fleet if remote in one.endpoints)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_moves_from_a_server_that_ends_to_the_other(end: signal.Signals, fleet: list[FleetPair]) -> None:
    invite = fleet[0].fleet_invite("laptop")
    assert invite.startswith(FLEET_PREFIX)
    assert {one.endpoints for one in decode_invites(invite)} == {tuple(one.endpoints) for one in fleet}
    first = fleet[0]
    first.start_client(invite, *LINKS)
    target = Target()
    assert first.curl(target.url("bytes/100000")).stdout == target.content(100_000)
    present = server_of(fleet)
    (other,) = [one for one in fleet if one is not present]
    assert present.server is not None
    os.kill(present.server.pid, end)
    first.wait(lambda: server_of(fleet) is other and first.session_state() == "up", "a session with the other server")
    assert first.curl(target.url("bytes/100000")).stdout == target.content(100_000)
    if end == signal.SIGTERM:
        assert "connections are reset" not in first.log("client"), "it was told in time"
        assert first.servers()[present.name] == "draining"
    target.close()


def test_a_change_of_a_client_reaches_all_servers(fleet: list[FleetPair]) -> None:
    invite = fleet[0].fleet_invite("laptop")
    fleet[0].start_client(invite, *LINKS)
    at = ("--state", str(fleet[1].state))
    done = run_tandem("clients", "disable", "laptop", *at, environment=fleet[1].environment)
    assert done.returncode == 0, done.stderr
    first = fleet[0]
    first.wait(lambda: "has disabled this client" in first.client_status()["session"]["reason"], "a refusal")


def test_servers_are_listed_and_forgotten(fleet: list[FleetPair]) -> None:
    at = ("--state", str(fleet[0].state))
    done = run_tandem("servers", *at, environment=fleet[0].environment)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["aachen", "berlin"]
    fleet[1].close()
    done = run_tandem("servers", "--forget", "berlin", *at, environment=fleet[0].environment)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["aachen"]
    done = run_tandem("servers", "--forget", "nobody", *at, environment=fleet[0].environment)
    assert done.returncode == 2
    assert "no server 'nobody'" in done.stderr
    assert not fleet[0].fleet_invite("phone").startswith(FLEET_PREFIX)
