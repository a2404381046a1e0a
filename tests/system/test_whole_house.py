"""A device that knows nothing of proxies, behind a router that runs Tandem over two links, all in network namespaces.

Needs root, Linux and nft, else the tests skip.
"""

import contextlib
import hashlib
import shutil
import socket
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from loopback import Hosts, Pair, Target, run_tandem
from loopback.house import LAN, PLACE, PLACE_V6, House

pytestmark = pytest.mark.skipif(
    shutil.which("ip") is None or shutil.which("nft") is None, reason="needs iproute2 and nftables"
)

NAME = "www.house.test"


@pytest.fixture
def house() -> Iterator[House]:
    try:
        made = House()
    except OSError as error:
        pytest.skip(f"no network namespaces: {error}")
    yield made
    made.close()


@pytest.fixture
def pair(tmp_path: Path, house: House) -> Iterator[Pair]:
    made = Pair(tmp_path, Hosts.command(house.router), Hosts.command(house.net.server))
    made.listen = ["10.90.0.2:8120"]
    made.endpoints = ["10.90.0.2:8120"]
    config = tmp_path / "server.toml"
    config.write_text(f'[server]\nhosts = {{"{NAME}" = ["{PLACE}"]}}\n')
    made.start_server("--config", str(config), "--allow", f"{PLACE}/32", "--allow", f"{PLACE_V6}/128")
    yield made
    made.close()


@pytest.fixture
def target(house: House) -> Iterator[Target]:
    made = Target(house.socket_at_server(PLACE, 0, socket.SOCK_STREAM))
    yield made
    made.close()


@contextlib.contextmanager
def serving(sock: socket.socket, answer: "type[Echo] | type[NameServer]") -> Generator[int]:
    """Answers each datagram in a thread; gives the port."""
    thread = answer(sock)
    yield sock.getsockname()[1]
    thread.close()


class Echo(threading.Thread):
    """Answers each datagram with the same bytes."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self._sock = sock
        self._sock.settimeout(0.2)
        self._is_closed = False
        self.start()

    def run(self) -> None:
        with self._sock:
            while not self._is_closed:
                with contextlib.suppress(TimeoutError):
                    data, peer = self._sock.recvfrom(65536)
                    self._sock.sendto(self.answer(data), peer)

    def answer(self, data: bytes) -> bytes:
        return data

    def close(self) -> None:
        self._is_closed = True
        self.join()


class NameServer(Echo):
    """Knows one name."""

    def answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        made = dns.message.make_response(query)
        if query.question[0].rdtype.name == "A":
            made.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", PLACE))
        return made.to_wire()


def start(pair: Pair, house: House, more: str = "", *options: str) -> None:
    """Starts the client on the router, and loads the firewall's rules; nothing is missing then."""
    config = pair.directory / "client.toml"
    config.write_text(f'[transparent]\nlisten = ["0.0.0.0:1081", "[::]:1081"]\ndns_server = "{PLACE}:53"\n{more}\n')
    named = ("--config", str(config))
    pair.start_client(pair.invite(), *named)
    arguments = ("--lan", LAN, *options, *named)
    made = run_tandem("lan", "nft", *arguments, at=Hosts.command(house.router), environment=pair.environment)
    rules = pair.directory / "tandem.nft"
    rules.write_text(made.stdout)
    before = run_tandem("lan", "check", *arguments, at=Hosts.command(house.router), environment=pair.environment)
    assert before.returncode == 1
    assert "table inet tandem is not loaded" in before.stdout
    done = house.run(house.router, "nft", "-f", str(rules))
    assert done.returncode == 0, done.stderr
    for line in made.stdout.splitlines():
        if line.startswith("# before: "):
            house.run(house.router, *line.removeprefix("# before: ").split())
    after = run_tandem("lan", "check", *arguments, at=Hosts.command(house.router), environment=pair.environment)
    assert after.returncode == 0, after.stdout


