"""What clients may reach: patterns, rules, the deny list, names, limits, dialing."""

import asyncio
import contextlib
import ipaddress
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.config.patterns import canonical_name, parse_pattern
from tandem.config.server_sections import ForwardConfig, QuotaConfig, RuleConfig
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.dialer import Dialer
from tandem.dialing.hosts_file import HostsFile
from tandem.dialing.own_networks import OwnNetworks
from tandem.dialing.resolver import Resolver
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.request import Kind, Request
from tandem.server.access import Access, Route
from tandem.server.quotas import MAX_IN_USE, ClientLimits
from tandem.server.rules import Rules
from tandem_socks import Reply

HOSTS = {
    "public.example": ("192.0.3.1",),
    "private.example": ("10.0.0.5",),
    "both.example": ("10.0.0.5", "192.0.3.1"),
    "nas.home": ("192.168.1.7",),
    "target.internal": ("10.9.9.9",),
}


def access(*rules: dict[str, str], forwards: dict[str, str] | None = None, may_dial: bool = True) -> Access:
    configured = [RuleConfig.model_validate(rule) for rule in rules]
    mapped = [ForwardConfig(match=match, target=target) for match, target in (forwards or {}).items()]
    return Access(Rules(configured, mapped), Resolver(HOSTS), AddressGuard(), may_dial=may_dial)


def dial(host: str, port: int = 443) -> Request:
    return Request(Kind.DIAL, host, port)


async def refusal(made: Access, request: Request, client: str = "laptop") -> Failure:
    with pytest.raises(Failure) as caught:
        await made.route(client, request)
    return caught.value


# --- the deny list ---

DENIED = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"),
    *("64:ff9b::a00:1", "2002:a00:1::", "168.63.129.16", "fec0::1", "64:ff9b:1::1", "::10.0.0.1", "2001::1"),
    *("::ffff:0:10.0.0.1", "2002:7f00:1::1"),
]


@pytest.mark.parametrize("host", DENIED)
async def test_private_addresses_are_denied(host: str) -> None:
    assert not AddressGuard().is_allowed(host)
    failure = await refusal(access(), dial(host))
    assert (failure.reply, failure.hop) == (Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, Hop.RULE)


@pytest.mark.parametrize("host", ["8.8.8.8", "2001:4860:4860::8888", "172.32.0.1", "100.128.0.1"])
async def test_public_addresses_are_allowed(host: str) -> None:
    assert await access().route("laptop", dial(host)) == Route((host,), 443)


def test_allow_takes_a_network_off_the_deny_list_and_nothing_else() -> None:
    guard = AddressGuard([ipaddress.ip_network("10.1.0.0/16")])
    assert guard.is_allowed("10.1.2.3")
    assert guard.is_allowed("::ffff:10.1.2.3")
    assert not guard.is_allowed("10.2.0.1")
    assert guard.is_allowed("8.8.8.8")


