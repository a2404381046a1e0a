"""What `tandem doctor` reads on this machine, and the words in which it tells what it has found. No network."""

import errno
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tandem.admin.status import ClientStatus, LinkStatus, RttStatus, SessionStatus
from tandem.config.config import Config, LinkConfig, SocksConfig
from tandem.doctor import machine as doctor_machine
from tandem.doctor.doctor import chosen_links
from tandem.doctor.findings import Finding
from tandem.doctor.link import Asked, half_dead, silence_advice
from tandem.doctor.machine import (
    bind_error,
    filtered_packets,
    is_strict,
    links_without_route,
    local_port,
    missing_route,
    send_error,
)
from tandem.doctor.nat import shared_fate
from tandem.doctor.pings import Count
from tandem.doctor.routes import Route, default_route_command, read_routes
from tandem.doctor.running import Heard, compare, links_of
from tandem.doctor.session import size_text
from tandem_transport.driver import LocalAddress

WIFI = Route("wlan0", ip_network("0.0.0.0/0"), None, 600)
WIFI_NET = Route("wlan0", ip_network("192.0.2.0/24"), None, 0)
LTE_NET = Route("usb0", ip_network("198.51.100.0/24"), None, 0)

ROUTE = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t000200C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
usb0\t006433C6\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTE_V6 = f"""{"0" * 32} 00 {"0" * 32} 00 fe80{"0" * 27}1 00000400 00000001 00000000 00000003 wlan0
20010db8{"0" * 24} 20 {"0" * 32} 00 {"0" * 32} 00000100 00000001 00000000 00000001 wlan0
{"0" * 32} 00 {"0" * 32} 00 {"0" * 32} ffffffff 00000001 00000000 00200200 lo
"""


# --- routes ---


def test_routes_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(ROUTE)
    (tmp_path / "ipv6_route").write_text(ROUTE_V6)
    routes = read_routes(tmp_path / "route", tmp_path / "ipv6_route")
    assert [(route.device, str(route.network), str(route.gateway), route.metric) for route in routes] == [
        ("wlan0", "0.0.0.0/0", "192.0.2.1", 600),
        ("wlan0", "192.0.2.0/24", "None", 600),
        ("wlan0", "::/0", "fe80::1", 1024),
        ("wlan0", "2001:db8::/32", "None", 256),
    ]
    assert read_routes(tmp_path / "none", tmp_path / "none") == []


def test_a_default_route_is_proposed_with_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, hint = default_route_command([WIFI, WIFI_NET, LTE_NET], "usb0", "198.51.100.7")
    assert command == "ip route add default via GATEWAY dev usb0 metric 700"
    assert "198.51.100.0/24, often 198.51.100.1" in hint
    other = Route("usb0", ip_network("203.0.113.0/24"), ip_address("198.51.100.9"), 0)
    assert default_route_command([LTE_NET, other], "usb0", "198.51.100.7") == (
        "ip route add default via 198.51.100.9 dev usb0",
        "",
    )
    (tmp_path / "7").write_text("ADDRESS=198.51.100.7\nROUTER=198.51.100.5\n")
    monkeypatch.setattr("tandem.doctor.routes._LEASES", tmp_path)
    monkeypatch.setattr("tandem.doctor.routes.socket.if_nametoindex", {"usb0": 7}.get)
    command, hint = default_route_command([WIFI, LTE_NET], "usb0", "198.51.100.7")
    assert (command, hint) == ("ip route add default via 198.51.100.5 dev usb0 metric 700", "")
    command, hint = default_route_command([WIFI], "usb0", "2001:db8::7")
    assert command == "ip -6 route add default via GATEWAY dev usb0"
    (tmp_path / "ppp0").mkdir()
    (tmp_path / "ppp0" / "flags").write_text("0x10d1\n")
    monkeypatch.setattr("tandem.doctor.routes._CLASS", tmp_path)
    assert default_route_command([WIFI], "ppp0", "198.51.100.7") == ("ip route add default dev ppp0 metric 700", "")


