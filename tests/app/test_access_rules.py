"""The order in which a server decides: who is asked for a name, what is asked for at all, what an owner has named."""

import ipaddress
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from tandem.config.server_sections import ForwardConfig, RuleConfig
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.own_networks import OwnNetworks
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.request import Kind, Request
from tandem.server.access import Access, Route
from tandem.server.rules import Rules
from tandem_socks import Reply


class Resolver:
    """Answers with one address, and remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, host: str, client: str) -> tuple[str, ...]:
        self.asked.append((host, client))
        return ("192.0.3.1",)

    async def resolve_target(self, host: str, client: str) -> tuple[str, ...]:
        self.asked.append((host, client))
        return ("10.0.0.1",)


def access(
    *rules: dict[str, str], forwards: dict[str, str] | None = None, guard: AddressGuard | None = None, **options: Any
) -> tuple[Access, Resolver]:
    configured = [RuleConfig.model_validate(rule) for rule in rules]
    mapped = [ForwardConfig(match=match, target=target) for match, target in (forwards or {}).items()]
    resolver: Any = Resolver()
    return Access(Rules(configured, mapped), resolver, guard or AddressGuard(), **options), resolver


ALLOW_NETWORK = {"action": "allow", "match": "192.0.3.0/24:443"}
DENY_NAME = {"action": "deny", "match": "*.example:*"}
FORWARD_NETWORK = {"action": "forward", "match": "192.0.3.0/24", "target": "inside:80"}
FORWARD_NAME = {"action": "forward", "match": "www.example:*", "target": "inside:80"}


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        ([], ["www.example"]),
        ([ALLOW_NETWORK, DENY_NAME], ["www.example"]),
        ([FORWARD_NETWORK], ["www.example", "inside"]),
        ([FORWARD_NETWORK, DENY_NAME], ["www.example", "inside"]),
        ([FORWARD_NAME], ["inside"]),
        ([ALLOW_NETWORK, {**FORWARD_NAME, "match": "*.example:80"}], ["www.example"]),
    ],
)
async def test_look_ups_are_those_of_the_client_that_asks(rules: list[dict[str, str]], asked: list[str]) -> None:
    made, resolver = access(*rules)
    await made.route("anna", Request(Kind.DIAL, "www.example", 443))
    assert resolver.asked == [(host, "anna") for host in asked]


async def test_a_target_by_the_name_of_a_forward_is_looked_up_for_its_client() -> None:
    made, resolver = access(forwards={"web": "inside:80"})
    await made.route("anna", Request(Kind.FORWARD, "web", 0))
    assert resolver.asked == [("inside", "anna")]


async def test_a_host_without_an_address_is_judged_by_its_name_and_its_forward_looked_up_for_its_client() -> None:
    made, resolver = access(ALLOW_NETWORK, FORWARD_NAME)

    async def fail(host: str, client: str) -> tuple[str, ...]:
        raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"{client} asked for {host}")

    resolver.resolve = fail  # type: ignore[method-assign]
    assert await made.route("anna", Request(Kind.DIAL, "www.example", 443)) == Route(("10.0.0.1",), 80)
    assert resolver.asked == [("inside", "anna")]


@pytest.mark.parametrize("rules", [[], [{**ALLOW_NETWORK, "match": "192.0.3.0/24:22"}]])
async def test_a_server_with_forwards_only_looks_up_nothing_in_vain(
    rules: list[dict[str, str]],
) -> None:
    made, resolver = access(*rules, may_dial=False)
    with pytest.raises(Failure, match=r"rules: this server has forwards only$"):
        await made.route("anna", Request(Kind.DIAL, "www.example", 443))
    assert resolver.asked == []


async def test_a_server_with_forwards_only_says_so_of_an_address_too() -> None:
    made, _ = access(ALLOW_NETWORK, may_dial=False)
    with pytest.raises(Failure, match=r"rules: this server has forwards only$"):
        await made.route("anna", Request(Kind.DIAL, "www.example", 443))


async def test_without_any_forward_a_client_is_told_of_none() -> None:
    made, _ = access()
    with pytest.raises(Failure, match="the server has: none"):
        await made.route("anna", Request(Kind.FORWARD, "web", 0))


@pytest.mark.parametrize(
    ("match", "is_allowed"), [("192.0.3.1", True), ("192.0.3.1/32", True), ("192.0.3.0/31", False)]
)
async def test_an_owner_who_names_one_address_means_it_though_it_is_the_servers_own(
    match: str, *, is_allowed: bool
) -> None:
    own = AddressGuard(own=[ipaddress.ip_address("192.0.3.1")])
    made, _ = access({"action": "allow", "match": match}, guard=own)
    request = Request(Kind.DIAL, "www.example", 443)
    if is_allowed:
        assert await made.route("anna", request) == Route(("192.0.3.1",), 443)
    else:
        with pytest.raises(Failure, match="private address"):
            await made.route("anna", request)


@pytest.mark.parametrize(("match", "is_private"), [("fd00:1::/64", True), ("fc00::/6", False), ("2600::/16", False)])
async def test_an_owner_may_name_a_private_network_of_ipv6(match: str, *, is_private: bool) -> None:
    made, resolver = access({"action": "allow", "match": match})

    async def resolve(host: str, client: str) -> tuple[str, ...]:
        return ("fd00:1::7",)

    resolver.resolve = resolve  # type: ignore[method-assign]
    request = Request(Kind.DIAL, "nas.example", 443)
    if is_private:
        assert await made.route("anna", request) == Route(("fd00:1::7",), 443)
    else:
        with pytest.raises(Failure):
            await made.route("anna", request)


async def test_a_target_may_be_an_ipv6_address_with_any_port() -> None:
    made, resolver = access(forwards={"web": "[2001:db8::1]:*"})
    assert (await made.route("anna", Request(Kind.FORWARD, "web", 8080))).port == 8080
    assert resolver.asked == [("2001:db8::1", "anna")]


def test_the_networks_of_interfaces_are_those_with_a_prefix_of_some_length(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [("9.1.2.3", "255.0.0.0"), ("2001:db8::7%eth0", None), ("2600::1", "ffff:ffff::"), ("4.1.2.3", "254.0.0.0")]
    items = [
        SimpleNamespace(family=socket.AF_INET6 if ":" in address else socket.AF_INET, address=address, netmask=mask)
        for address, mask in given
    ]
    monkeypatch.setattr("psutil.net_if_addrs", lambda: {"eth0": items})
    own = OwnNetworks()
    inside = ("9.1.2.3", "9.255.0.1", "2001:db8::7", "2600::1", "2600:0:1::1", "4.1.2.3")
    outside = ("10.1.2.3", "2001:db8::8", "2600:1::1", "4.1.2.4")
    assert [host for host in (*inside, *outside) if ipaddress.ip_address(host) in own] == list(inside)


def test_interfaces_are_looked_at_again_after_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, address = 1000.0, "192.0.3.1"

    def interfaces() -> dict[str, list[SimpleNamespace]]:
        return {"eth0": [SimpleNamespace(family=socket.AF_INET, address=address, netmask=None)]}

    monkeypatch.setattr("psutil.net_if_addrs", interfaces)
    monkeypatch.setattr("tandem.dialing.own_networks.time", SimpleNamespace(monotonic=lambda: now))
    own = OwnNetworks()
    first, second = ipaddress.ip_address("192.0.3.1"), ipaddress.ip_address("192.0.3.2")
    assert first in own
    address, now = "192.0.3.2", 1004.0
    assert first in own
    now = 1006.0
    assert first not in own
    assert second in own