def test_the_servers_own_addresses_and_networks_are_denied_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall keeps strangers from them; whoever asks from the machine itself is behind it."""
    here = SimpleNamespace(
        lo=[("127.0.0.1", "255.0.0.0"), ("203.0.113.9", None)],
        eth0=[
            ("198.51.100.20", "255.255.255.0"),
            ("2001:db8:1:2::9", "ffff:ffff:ffff:ffff::"),
            ("fe80::1%eth0", "ffff::"),
        ],
        tun0=[("8.8.4.4", "0.0.0.0"), ("2600::1", "ff00::")],
    )

    def interfaces() -> dict[str, list[SimpleNamespace]]:
        return {
            name: [
                SimpleNamespace(
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET, address=address, netmask=mask
                )
                for address, mask in addresses
            ]
            for name, addresses in vars(here).items()
        }

    monkeypatch.setattr("psutil.net_if_addrs", interfaces)
    guard = AddressGuard([ipaddress.ip_network("198.51.100.7/32")], OwnNetworks())
    for host in ("203.0.113.9", "198.51.100.20", "198.51.100.99", "2001:db8:1:2::9", "2001:db8:1:2:3::4", "8.8.4.4"):
        assert not guard.is_allowed(host), host
    for host in ("203.0.113.8", "198.51.101.1", "2001:db8:1:3::9", "8.8.8.8", "2600::2", "198.51.100.7"):
        assert guard.is_allowed(host), host
    assert not guard.is_allowed("::ffff:198.51.100.99")


async def test_a_name_is_what_it_resolves_to() -> None:
    await refusal(access(), dial("private.example"))
    await refusal(access(), dial("localhost"))
    assert (await access().route("laptop", dial("both.example"))).addresses == ("192.0.3.1",)
    assert (await access().route("laptop", dial("PUBLIC.example."))).addresses == ("192.0.3.1",)
    failure = await refusal(access(), dial("no-such-host.invalid"))
    assert (failure.reply, failure.hop) == (Reply.HOST_UNREACHABLE, Hop.NAME)
    assert (await refusal(access(), dial("x" * 300))).hop is Hop.NAME


# --- patterns ---


@pytest.mark.parametrize(
    ("pattern", "request_", "is_match"),
    [
        ("web", Request(Kind.FORWARD, "WEB", 80), True),
        ("web", dial("web", 80), False),
        ("git.example:22", Request(Kind.FORWARD, "git.example", 22), False),
        ("git.example:22", dial("GIT.example.", 22), True),
        ("git.example:22", dial("git.example", 443), False),
        ("*.example:443", dial("a.b.example", 443), True),
        ("*.example:443", dial("example", 443), False),
        ("db:*", dial("db", 1), True),
        ("db:8000-8002", dial("db", 8002), True),
        ("db:8000-8002", dial("db", 8003), False),
        ("[*]:22", dial("anything", 22), True),
    ],
)
def test_patterns_of_names(pattern: str, request_: Request, is_match: bool) -> None:
    made, host = parse_pattern(pattern), canonical_name(request_.host)
    is_forward = request_.kind is Kind.FORWARD
    found = made.matches_forward(host) if is_forward else made.matches_name(host, request_.port)
    assert found is is_match


@pytest.mark.parametrize(
    ("pattern", "address", "port", "is_match"),
    [
        ("10.0.0.0/8", "10.255.0.1", 1, True),
        ("10.0.0.0/8:22", "10.255.0.1", 22, True),
        ("10.0.0.0/8:22", "10.255.0.1", 23, False),
        ("192.0.2.1:80", "192.0.2.1", 80, True),
        ("192.0.2.1:80", "::ffff:192.0.2.1", 80, True),
        ("192.0.2.1", "192.0.2.2", 80, False),
        ("[2001:db8::/32]:443", "2001:db8::5", 443, True),
        ("2001:db8::/32", "2001:db8::5", 443, True),
        ("[2001:db8::1]:443", "2001:db8::2", 443, False),
        ("::/0", "192.0.2.1", 443, False),
    ],
)
def test_patterns_of_addresses(pattern: str, address: str, port: int, is_match: bool) -> None:
    assert parse_pattern(pattern).matches_address(address, port) is is_match


@pytest.mark.parametrize(
    "text", ["", "a b", "host:", "host:0", "host:70000", "host:5-2", "10.0.0.1/8", "a::b:80x", ":80"]
)
def test_what_is_no_pattern_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"accepted is|put brackets"):
        parse_pattern(text)


# --- rules ---


async def test_the_first_rule_that_matches_counts() -> None:
    made = access(
        {"action": "deny", "client": "kid-*", "match": "*.games.example:*"},
        {"action": "allow", "client": "kid-1", "match": "chat.example:443"},
        {"action": "deny", "client": "kid-*", "match": "*:*"},
        forwards={"web": "10.0.0.5:80"},
    )
    assert "deny *.games.example:*" in str(await refusal(made, dial("www.games.example"), "kid-1"))
    assert "deny *:*" in str(await refusal(made, dial("chat.example"), "kid-2"))
    assert await made.route("anna", dial("public.example")) == Route(("192.0.3.1",), 443)


async def test_a_rule_about_a_network_holds_for_names_too() -> None:
    made = access({"action": "deny", "match": "192.0.3.0/24"}, {"action": "allow", "match": "*:*"})
    assert "deny 192.0.3.0/24" in str(await refusal(made, dial("public.example")))
    assert (await refusal(made, dial("192.0.3.1"))).hop is Hop.RULE


async def test_what_the_owner_names_is_allowed_though_private_and_what_he_does_not_is_not() -> None:
    made = access(
        {"action": "allow", "client": "anna", "match": "nas.home:445"},
        {"action": "allow", "client": "anna", "match": "10.0.0.0/24:22"},
        {"action": "allow", "match": "*:443"},
    )
    assert (await made.route("anna", dial("nas.home", 445))).addresses == ("192.168.1.7",)
    assert (await made.route("anna", dial("private.example", 22))).addresses == ("10.0.0.5",)
    await refusal(made, dial("nas.home", 445), "bob")
    await refusal(made, dial("nas.home", 446), "anna")
    await refusal(made, dial("private.example", 443), "anna")


async def test_forwards_lead_past_the_deny_list() -> None:
    made = access(
        {"action": "forward", "client": "anna", "match": "db:5432", "target": "10.0.0.9:5433"},
        {"action": "forward", "match": "192.0.3.0/24:25", "target": "10.0.0.8:2525"},
        {"action": "deny", "client": "bob", "match": "secret"},
        forwards={"web": "target.internal:80", "any": "target.internal:*", "secret": "10.0.0.1:1"},
    )
    route = await made.route("anna", dial("db", 5432))
    assert (route.addresses, route.port) == (("10.0.0.9",), 5433)
    assert (await made.route("x", dial("public.example", 25))).addresses == ("10.0.0.8",)
    route = await made.route("anna", Request(Kind.FORWARD, "any", 8443))
    assert (route.addresses, route.port) == (("10.9.9.9",), 8443)
    assert (await refusal(made, Request(Kind.FORWARD, "secret", 0), "bob")).reply == 2
    failure = await refusal(made, Request(Kind.FORWARD, "wbe", 0), "bob")
    assert failure.reply is Reply.HOST_UNREACHABLE
    assert "the server has: web.forward, any.forward" in str(failure)
    assert "not for UDP" in str(await refusal(made, Request(Kind.UDP, "db", 5432), "anna"))


async def test_a_server_without_dialing_has_forwards_only() -> None:
    made = access({"action": "allow", "match": "192.0.3.0/24"}, forwards={"db:5432": "10.0.0.9:5432"}, may_dial=False)
    assert (await made.route("anna", dial("db", 5432))).port == 5432
    for host in ("public.example", "8.8.8.8", "no-such-host.invalid"):
        with pytest.raises(Failure):
            await made.route("anna", dial(host))


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "deny", "match": "*.example.org"},
        {"action": "allow", "match": "web", "target": "10.0.0.1:80"},
        {"action": "forward", "match": "web"},
        {"action": "forward", "match": "web", "target": "10.0.0.1"},
        {"action": "block", "match": "web"},
    ],
)
def test_rules_that_mean_nothing_are_mistakes(rule: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"forward|HOST:PORT|name of a forward"):
        RuleConfig.model_validate(rule)


async def test_a_wide_network_names_nothing_private() -> None:
    made = access({"action": "allow", "match": "0.0.0.0/0:443"}, {"action": "deny", "match": "*:*"})
    assert (await made.route("x", dial("public.example"))).addresses == ("192.0.3.1",)
    for host in ("169.254.169.254", "127.0.0.1", "10.0.0.5", "private.example"):
        await refusal(made, dial(host))
    made = access({"action": "allow", "match": "10.0.0.0/8"}, {"action": "deny", "match": "::/0"})
    assert (await made.route("x", dial("private.example"))).addresses == ("10.0.0.5",)
    await refusal(made, dial("2002:808:808::1"))


async def test_a_name_is_denied_however_it_is_spelt() -> None:
    made = access(
        {"action": "deny", "match": "public.example:*"},
        {"action": "deny", "match": "b\u00fccher.example:*"},
        {"action": "allow", "match": "*:*"},
    )
    spellings = ["\uff50ublic.example", "pub\u00adlic.example", "PUBLIC.example.", "public\u3002example"]
    spellings += [f"public.example{dot}" for dot in ".\u3002\uff0e\uff61"]
    spellings += [f"PUBLIC{dot}example{dot}" for dot in "\u3002\uff0e\uff61"]
    for host in spellings:
        assert "deny public.example" in str(await refusal(made, dial(host))), host
    for host in ("b\u00fccher.example", "xn--bcher-kva.example", "BU\u0308CHER.example"):
        assert "b\u00fccher.example" in str(await refusal(made, dial(host))), host
    assert (await refusal(made, dial("\u00e4" * 80))).hop is Hop.NAME


async def test_an_interface_of_the_server_cannot_be_chosen() -> None:
    for host in ("2606:4700::1111%eth0", "fe80::1%lo", "host%lo"):
        assert (await refusal(access(), dial(host))).hop is Hop.NAME


# --- names ---


def test_an_address_has_one_form() -> None:
    assert canonical_name("2001:DB8:0:0::1") == canonical_name("[2001:db8::1]") == "2001:db8::1"
    assert canonical_name("::ffff:192.0.2.1") == "192.0.2.1"


def never(name: str) -> tuple[str, ...]:
    pytest.fail(f"asked for {name!r}")


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "..", "a..b", ".a", "a b", "a/b", "a:b", "a@b", "-a", "a-", "a\n", "\0", "x" * 64 + ".example"),
        *("\\098locked.example", "bl\\ocked.example", "a,b", "a;b", "$a", "a%20b", "*.example", "a\u2028b", "a." * 130),
        *("\u2024\u2024", "1.2.3.4/8", "[::1", "::1]x", "\ud800"),
    ],
)
async def test_what_is_no_host_name_is_refused_before_anybody_is_asked(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tandem.dialing.resolver._ask_system", never)
    failure = await refusal(access(), dial(host))
    assert (failure.reply, failure.hop) == (Reply.HOST_UNREACHABLE, Hop.NAME)


async def test_names_are_asked_for_absolutely_but_the_owner_may_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search domain of the server leads to hosts that a rule about names has not heard of."""
    asked: list[str] = []

    def look_up(name: str) -> tuple[str, ...]:
        asked.append(name)
        return ("192.0.3.9",)

    monkeypatch.setattr("tandem.dialing.resolver._ask_system", look_up)
    made = access(forwards={"web": "backend:80"})
    for host in ("www", "www.corp.example", "WWW.corp.example."):
        await made.route("x", dial(host))
    await made.route("x", Request(Kind.FORWARD, "web", 80))
    assert asked == ["www.", "www.corp.example.", "www.corp.example.", "backend"]


