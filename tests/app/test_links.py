"""Which links there are: named ones, patterns, and what is found."""

from pathlib import Path

import pytest

from tandem.client import interfaces
from tandem.client.links import follows_interfaces, planned_links, unmatched
from tandem.config.config import LinkConfig

INTERFACES = {"lo": ["127.0.0.1"], "wlan0": ["192.0.2.1"], "usb0": ["192.0.2.2"], "usb1": ["192.0.2.3"], "usb2": []}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tandem.client.interfaces.interface_addresses", lambda: INTERFACES)
    monkeypatch.setattr("tandem.client.interfaces.leading_out", lambda: ["wlan0", "usb0"])


def link(name: str, bind: str) -> LinkConfig:
    return LinkConfig(name=name, bind=bind)


def names(links: list[LinkConfig]) -> list[tuple[str, str]]:
    return [(found.name, found.bind) for found in links]


def test_without_any_configuration_what_leads_out_is_a_link() -> None:
    assert names(planned_links([])) == [("wlan0", "wlan0"), ("usb0", "usb0")]
    assert planned_links([], planned_links([])) == []
    assert follows_interfaces([])


def test_named_links_are_as_they_are_named() -> None:
    configured = [link("wifi", "wlan0"), link("dsl", "192.0.2.9")]
    assert names(planned_links(configured)) == [("wifi", "wlan0"), ("dsl", "192.0.2.9")]
    assert planned_links(configured, planned_links(configured)) == []
    assert not follows_interfaces(configured)


def test_a_pattern_stands_for_all_that_match_now_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = [link("wifi", "wlan0"), LinkConfig(name="phone", bind="usb*", use="metered")]
    planned = planned_links(configured)
    assert names(planned) == [("wifi", "wlan0"), ("phone", "usb0"), ("phone-2", "usb1")]
    assert [item.use for item in planned] == ["available", "metered", "metered"]
    monkeypatch.setattr("tandem.client.interfaces.interface_addresses", lambda: INTERFACES | {"usb2": ["192.0.2.4"]})
    assert names(planned_links(configured, planned)) == [("phone-3", "usb2")]
    assert follows_interfaces(configured)


def test_patterns_that_no_interface_matches_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = [link("dsl", "ppp*"), link("wifi", "wlan*"), link("lte", "wwan0"), link("*", "*")]
    assert names(unmatched(configured)) == [("dsl", "ppp*")]
    assert unmatched([]) == []
    monkeypatch.setattr("tandem.client.interfaces.leading_out", list)
    assert names(unmatched([])) == [("*", "*")]


def test_a_star_stands_for_what_leads_out_and_is_not_named() -> None:
    assert names(planned_links([link("wifi", "wlan0"), link("*", "*")])) == [("wifi", "wlan0"), ("usb0", "usb0")]


@pytest.mark.parametrize(
    ("files", "is_virtual"),
    [
        ({"uevent": "INTERFACE=eth0\nIFINDEX=2\n", "type": "1\n"}, False),
        ({"uevent": "DEVTYPE=wlan\n", "type": "1\n"}, False),
        ({"uevent": "DEVTYPE=wwan\n", "type": "65534\n"}, False),
        ({"uevent": "", "type": "512\n"}, False),
        ({"uevent": "DEVTYPE=wireguard\n", "type": "65534\n"}, True),
        ({"uevent": "DEVTYPE=bridge\n", "type": "1\n"}, True),
        ({"tun_flags": "0x1001\n", "type": "65534\n"}, True),
        ({"type": "776\n"}, True),
        ({}, False),
    ],
    ids=["ethernet", "wifi", "modem", "ppp", "wireguard", "bridge", "tun", "sit", "gone"],
)
def test_tunnels_and_bridges_are_told_from_links(files: dict[str, str], is_virtual: bool, tmp_path: Path) -> None:
    (tmp_path / "if0").mkdir()
    for name, text in files.items():
        (tmp_path / "if0" / name).write_text(text)
    assert interfaces.is_virtual("if0", tmp_path) is is_virtual


def test_a_tunnel_is_better_than_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("tandem.client.interfaces.sys.platform", "linux")
    monkeypatch.setattr("tandem.client.interfaces._with_default_route", lambda: ["tun0", "eth0"])
    monkeypatch.setattr("tandem.client.interfaces.is_virtual", "tun0".__eq__)
    assert interfaces.leading_out() == ["eth0"]
    monkeypatch.setattr("tandem.client.interfaces._with_default_route", lambda: ["tun0"])
    assert interfaces.leading_out() == ["tun0"]