@pytest.mark.smoke
def test_a_device_uses_both_links_and_knows_nothing_of_it(pair: Pair, house: House, target: Target) -> None:
    start(pair, house)
    url = f"http://{PLACE}:{target.port}"
    assert house.curl(f"{url}/bytes/100000").stdout == target.content(100_000)
    assert target.peers == [PLACE], "the server's own host, not the router"
    with serving(house.socket_at_server(PLACE, 0, socket.SOCK_DGRAM), Echo) as port:
        assert house.udp(PLACE, port) == [[str(number), True] for number in range(5)]
    with serving(house.socket_at_server(PLACE_V6, 0, socket.SOCK_DGRAM), Echo) as port:
        assert house.udp(PLACE_V6, port) == [[str(number), True] for number in range(5)]
    with serving(house.socket_at_server(PLACE, 53, socket.SOCK_DGRAM), NameServer):
        assert house.curl(f"http://{NAME}:{target.port}/bytes/1000").stdout == target.content(1000)
    by_v6 = Target(house.socket_at_server(PLACE_V6, 0, socket.SOCK_STREAM))
    assert house.curl(f"http://[{PLACE_V6}]:{by_v6.port}/bytes/1000").stdout == target.content(1000)
    by_v6.close()
    status = pair.client_status()
    assert status["session"]["streams_total"] >= 4


def test_a_download_goes_on_when_a_link_is_cut(pair: Pair, house: House, target: Target) -> None:
    start(pair, house)
    done: list[bytes] = []
    url = f"http://{PLACE}:{target.port}/bytes/20000000"
    thread = threading.Thread(target=lambda: done.append(house.curl(url, "--limit-rate", "4M").stdout))
    thread.start()
    pair.wait(lambda: pair.client_status()["session"]["bytes_down"] > 1_000_000, "data")
    house.ip(house.router, "link", "set", "wan0", "down")
    thread.join()
    assert hashlib.sha256(done[0]).hexdigest() == Target.sha256(20_000_000)


def test_nothing_gets_past_the_session(pair: Pair, house: House, target: Target) -> None:
    assert house.curl(f"http://{PLACE}:{target.port}/bytes/10", "--max-time", "5").returncode != 0
    house.ip(house.net.router, "route", "add", "10.70.0.0/24", "via", "10.80.0.2")
    assert house.curl(f"http://{PLACE}:{target.port}/bytes/10").stdout == target.content(10), "there is a way past"
    assert target.peers == ["10.70.0.2"]
    start(pair, house)
    assert house.run(house.device, "ping", "-c", "1", "-W", "2", PLACE).returncode != 0
    assert house.curl(f"http://{PLACE}:{target.port}/bytes/10").stdout == target.content(10)
    assert pair.client is not None
    pair.client.terminate()
    pair.client.wait(30)
    assert house.curl(f"http://{PLACE}:{target.port}/bytes/10", "--max-time", "5").returncode != 0
    assert target.peers == ["10.70.0.2", PLACE]
    with serving(house.socket_at_server(PLACE, 0, socket.SOCK_DGRAM), Echo) as port:
        assert house.udp(PLACE, port, 1) == []


def test_names_reach_the_server_and_the_routes_by_fake_addresses(pair: Pair, house: House, target: Target) -> None:
    blocked = '[[route]]\nmatch = "*.blocked.test"\nvia = "block"'
    start(pair, house, f'dns = "fake"\n{blocked}')
    assert house.curl(f"http://{NAME}:{target.port}/bytes/1000").stdout == target.content(1000)
    pair.wait(lambda: f"{NAME}:{target.port}" in pair.log("server"), "the name at the server")
    with serving(house.socket_at_server(PLACE, 0, socket.SOCK_DGRAM), Echo) as port:
        assert house.udp(NAME, port) == [[str(number), True] for number in range(5)]
    assert house.curl(f"http://www.blocked.test:{target.port}/", "--max-time", "20").returncode != 0
    assert "route 1, *.blocked.test" in pair.log("client")


def test_redirect_needs_no_right_and_lets_no_datagram_out(pair: Pair, house: House, target: Target) -> None:
    house.ip(house.net.router, "route", "add", "10.70.0.0/24", "via", "10.80.0.2")
    start(pair, house, "", "--tcp-only")
    assert house.curl(f"http://{PLACE}:{target.port}/bytes/100000").stdout == target.content(100_000)
    assert target.peers == [PLACE]
    with serving(house.socket_at_server(PLACE, 0, socket.SOCK_DGRAM), Echo) as port:
        assert house.udp(PLACE, port, 1) == []


def test_the_port_is_no_open_proxy(pair: Pair, house: House, target: Target) -> None:
    start(pair, house)
    assert house.curl("http://10.70.0.1:1081/", "--max-time", "20").returncode in (7, 56)  # a reset, soon or at once
    assert "meant for nobody else" in pair.log("client")