async def test_the_machines_own_table_of_names_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "hosts"
    table.write_text("# a comment\n192.0.3.4 printer Printer.example.  # this too\nnonsense x\n2001:db8::4 printer\n")
    monkeypatch.setattr("tandem.dialing.resolver._ask_system", never)
    known = HostsFile(table)
    assert known.addresses("printer") == ("192.0.3.4", "2001:db8::4")
    assert known.addresses("printer.example") == ("192.0.3.4",)
    assert known.addresses("x") == ()
    table.write_text("192.0.3.5 other")
    assert known.addresses("printer") == ()
    assert known.addresses("other") == ("192.0.3.5",)
    table.unlink()
    assert known.addresses("other") == ()


async def test_addresses_of_internal_names_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    failure = await refusal(access(), dial("private.example"))
    assert "10.0.0.5" not in str(failure)
    assert "private.example has a private address" in str(failure)
    assert "10.0.0.5 is a private address" in str(await refusal(access(), dial("10.0.0.5")))


# --- limits ---


async def test_a_client_has_so_many_streams_and_others_have_theirs() -> None:
    made = ClientLimits(max_streams=2, max_new_streams=1000)
    with made.stream("a"), made.stream("a"):
        with pytest.raises(Failure, match="2 connections open"), made.stream("a"):
            pass
        with made.stream("b"):
            pass
    with made.stream("a"):
        pass


