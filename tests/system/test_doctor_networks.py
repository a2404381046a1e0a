"""`tandem doctor` between network namespaces: filters, routes, packet sizes and addresses that are really so.

Needs root and Linux, else the tests skip; the one with a firewall also needs nft or iptables. Each runs for 10 to
30 s: the doctor waits six seconds for what never comes.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from loopback import Hosts, Pair, Routed, run_tandem

pytestmark = pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")

V4, V6 = "10.90.0.2:8120", "[fd90::2]:8120"

_number = count(1)

Findings = dict[tuple[str, str], dict[str, str]]


@pytest.fixture
def net() -> Iterator[Routed]:
    try:
        made = Routed()
    except OSError as error:
        pytest.skip(f"no network namespaces: {error}")
    yield made
    made.close()


@pytest.fixture
def pair(tmp_path: Path, net: Routed) -> Iterator[Pair]:
    made = Pair(tmp_path, Hosts.command(net.client), Hosts.command(net.server))
    made.listen = ["0.0.0.0:8120", "[::]:8120"]
    made.endpoints = [V4]
    made.start_server()
    yield made
    made.close()


def examine(net: Routed, pair: Pair, *links: str) -> tuple[int, Findings]:
    given = [item for link in links for item in ("--link", link)]
    admin = f"127.0.0.1:{pair.client_admin}"
    done = run_tandem(
        *("doctor", "-", *given, "--socks", pair.proxy, "--admin", admin, "--json"),
        at=Hosts.command(net.client),
        environment=pair.environment,
        stdin=pair.invite(f"doctor-{next(_number)}"),
        limit=200,
    )
    assert done.stdout, done.stderr
    return done.returncode, {(item["subject"], item["check"]): item for item in json.loads(done.stdout)}


def told(found: Findings, subject: str) -> str:
    return " ".join(f"{item['text']} {item['advice']}" for (about, _), item in found.items() if about == subject)


def test_a_strict_reverse_path_filter(net: Routed, pair: Pair) -> None:
    net.set(net.client, "net/ipv4/conf/all/rp_filter", 1)
    code, found = examine(net, pair)
    assert code == 1
    assert found["wan0", V4]["verdict"] == "ok"
    assert "reverse path filtering is strict" in found["wan1", "server"]["text"]
    assert "sysctl -w net.ipv4.conf.all.rp_filter=2" in found["wan1", "server"]["advice"]
    for wrong in ("captive portal", "is the server running", "block UDP"):
        assert wrong not in told(found, "wan1")


def test_a_filter_is_not_blamed_for_what_it_does_not_drop(net: Routed, pair: Pair) -> None:
    net.set(net.client, "net/ipv4/conf/all/rp_filter", 1)
    net.ip(net.router, "route", "add", "blackhole", "10.90.0.2/32")
    _, found = examine(net, pair)
    assert "reverse path" not in str(found)
    assert "captive portal" in found["wan1", "server"]["advice"]


@pytest.mark.parametrize(("mtu", "size", "size_v6"), [(1280, 1252, 1200), (1420, 1392, 1352), (1492, 1452, 1432)])
def test_narrow_links_lose_nothing(net: Routed, pair: Pair, mtu: int, size: int, size_v6: int) -> None:
    net.narrow(mtu)
    pair.endpoints = [V4]
    code, found = examine(net, pair, "a=wan0")
    pair.endpoints = [V6]
    code_v6, found_v6 = examine(net, pair, "a=wan0")
    assert (code, code_v6) == (0, 0)
    for place, seen, expected in ((V4, found, size), (V6, found_v6, size_v6)):
        assert seen["a", place]["verdict"] == "ok"
        assert seen["a", place]["text"].endswith("loss 0% there and back")
        assert seen["a", "packet size"] == {
            "subject": "a",
            "check": "packet size",
            "verdict": "ok",
            "text": f"{expected} bytes of UDP payload to {place}",
            "advice": "",
        }


def test_a_link_that_is_too_narrow(net: Routed, pair: Pair) -> None:
    net.narrow(1100)
    code, found = examine(net, pair, "a=wan0")
    assert code == 1
    assert found["a", "packet size"]["text"] == "packets of 1200 bytes do not arrive; largest that does: 1072"
    assert found["a", V4]["text"].endswith("loss 0% there and back")


def test_a_link_that_has_lost_its_default_route(net: Routed, pair: Pair) -> None:
    net.default_route("del", 1)
    net.ip(net.client, "route", "add", "192.0.2.0/24", "via", "10.81.0.1", "dev", "wan1")
    code, found = examine(net, pair, "a=wan0", "lte=wan1")
    assert code == 1
    assert found["lte", V4]["text"] == "it has no default route"
    assert "`ip route add default via 10.81.0.1 dev wan1 metric 200`" in found["lte", V4]["advice"]
    assert "captive portal" not in told(found, "lte")


def test_a_link_of_a_running_client_that_is_none_now(net: Routed, pair: Pair) -> None:
    pair.start_client(pair.invite("laptop"))
    pair.wait(lambda: len(pair.client_status()["links"]) == 2, "both links")
    net.default_route("del", 1)
    net.ip(net.client, "-6", "route", "del", "default", "dev", "wan1")
    code, found = examine(net, pair)
    assert code == 1
    assert found["wan1", "route"]["text"] == "it is up with 10.81.0.2, but has no default route any more"
    assert "`ip route add default via GATEWAY dev wan1 metric 200`" in found["wan1", "route"]["advice"]
    assert "often 10.81.0.1" in found["wan1", "route"]["advice"]


def test_an_address_family_that_is_dead(net: Routed, pair: Pair) -> None:
    net.name_server("srv.example")
    net.ip(net.router, "route", "add", "blackhole", "10.90.0.2/32")
    pair.endpoints = ["srv.example:8120"]
    code, found = examine(net, pair, "wifi=wan0")
    assert code == 0
    text = f"IPv4 {V4} does not answer over wifi, IPv6 {V6} does"
    assert found["wifi", "addresses of srv.example:8120"]["text"] == text
    assert f"--link wifi=wan0@{V6}" in found["wifi", "addresses of srv.example:8120"]["advice"]
    assert found["wifi", "srv.example:8120"]["verdict"] == "ok"


def test_a_firewall_of_this_machine(net: Routed, pair: Pair) -> None:
    if shutil.which("nft"):
        chain = "add chain inet t out { type filter hook output priority 0; }"
        rules = f"add table inet t; {chain}; add rule inet t out oifname wan1 udp dport 8120 drop"
        net.run(net.client, "nft", rules)
    elif shutil.which("iptables"):
        drop = ("-A", "OUTPUT", "-o", "wan1", "-p", "udp", "--dport", "8120", "-j", "DROP")
        net.run(net.client, "iptables", *drop)
    else:
        pytest.skip("needs nft or iptables")
    code, found = examine(net, pair)
    assert code == 1
    assert found["wan0", V4]["verdict"] == "ok"
    assert found["wan1", V4]["text"].startswith("Operation not permitted: a firewall on this machine")
    assert "nft list ruleset" in found["wan1", V4]["advice"]
    assert "captive portal" not in told(found, "wan1")
