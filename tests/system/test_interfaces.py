"""Interfaces that are taken down, re-addressed, deleted and made again, for real, between network namespaces."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback import Download, Hosts, Pair, Target

pytestmark = pytest.mark.skipif(
    shutil.which("ip") is None or shutil.which("curl") is None, reason="needs iproute2 and curl"
)

SIZE = 30_000_000


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    try:
        made = Hosts()
    except OSError as error:
        pytest.skip(f"no network namespaces: {error}")
    yield made
    made.close()


@pytest.fixture
def pair(tmp_path: Path, hosts: Hosts) -> Iterator[Pair]:
    made = Pair(tmp_path, Hosts.command(hosts.client), Hosts.command(hosts.server))
    made.listen = ["0.0.0.0:8120", "[::]:8120"]
    made.endpoints = ["10.80.0.1:8120", "10.81.0.1:8120"]
    yield made
    made.close()


@pytest.fixture
def target(hosts: Hosts) -> Iterator[Target]:
    made = Target(hosts.listen(hosts.server))
    yield made
    made.close()


def link(pair: Pair, name: str) -> dict[str, Any]:
    (found,) = (link for link in pair.client_status()["links"] if link["name"] == name)
    return dict(found)


def is_usable(pair: Pair, name: str, local: str = "") -> bool:
    found = link(pair, name)
    return found["state"] in ("usable", "degraded") and (found["local"] or "").startswith(local)


def one_session(pair: Pair) -> None:
    """Nothing of all this has ended the session."""
    assert pair.log("client").count("session with the server is up") == 1
    status = pair.status(pair.server_admin)
    assert status is not None
    assert len(status["sessions"]) == 1


def test_links_that_are_readdressed_and_made_again_in_mid_transfer(hosts: Hosts, pair: Pair, target: Target) -> None:
    hosts.plug("wan0", "10.80.0.2/24", "10.80.0.1/24")
    hosts.plug("wan1", "10.81.0.2/24", "10.81.0.1/24")
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, "--link", "a=wan0@10.80.0.1:8120", "--link", "b=wan1@10.81.0.1:8120")
    pair.wait(lambda: is_usable(pair, "a") and is_usable(pair, "b"), "both links")
    download = Download(pair, target, SIZE)
    # Another address on the same interface.
    hosts.readdress("wan0", "10.80.0.2/24", "10.80.0.77/24")
    pair.wait(lambda: is_usable(pair, "a", "10.80.0.77"), "link a at its new address")
    # The interface is gone; an interface of the same name comes, with another address.
    hosts.unplug("wan1")
    pair.wait(lambda: link(pair, "b")["state"] == "down", "link b down")
    assert link(pair, "b")["reason"] == "there is no interface wan1 now, or it is down"
    hosts.plug("wan1", "10.81.0.99/24", "10.81.0.1/24")
    pair.wait(lambda: is_usable(pair, "b", "10.81.0.99"), "link b again")
    # The same name and the same address, but another interface: the old socket is bound to nothing.
    hosts.unplug("wan1")
    hosts.plug("wan1", "10.81.0.99/24", "10.81.0.1/24")
    # Both at once.
    hosts.ip(hosts.client, "link", "set", "wan0", "down")
    hosts.ip(hosts.client, "link", "set", "wan0", "up")
    pair.wait(lambda: is_usable(pair, "a") and is_usable(pair, "b"), "both links again")
    download.check()
    one_session(pair)
    assert [item["path_id"] for item in pair.client_status()["links"]] == [0, 1]
    assert target.connections == 1


def test_links_are_found_while_running_and_may_speak_ipv6(hosts: Hosts, pair: Pair, target: Target) -> None:
    pair.endpoints = ["10.80.0.1:8120", "[fd81::1]:8120"]
    invite = pair.invite()
    pair.start_server()
    # The client is there before any network is.
    pair.start_client(invite, wait=False)
    pair.wait(lambda: "waiting for one" in pair.log("client"), "the warning")
    hosts.plug("wan0", "10.80.0.2/24", "10.80.0.1/24")
    hosts.ip(hosts.client, "route", "add", "default", "via", "10.80.0.1")
    pair.wait(lambda: pair.session_state() == "up", "a session over the first interface")
    hosts.plug("wan6", "fd81::2/64", "fd81::1/64")
    hosts.ip(hosts.client, "-6", "route", "add", "default", "via", "fd81::1")
    pair.wait(lambda: len(pair.client_status()["links"]) == 2, "a second link")
    pair.wait(lambda: is_usable(pair, "wan6", "[fd81::2]"), "the IPv6 link")
    download = Download(pair, target, SIZE)
    pair.wait(lambda: pair.client_status()["session"]["bytes_down"] > 1_000_000, "data")
    hosts.unplug("wan0")
    pair.wait(lambda: link(pair, "wan0")["state"] == "down", "the first link down")
    download.check()
    one_session(pair)
    assert {item["name"]: item["path_id"] for item in pair.client_status()["links"]} == {"wan0": 0, "wan6": 1}