@pytest.mark.parametrize("kind", [Kind.UDP, Kind.BIND, Kind.SPEEDTEST])
def test_a_client_holds_a_few_of_what_costs_the_machine_more(kind: Kind) -> None:
    made = ClientLimits(max_streams=10_000, max_new_streams=1000)
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_IN_USE[kind]):
            stack.enter_context(made.hold("a", kind))
        with pytest.raises(Failure, match="as many as a client may have"), made.hold("a", kind):
            pass
        with made.hold("b", kind):
            pass
    with made.hold("a", kind):
        pass


async def test_a_client_that_opens_too_fast_waits_and_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("tandem.server.quotas.asyncio.sleep", sleep)
    monkeypatch.setattr("tandem.server.quotas.time.monotonic", lambda: 100.0)
    made = ClientLimits(max_streams=100, max_new_streams=2)
    for _ in range(11):
        await made.wait_turn("a")
    assert waits == []
    for _ in range(20):
        await made.wait_turn("a")
    assert waits == [i / 2 for i in range(1, 21)]
    with pytest.raises(Failure, match="max_new_streams"):
        await made.wait_turn("a")
    await made.wait_turn("b")


def test_some_clients_have_limits_of_their_own() -> None:
    made = ClientLimits(max_streams=10, max_new_streams=5)
    made.configure(10, 5, [QuotaConfig(name="kid-*", max_streams=2), QuotaConfig(name="*", max_new_streams=7)])
    assert made.of("kid-1") == (2, 5)
    assert made.of("anna") == (10, 7)
    with made.stream("kid-1"), made.stream("kid-1"), pytest.raises(Failure), made.stream("kid-1"):
        pass


# --- dialing ---


async def test_dialing_gives_the_bound_address_and_the_system_error() -> None:
    peers: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.put_nowait(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for dialer in (Dialer(), Dialer(["127.0.0.9"])):
        dialed = await dialer.dial(["127.0.0.1"], port)
        assert (dialed.bound_host, dialed.bound_port) == await peers.get()
        await dialed.tcp.close()
    assert dialed.bound_host == "127.0.0.9"
    server.close()
    with pytest.raises(Failure) as caught:
        await Dialer().dial(["127.0.0.1"], port)
    assert (caught.value.reply, caught.value.error) == (Reply.CONNECTION_REFUSED, "ECONNREFUSED")
    with pytest.raises(Failure) as caught:
        await Dialer(["127.0.0.9"]).dial(["2001:db8::1"], port)
    assert caught.value.reply is Reply.NETWORK_UNREACHABLE


async def test_a_dead_first_address_does_not_hold_up_the_second() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.2", 0)
    port = server.sockets[0].getsockname()[1]
    dialed = await Dialer().dial(["127.0.0.1", "127.0.0.2"], port)
    assert dialed.tcp.peer_address == ("127.0.0.2", port)
    await dialed.tcp.close()
    server.close()
