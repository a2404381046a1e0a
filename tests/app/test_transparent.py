"""Fake addresses, made-up answers, destinations, and the firewall's rules."""

import asyncio
import contextlib
import ipaddress
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import dns.message
import pytest

from loopback import free_port
from tandem.base.errors import UsageError
from tandem.config.config import load
from tandem.lan.ruleset import House, ip_commands, ruleset
from tandem.transparent import fake_names
from tandem.transparent.destination import destination_of_datagram
from tandem.transparent.fake_names import FakeNames
from tandem.transparent.names_port import NamesPort
from tandem.transparent.tcp_port import TransparentTcp
from tandem_socks import Association, Binding, Opened, Receive, Reply, Request, SocksError

NETWORKS = [ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fd00::/64")]


class Session:
    """A far side that reaches nothing."""

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        raise SocksError(Reply.GENERAL_FAILURE, "nothing")

    async def resolve(self, request: Request) -> str:
        raise SocksError(Reply.GENERAL_FAILURE, "nothing")

    async def bind(self, request: Request) -> Binding:
        raise SocksError(Reply.GENERAL_FAILURE, "nothing")

    async def associate(self, request: Request, receive: Receive) -> Association:
        raise SocksError(Reply.GENERAL_FAILURE, "nothing")


# --- fake addresses ---


def test_a_name_has_one_address_of_each_family_and_keeps_it() -> None:
    fake = FakeNames(NETWORKS)
    first = fake.address("Example.org.", 4)
    assert first is not None
    assert fake.address("example.org", 4) == first
    assert fake.name(first) == "example.org"
    other = fake.address("example.org", 6)
    assert other is not None
    assert fake.name(other) == "example.org"
    assert fake.address("other.example", 4) != first


def test_no_address_is_the_networks_own_or_its_broadcast() -> None:
    fake = FakeNames([ipaddress.ip_network("198.18.0.0/29")])
    given = {fake.address(f"{number}.example", 4) for number in range(6)}
    assert given == {f"198.18.0.{number}" for number in range(1, 7)}


def test_the_name_that_was_not_used_for_longest_loses_its_address() -> None:
    fake = FakeNames([ipaddress.ip_network("198.18.0.0/30")])
    one, two = fake.address("one.example", 4), fake.address("two.example", 4)
    assert one is not None
    assert two is not None
    assert fake.name(one) == "one.example"  # used
    assert fake.address("three.example", 4) == two
    assert fake.name(two) == "three.example"


def test_addresses_outside_the_pools_stand_for_nothing() -> None:
    fake = FakeNames(NETWORKS)
    assert not fake.is_fake("192.0.2.1")
    assert fake.is_fake("198.19.255.255")
    assert fake.name("198.19.0.7") is None
    assert FakeNames(NETWORKS[:1]).address("example.org", 6) is None


def test_the_number_of_names_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_names, "MAX_NAMES", 10)
    fake = FakeNames(NETWORKS)
    assert len({fake.address(f"{number}.example", 6) for number in range(50)}) == 10


# --- queries ---


def port(*, has_fakes: bool) -> NamesPort:
    fake = FakeNames(NETWORKS) if has_fakes else None
    return NamesPort(Session(), ("192.0.2.53", 53), fake, lambda host: True)


@pytest.mark.parametrize(("kind", "count"), [("A", 1), ("AAAA", 1), ("HTTPS", 0)])
def test_a_query_for_an_address_is_answered_with_a_fake_one(kind: str, count: int) -> None:
    query = dns.message.make_query("Example.org", kind)
    made = port(has_fakes=True).made_up(query.to_wire())
    assert made is not None
    answer = dns.message.from_wire(made)
    assert answer.id == query.id
    assert answer.question == query.question
    assert len(answer.answer) == count


@pytest.mark.parametrize(("name", "kind"), [("example.org", "MX"), ("printer.local", "A"), ("router", "A")])
def test_other_queries_go_to_the_name_server(name: str, kind: str) -> None:
    assert port(has_fakes=True).made_up(dns.message.make_query(name, kind).to_wire()) is None


def test_without_fake_addresses_all_queries_go_to_the_name_server() -> None:
    assert port(has_fakes=False).made_up(dns.message.make_query("example.org", "A").to_wire()) is None


