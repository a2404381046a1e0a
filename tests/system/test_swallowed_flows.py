"""Flows that the network swallows until a new one is begun, dead families, and a system that refuses to send. Real
processes between network namespaces, with netfilter at the server's host."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback import Download, Hosts, Pair, Target

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in ("ip", "iptables", "conntrack", "curl")),
    reason="needs iproute2, iptables, conntrack and curl",
)

SIZE = 30_000_000
PORTS = ("8120", "8121")
INSIDE = ("9120", "9121")
"""Where the server listens behind a host that redirects the ports."""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    try:
        made = Hosts()
        made.run(made.server, "iptables", "-t", "nat", "-L")
    except OSError as error:
        pytest.skip(f"no network namespaces, or no netfilter in them: {error}")
    made.plug("wan0", "10.80.0.2/24", "10.80.0.1/24")
    made.plug("wan1", "10.81.0.2/24", "10.81.0.1/24")
    yield made
    made.close()


@pytest.fixture
def pair(tmp_path: Path, hosts: Hosts) -> Iterator[Pair]:
    made = Pair(tmp_path, Hosts.command(hosts.client), Hosts.command(hosts.server))
    made.listen = [f"0.0.0.0:{port}" for port in PORTS]
    made.endpoints = [f"10.80.0.1:{PORTS[0]}", f"10.81.0.1:{PORTS[1]}"]
    yield made
    made.close()


@pytest.fixture
def target(hosts: Hosts) -> Iterator[Target]:
    made = Target(hosts.listen(hosts.server))
    yield made
    made.close()


LINKS = ("--link", "a=wan0@10.80.0.1:8120", "--link", "b=wan1@10.81.0.1:8121")


def links(pair: Pair) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in pair.client_status()["links"]}


def all_work(pair: Pair) -> bool:
    return all(item["state"] in ("usable", "degraded") for item in links(pair).values())


def local_ports(pair: Pair) -> set[str]:
    return {str(item["local"]).rpartition(":")[2] for item in links(pair).values()}


def redirect(hosts: Hosts, action: str) -> None:
    """The rules by which a host hands the ports of its containers on: -A or -D."""
    for port, inside in zip(PORTS, INSIDE, strict=True):
        rule = ["PREROUTING", "-p", "udp", "--dport", port, "-j", "REDIRECT", "--to-ports", inside]
        hosts.run(hosts.server, "iptables", "-t", "nat", action, *rule)


def forget(hosts: Hosts) -> None:
    """What is said to a container that is gone."""
    redirect(hosts, "-D")
    hosts.run(hosts.server, "conntrack", "-F")


def start_behind_redirect(hosts: Hosts, pair: Pair) -> None:
    # Another rule keeps the host's memory of flows awake.
    rule = ["PREROUTING", "-p", "tcp", "--dport", "9", "-j", "REDIRECT", "--to-ports", "9"]
    hosts.run(hosts.server, "iptables", "-t", "nat", "-A", *rule)
    redirect(hosts, "-A")
    pair.listen = [f"0.0.0.0:{port}" for port in INSIDE]
    pair.start_server()


def test_a_nat_that_drops_the_ports_in_use(hosts: Hosts, pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    pair.wait(lambda: all_work(pair), "both links")
    download = Download(pair, target, SIZE)
    dropped = local_ports(pair)
    for port in dropped:
        hosts.run(hosts.server, "iptables", "-A", "INPUT", "-p", "udp", "--sport", port, "-j", "DROP")
    pair.wait(lambda: not dropped & local_ports(pair) and all_work(pair), "both links by other ports")
    download.check()
    assert pair.log("client").count("session with the server is up") == 1


def come_back(hosts: Hosts, pair: Pair) -> None:
    """The server's host hands its ports on again, and remembers what came meanwhile."""
    assert "UNREPLIED" in hosts.run(hosts.server, "conntrack", "-L")
    redirect(hosts, "-A")
    pair.wait(lambda: pair.session_state() == "up" and all_work(pair), "a session over both links")
    assert pair.log("client").count("session with the server is up") == 1


def test_a_host_that_remembers_flows_from_while_its_server_was_away(hosts: Hosts, pair: Pair, target: Target) -> None:
    invite = pair.invite()
    start_behind_redirect(hosts, pair)
    pair.start_client(invite, *LINKS)
    pair.wait(lambda: all_work(pair), "both links")
    download = Download(pair, target, SIZE)
    forget(hosts)
    pair.wait(lambda: pair.session_state() == "outage", "the outage")
    come_back(hosts, pair)
    download.check()


def test_a_host_that_remembers_flows_from_before_its_server_was_there(hosts: Hosts, pair: Pair) -> None:
    invite = pair.invite()
    start_behind_redirect(hosts, pair)
    forget(hosts)
    pair.start_client(invite, *LINKS, wait=False)
    pair.wait(lambda: "no answer from 10.80.0.1:8120, 10.81.0.1:8121 for" in pair.log("client"), "the complaint")
    come_back(hosts, pair)


def test_a_name_with_both_families_where_ipv4_is_dead(hosts: Hosts, pair: Pair) -> None:
    for side, host in (("2", hosts.client), ("1", hosts.server)):
        hosts.ip(host, "addr", "add", f"fd80::{side}/64", "dev", "wan0", "nodad")
    etc = Path(f"/etc/netns/{hosts.client}")
    etc.mkdir(parents=True)
    try:
        (etc / "hosts").write_text("127.0.0.1 localhost\n10.80.0.1 srv.example\nfd80::1 srv.example\n")
        pair.listen += [f"[::]:{port}" for port in PORTS]
        pair.endpoints = [f"srv.example:{port}" for port in PORTS]
        invite = pair.invite()
        pair.start_server()
        hosts.run(hosts.server, "iptables", "-A", "INPUT", "-p", "udp", "-j", "DROP")
        pair.start_client(invite, "--link", "a=wan0")
        assert links(pair)["a"]["remote"].startswith("[fd80::1]:")
    finally:
        shutil.rmtree(etc)


def test_a_system_that_refuses_to_send_says_why(hosts: Hosts, pair: Pair) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    pair.wait(lambda: all_work(pair), "both links")
    rule = ["OUTPUT", "-p", "udp", "-o", "wan1", "-j", "REJECT"]
    hosts.run(hosts.client, "iptables", "-A", *rule)
    said = "Operation not permitted, says the system"
    pair.wait(lambda: said in links(pair)["b"]["reason"], "the system's words")
    assert links(pair)["b"]["state"] == "down"
    assert f"link b is down ({said}; no answer)" in pair.log("client")
    hosts.run(hosts.client, "iptables", "-D", *rule)
    pair.wait(lambda: all_work(pair), "both links again")
    assert pair.log("client").count("Operation not permitted\n") <= 2, "one line of the socket, one of the link"
