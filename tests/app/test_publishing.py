"""What published ports consist of: the head of a stream, the PROXY protocol, the configuration, UDP listeners."""

import asyncio
import socket
from pathlib import Path

import pytest

from tandem.base.errors import UsageError
from tandem.config.config import load
from tandem.config.publish_section import PublishConfig
from tandem.exchange.arrival import Arrival, Protocol
from tandem.exchange.failures import session_failure
from tandem.exchange.proxy_head import proxy_head
from tandem.ports.udp_listener import Caller, UdpListener, answer
from tandem.server import published_flows
from tandem.server.publication import Publication
from tandem.server.published_flows import PublishedFlows
from tandem.server.quotas import ClientLimits
from tandem.server.rates import ClientRates
from tandem_transport.driver import Stream


def arrival(peer: str, reached: str, protocol: Protocol = Protocol.TCP) -> Arrival:
    return Arrival(protocol, "web", (peer, 0x1234), (reached, 443))


SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


@pytest.mark.parametrize(
    ("made", "rest"),
    [
        (arrival("192.0.2.1", "192.0.2.2"), "2111 000c c0000201 c0000202 1234 01bb"),
        (arrival("192.0.2.1", "192.0.2.2", Protocol.UDP), "2112 000c c0000201 c0000202 1234 01bb"),
        (arrival("2001:db8::1", "::1"), f"2121 0024 20010db8{'0' * 23}1 {'0' * 31}1 1234 01bb"),
        (arrival("2001:db8::1", "::1", Protocol.UDP), f"2122 0024 20010db8{'0' * 23}1 {'0' * 31}1 1234 01bb"),
        (arrival("192.0.2.1", "::1"), "2100 0000"),
        (arrival("nonsense", "::1"), "2100 0000"),
    ],
)
def test_the_proxy_protocol_has_both_addresses(made: Arrival, rest: str) -> None:
    assert proxy_head(made) == SIGNATURE + bytes.fromhex(rest)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('name = "a"', "one of them is needed"),
        ('name = "a"\ntarget = "h:1"\nlisten = "127.0.0.1:1"\nclient = "c"', "one of them is needed"),
        ('name = "a"\nlisten = "127.0.0.1:1"', "client"),
        ('name = "a"\ntarget = "h:1"\nhold = 3', "are a server's"),
        ('name = "a"\ntarget = "h"', "HOST:PORT"),
        ('name = "a"\ntarget = "h:1"\nprotocol = "icmp"', "'both', 'tcp' or 'udp'"),
        ('name = "a"\ntarget = "h:1"\n[[publish]]\nname = "a"\ntarget = "h:2"', "name a is there twice"),
        (
            'name = "a"\nclient = "c"\nlisten = "127.0.0.1:1"\n[[publish]]\nname = "b"\nclient = "c"\n'
            'listen = "127.0.0.1:1"',
            "listen 127.0.0.1:1 is there twice",
        ),
    ],
)
def test_mistakes_in_publications_are_told(tmp_path: Path, table: str, words: str) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(f"[[publish]]\n{table}\n")
    with pytest.raises(UsageError) as caught:
        load(file)
    assert words in str(caught.value)


def test_two_clients_may_have_the_same_name_for_different_ports(tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(
        '[[publish]]\nname = "web"\nclient = "home"\nlisten = "0.0.0.0:1"\n'
        '[[publish]]\nname = "web"\nclient = "office"\nlisten = "0.0.0.0:2"\n'
    )
    home, office = load(file).publish
    assert (home.admits("home"), home.admits("office"), office.admits("office")) == (True, False, True)


def test_a_star_alone_is_special_in_the_clients_name() -> None:
    section = PublishConfig(name="web", client="h*[1]?", listen="127.0.0.1:1")
    assert section.admits("home[1]?")
    assert not section.admits("home1x")


async def test_only_named_networks_and_this_machine_reach_a_publication() -> None:
    section = PublishConfig(name="web", client="*", listen="127.0.0.1:1", allow_from=["192.0.2.0/24"])

    def open_stream(_: object) -> None:
        raise AssertionError

    made = Publication(section, ClientLimits(1, 1), ClientRates(lambda name: None), open_stream)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert [made.admits_peer(host) for host in ("192.0.2.9", "198.51.100.1", "127.0.0.1")] == [True, False, True]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_udp_listener_answers_from_the_address_that_was_reached(host: str) -> None:
    got: list[tuple[Caller, bytes]] = []
    come = asyncio.Event()

    def receive(caller: Caller, data: bytes) -> None:
        got.append((caller, data))
        come.set()

    listener = UdpListener(receive)
    await listener.listen(host, 0)
    reached = "127.0.0.5" if host == "0.0.0.0" else "::1"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.6" if host == "0.0.0.0" else "::1", 0))
        sock.setblocking(False)
        sock.sendto(b"hello", (reached, listener.port))
        await come.wait()
        assert answer(got[0][0], b"world")
        data, peer = await asyncio.get_running_loop().sock_recvfrom(sock, 100)
    listener.close()
    assert (got[0][0].reached, got[0][1]) == (reached, b"hello")
    assert (data, peer[:2]) == (b"world", (reached, peer[1]))


def caller(number: int, sock: socket.socket) -> Caller:
    return Caller("192.0.2.1", number, "192.0.2.2", sock, ("192.0.2.1", number), 0)


async def test_peers_that_are_pushed_out_are_gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_flows, "MAX_FLOWS", 10)
    waiting = asyncio.Event()

    async def open_flow(_: tuple[str, int], __: tuple[str, int]) -> tuple[str, Stream]:
        await waiting.wait()
        raise AssertionError

    flows = PublishedFlows(open_flow, ClientLimits(1, 1), ClientRates(lambda name: None))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        for number in range(1, 50):
            flows.receive(caller(number, sock), b"x")
            assert len(flows) <= 10
        await flows.close()
    assert len(flows) == 0


async def test_refused_peers_leave_no_tasks() -> None:
    async def open_flow(_: tuple[str, int], __: tuple[str, int]) -> tuple[str, Stream]:
        raise session_failure("nobody")

    flows = PublishedFlows(open_flow, ClientLimits(1, 1), ClientRates(lambda name: None))
    before = len(asyncio.all_tasks())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        for number in range(1, 50):
            flows.receive(caller(number, sock), b"x")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert len(flows) == 0
        assert len(asyncio.all_tasks()) <= before + 1
        await flows.close()


def test_what_arrives_has_a_share_of_its_own() -> None:
    limits = ClientLimits(10, 100, share=0.5)
    assert limits.of("laptop") == (5, 100)
    assert ClientLimits(1, 1, share=0.5).of("laptop") == (1, 1)