@pytest.mark.parametrize("data", [b"", b"x", bytes(12), bytes(11) + b"\1", b"\0\1\1\0\0\1" + bytes(6) + b"\xc0\x0c"])
def test_nonsense_is_no_query(data: bytes) -> None:
    assert port(has_fakes=True).made_up(data) is None


# --- destinations ---


def test_a_datagram_tells_whom_it_was_meant_for() -> None:
    v4 = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", 443, socket.inet_aton("192.0.2.7"))
    assert destination_of_datagram([(0, 1, b""), (socket.IPPROTO_IP, 20, v4)]) == ("192.0.2.7", 443)
    address = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    v6 = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16sI", 53, 0, address, 0)
    assert destination_of_datagram([(socket.IPPROTO_IPV6, 74, v6)]) == ("2001:db8::7", 53)
    assert destination_of_datagram([]) is None
    assert destination_of_datagram([(socket.IPPROTO_IP, 20, b"short")]) is None


# --- the firewall ---


@pytest.mark.parametrize("takes_datagrams", [True, False])
@pytest.mark.parametrize("names_port", [1053, None])
@pytest.mark.parametrize("fakes", [(), ("198.18.0.0/15", "fd00::/64")])
def test_nft_accepts_the_rules(
    tmp_path: Path, fakes: tuple[str, ...], names_port: int | None, takes_datagrams: bool
) -> None:
    text = ruleset(House(("br-lan", "wlan1"), 1081, names_port, takes_datagrams, fakes))
    assert ("tproxy" in text) == takes_datagrams
    assert ("dport 53" in text) == (names_port is not None)
    assert all(command in text for command in ip_commands()) == takes_datagrams
    if shutil.which("nft") is None:
        pytest.skip("no nft")
    file = tmp_path / "tandem.nft"
    file.write_text(text)
    done = subprocess.run(["nft", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("this user may not use nft")
    assert done.returncode == 0, done.stderr


def test_one_address_or_several_are_listened_on(tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text('[transparent]\nlisten = "0.0.0.0:1081"\n')
    assert load(file).transparent.listen == ["0.0.0.0:1081"]
    file.write_text('[transparent]\nlisten = ["0.0.0.0:1081", "[::]:1081"]\ndns = "none"\n')
    with pytest.raises(UsageError, match="'session', 'fake' or 'off'"):
        load(file)


class Asked:
    """A far port that remembers what it was asked."""

    def __init__(self, receive: Receive, asked: asyncio.Event) -> None:
        self.receive, self._asked = receive, asked
        self.sent: list[tuple[str, int, bytes]] = []
        self._closed = asyncio.Event()

    def send(self, host: str, port: int, data: bytes) -> None:
        self.sent.append((host, port, data))
        self._asked.set()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def close(self) -> None:
        self._closed.set()


class NameSession(Session):
    """A far side with one far port."""

    port: Asked

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def associate(self, request: Request, receive: Receive) -> Association:
        self.port = Asked(receive, self.asked)
        return self.port


async def test_an_answer_counts_that_comes_from_the_name_server_with_the_question_that_was_asked() -> None:
    session = NameSession()
    made = NamesPort(session, ("192.0.2.53", 53), None, lambda host: True)
    await made.listen([("127.0.0.1", free_port(socket.SOCK_DGRAM))])
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        query = dns.message.make_query("Example.org", "A").to_wire()
        await loop.sock_sendto(sock, query, ("127.0.0.1", made.port))
        await session.asked.wait()
        host, port_, sent = session.port.sent[0]
        assert (host, port_, sent[2:]) == ("192.0.2.53", 53, query[2:])
        other = sent[:2] + dns.message.make_query("other.example", "A").to_wire()[2:]
        session.port.receive("192.0.2.53", 54, sent)
        session.port.receive("192.0.2.54", 53, sent)
        session.port.receive("192.0.2.53", 53, other)
        session.port.receive("192.0.2.53", 53, sent + b"right")
        data, _ = await loop.sock_recvfrom(sock, 1000)
        assert data == query + b"right"
    await made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_each_listener_frees_its_own_places(host: str) -> None:
    made = TransparentTcp(Session(), lambda found: found, lambda peer: True, on_opened=nothing, on_closed=nothing)
    port_ = free_port()
    await made.listen([("127.0.0.1", port_), ("::1", port_)])
    for _ in range(5):
        reader, writer = await asyncio.open_connection(host, port_)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
    assert made.free_places == [4096, 4096]
    await made.close()


def nothing(*_: object) -> None:
    """Does nothing."""