def test_a_route_is_missing_only_where_none_leads_to_the_server() -> None:
    lte, server = LocalAddress("198.51.100.7", "usb0"), ("203.0.113.1", 8120)
    found = missing_route([WIFI, LTE_NET], lte, server)
    assert found is not None
    assert found[0] == "it has no default route"
    assert missing_route([WIFI, LTE_NET], lte, ("198.51.100.1", 8120)) is None
    assert missing_route([WIFI._replace(device="usb0")], lte, server) is None
    assert missing_route([], lte, server) is None, "a system that does not tell"
    assert missing_route([WIFI], LocalAddress("127.0.0.2", None), server) is None


INTERFACES = {"lo": ["127.0.0.1"], "wlan0": ["192.0.2.7"], "usb0": ["198.51.100.7"], "docker0": ["172.17.0.1"]}


def lost(config: Config, known: set[str], monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    monkeypatch.setattr("tandem.doctor.routes.interface_addresses", lambda: INTERFACES)
    monkeypatch.setattr(doctor_machine, "is_virtual", "docker0".__eq__)
    return list(links_without_route(config, [WIFI, WIFI_NET, LTE_NET], {"wlan0"}, known))


def test_interfaces_that_could_be_links(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = lost(Config(), set(), monkeypatch)
    assert (finding.subject, finding.verdict) == ("usb0", "warning")
    assert finding.text == "it is up with 198.51.100.7, but has no default route"
    assert finding.advice.startswith("No fault, unless it should be a link.")
    (finding,) = lost(Config(), {"usb0"}, monkeypatch)
    assert finding.verdict == "problem"
    assert finding.text.endswith("no default route any more")
    named = Config(link=[LinkConfig(name="wifi", bind="wlan0")])
    assert lost(named, set(), monkeypatch) == [], "the others are not meant to be links"
    assert len(lost(named, {"usb0"}, monkeypatch)) == 1


# --- filters, and the system's words ---


@pytest.mark.parametrize(
    ("everywhere", "device", "strict"),
    [("0", "0", False), ("1", "0", True), ("0", "1", True), ("2", "1", False), ("1", "2", False), ("", "", False)],
)
def test_the_larger_of_two_filter_settings_counts(everywhere: str, device: str, strict: bool, tmp_path: Path) -> None:
    for name, value in (("all", everywhere), ("usb0", device)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rp_filter").write_text(value)
    assert is_strict("usb0", tmp_path) is strict
    assert not is_strict("usb0", tmp_path / "nowhere")


def test_what_the_filter_has_dropped_is_counted(tmp_path: Path) -> None:
    (tmp_path / "netstat").write_text("TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 3 14\nIpExt: A\nIpExt: 1\n")
    assert filtered_packets(tmp_path / "netstat") == 14
    (tmp_path / "old").write_text("TcpExt: SyncookiesSent\nTcpExt: 3\n")
    assert filtered_packets(tmp_path / "old") is None
    assert filtered_packets(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("number", "text", "advice"),
    [
        (errno.EPERM, "a firewall on this machine", "`nft list ruleset` or `iptables -S OUTPUT`"),
        (errno.EACCES, "forbids it", "`ip rule`"),
        (errno.ENETUNREACH, "no route", "`ip route show dev usb0`"),
        (errno.EHOSTUNREACH, "no route", "`ip route show dev usb0`"),
        (errno.ECONNREFUSED, "nothing listens at this port", "`tandem status` there"),
        (errno.ENOBUFS, "", ""),
    ],
)
def test_each_error_has_its_advice(number: int, text: str, advice: str) -> None:
    told = send_error(OSError(number, "?"), "usb0")
    assert text in told[0]
    assert advice in told[1]


def test_binding_to_a_device_may_need_root() -> None:
    assert bind_error(OSError(errno.EPERM, "?"))[0].startswith("binding to the device")
    assert bind_error(OSError(errno.ENETUNREACH, "?"))[0].endswith("no route")


# --- addresses, sizes, losses ---


def test_addresses_of_which_some_are_silent() -> None:
    dead = Asked(LocalAddress("192.0.2.7", "wlan0"), ("198.51.100.1", 8120))
    alive = Asked(LocalAddress("2001:db8::7", "wlan0"), ("2001:db8::1", 8120, 0, 0), has_answered=True)
    text, advice = half_dead(LinkConfig(name="wifi", bind="wlan0"), [dead, alive], alive.place)
    assert text == "IPv4 198.51.100.1:8120 does not answer over wifi, IPv6 [2001:db8::1]:8120 does"
    assert "--link wifi=wlan0@[2001:db8::1]:8120" in advice
    dead.fault = ("Operation not permitted", "")
    second = Asked(LocalAddress("192.0.2.7", "wlan0"), ("198.51.100.2", 8120))
    text, _ = half_dead(LinkConfig(name="wifi", bind="wlan0"), [dead, second, alive], alive.place)
    assert text.startswith("IPv4 198.51.100.1:8120 (Operation not permitted) and IPv4 198.51.100.2:8120 do not answer")


def test_packets_that_do_not_arrive() -> None:
    assert size_text(1072) == "packets of 1200 bytes do not arrive; largest that does: 1072"
    assert size_text(0).endswith("not even those of 548 do")


def test_losses_of_pings() -> None:
    assert Count(50, 50).loss == 0
    assert Count(50, 60).loss == 0, "a network may duplicate"
    assert Count(50, 25).loss == 0.5
    assert Count(0, 0).loss == 0


def test_what_is_silent_where_the_server_is_known_to_run() -> None:
    assert "is the server running" in silence_advice(is_server_up=False)
    assert "is the server running" not in silence_advice(is_server_up=True)


def test_links_behind_one_address() -> None:
    (finding,) = shared_fate([("wifi", "192.0.2.1"), ("lte", "203.0.113.1"), ("dsl", "192.0.2.1")])
    assert finding.text == "wifi and dsl reach the server from the same address, 192.0.2.1"
    assert list(shared_fate([("wifi", "192.0.2.1"), ("lte", "203.0.113.1")])) == []


# --- a client that runs ---

PLACE = "203.0.113.1:8120"
HEARD = {"wifi": Heard({"192.0.2.7"}, {PLACE})}


def link_status(name: str = "wifi", state: str = "down", reason: str = "no answer", **more: str | None) -> LinkStatus:
    rtt = RttStatus(latest=None, smoothed=None, min=None, p95=None)
    counts = dict.fromkeys(("rate_up_bps", "rate_down_bps", "bytes_up", "bytes_down"), 0)
    unknown = dict.fromkeys(("loss_up", "loss_down", "won"))
    own = {"name": name, "path_id": 0, "state": state, "reason": reason, "local": "192.0.2.7:5000", "remote": PLACE}
    return LinkStatus.model_validate({**own, **unknown, **counts, "rtt_ms": rtt, **more})


def running(*links: LinkStatus) -> ClientStatus:
    counts = dict.fromkeys(("streams_open", "streams_total", "bytes_up", "bytes_down", "copy_bytes", "rescued"), 0)
    session = SessionStatus.model_validate({"state": "outage", "server": None, **counts})
    return ClientStatus(uptime_s=60, mode="adaptive", session=session, links=list(links))


def told(before: LinkStatus, after: LinkStatus) -> list[Finding]:
    return list(compare(running(before), running(after), HEARD))


@pytest.mark.parametrize("reason", ["no answer", "never answered", "no answer yet", "no session yet"])
def test_a_fresh_port_is_answered_and_the_clients_is_not(reason: str) -> None:
    state = "probing" if "yet" in reason else "down"
    (finding,) = told(link_status(state=state, reason=reason), link_status(state=state, reason=reason))
    assert finding.text == f"{PLACE} answers a fresh port, but not the running client's (192.0.2.7:5000)"
    assert "takes a new port by itself within 15 s" in finding.advice
    assert "`conntrack -D -p udp --dport 8120`" in finding.advice


def test_other_names_of_links_are_known_by_their_address() -> None:
    assert len(told(link_status("wlan0"), link_status("wlan0"))) == 1
    elsewhere = link_status("wlan0", local="198.51.100.7:5000")
    assert told(elsewhere, elsewhere) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (link_status(state="usable", reason=""), link_status()),
        (link_status(), link_status(state="usable", reason="")),
        (link_status(reason="there is no interface wlan0 now"), link_status(reason="there is no interface wlan0 now")),
        (link_status(reason="its daily cap is used up"), link_status(reason="its daily cap is used up")),
        (link_status(remote="203.0.113.9:8120"), link_status(remote="203.0.113.9:8120")),
        (link_status(remote=None), link_status(remote=None)),
    ],
    ids=["only begun", "over", "unplugged", "capped", "another address", "no address"],
)
def test_a_link_that_is_down_for_another_reason(before: LinkStatus, after: LinkStatus) -> None:
    assert told(before, after) == []


def test_the_links_of_the_client_that_runs_are_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = {"192.0.2.7": "wlan0", "198.51.100.7": "eth0", "198.51.100.8": "eth0", "203.0.113.7": "eth1"}
    monkeypatch.setattr("tandem.doctor.running.interface_of", devices.get)
    alone, twins = (
        link_status("wifi"),
        [link_status(f"dsl{i}", local=f"198.51.100.{i}:5000", remote="203.0.113.1:8120") for i in (7, 8)],
    )
    found_by_itself = link_status("eth1", local="203.0.113.7:5000")
    loopback, unplugged = link_status("own", local="127.0.0.2:5000"), link_status("usb0", local=None)
    found = links_of(running(alone, *twins, found_by_itself, loopback, unplugged))
    assert [(link.name, link.bind) for link in found] == [
        ("wifi", "wlan0"),
        ("dsl7", "198.51.100.7"),
        ("dsl8", "198.51.100.8"),
        ("own", "127.0.0.2"),
    ]
    monkeypatch.setattr("tandem.client.interfaces.leading_out", lambda: ["wlan0", "usb0"])
    examined = chosen_links([], running(alone))
    assert [(link.name, link.bind) for link in examined] == [("wifi", "wlan0"), ("usb0", "usb0")]
    named = [LinkConfig(name="lte", bind="wwan0")]
    assert chosen_links(named, running(alone)) == named


def test_no_client_that_runs() -> None:
    assert links_of(None) == []
    assert list(compare(None, running(link_status()), HEARD)) == []
    assert list(compare(running(link_status()), None, HEARD)) == []


def test_a_link_that_works_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    one_way = link_status(state="degraded", reason="what is sent arrives, nothing comes back")
    monkeypatch.setattr("tandem.doctor.running.interface_of", {"192.0.2.7": "wlan0"}.get)
    monkeypatch.setattr("tandem.doctor.running.is_strict", "wlan0".__ne__)
    (finding,) = told(one_way, one_way)
    assert "rp_filter" in finding.advice
    assert "`iptables -S INPUT`" in finding.advice
    monkeypatch.setattr("tandem.doctor.running.is_strict", "wlan0".__eq__)
    (finding,) = told(one_way, one_way)
    assert finding.advice.startswith("Reverse path filtering is strict on wlan0. `sysctl -w")


async def test_the_port_of_the_client_that_runs_is_no_trouble() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        config = Config(socks=SocksConfig(listen=place))
        assert (await local_port(config, taken=place)).verdict == "ok"
        for other in ("", "127.0.0.1:1"):
            found = await local_port(config, taken=other)
            assert (found.verdict, found.advice) == (
                "warning",
                "Another program has it: --socks HOST:PORT takes another one.",
            )
