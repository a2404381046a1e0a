"""Ports of the server that lead to a client's side, with curl, UDP sockets, and links that are cut."""

import contextlib
import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from loopback import Gate, Pair, Target, free_port, link_options, run_tandem
from tandem_transport.driver import can_steer

assert sys.platform != "win32"  # see conftest.py

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


def server_config(pair: Pair, *tables: str) -> tuple[str, str]:
    """A server's configuration with these publications; returns the options that name it."""
    path = pair.directory / "server.toml"
    path.write_text("\n".join(f"[[publish]]\n{table}" for table in tables))
    return "--config", str(path)


def listed(port: int, more: str = "", client: str = "laptop", name: str = "web") -> str:
    return f'client = "{client}"\nname = "{name}"\nlisten = "127.0.0.1:{port}"\n{more}'


def fetch(url: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["curl", "-sS", "--max-time", "120", *options, url], capture_output=True, check=False)


def published(pair: Pair) -> list[str]:
    return [item["state"] for item in pair.client_status()["published"]]


class UdpEcho(threading.Thread):
    """Answers each datagram with the same bytes and a sign before them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self.seen: list[bytes] = []
        self.start()

    def run(self) -> None:
        with self._sock:
            while (received := self._sock.recvfrom(65536))[0] != b"end":
                self.seen.append(received[0])
                self._sock.sendto(b"!" + received[0], received[1])

    def close(self) -> None:
        with udp_client(self.port) as sock:
            sock.send(b"end")
        self.join()


class HeadReader(threading.Thread):
    """Accepts one connection, and keeps what arrives."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self.data = b""
        self.start()

    def run(self) -> None:
        with self._sock, self._sock.accept()[0] as connection:
            while data := connection.recv(4096):
                self.data += data


@pytest.fixture
def udp() -> Iterator[UdpEcho]:
    made = UdpEcho()
    yield made
    made.close()


@pytest.fixture
def port() -> int:
    return free_port()


@contextlib.contextmanager
def udp_client(port: int, host: str = "127.0.0.1") -> Generator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(2)
        sock.connect(("127.0.0.1", port))
        yield sock


def ask(sock: socket.socket, data: bytes) -> bytes:
    """The answer to a datagram, which is sent again where none comes."""
    for _ in range(20):
        sock.send(data)
        with contextlib.suppress(OSError):
            while True:
                answer = sock.recv(65536)
                if answer[1:] == data:
                    return answer
        time.sleep(0.1)
    return b""


@pytest.mark.smoke
def test_a_published_port_leads_to_the_clients_side(pair: Pair, target: Target, udp: UdpEcho, port: int) -> None:
    udp_port = free_port()
    config = server_config(
        pair,
        listed(port, 'protocol = "tcp"'),
        listed(udp_port, 'protocol = "udp"', name="game"),
        listed(free_port(), name="unused"),
    )
    pair.start_server(*config)
    assert fetch(f"http://127.0.0.1:{port}/").returncode == 7  # refused
    options = ("--publish", f"web=localhost:{target.port}", "--publish", f"game=127.0.0.1:{udp.port}")
    pair.start_client(pair.invite(), *LINKS, *options)
    pair.wait(lambda: published(pair) == ["published", "published"], "the publication")
    done = fetch(f"http://127.0.0.1:{port}/bytes/3000000")
    assert hashlib.sha256(done.stdout).hexdigest() == Target.sha256(3_000_000)
    with udp_client(udp_port) as one, udp_client(udp_port, "127.0.0.9") as other:
        assert ask(one, b"hello") == b"!hello"
        assert ask(other, b"x" * 9000) == b"!" + b"x" * 9000
    status = pair.status(pair.server_admin)
    assert status is not None
    assert [(item["name"], item["client"]) for item in status["published"]] == [
        ("web", "laptop"),
        ("game", "laptop"),
        ("unused", ""),
    ]
    assert status["published"][1]["connections"] == 2
    assert "web (tcp) from 127.0.0.1" in pair.log("client")
    assert pair.client is not None
    pair.client.send_signal(signal.SIGTERM)
    pair.client.wait(20)
    pair.wait(lambda: fetch(f"http://127.0.0.1:{port}/").returncode == 7, "the refusal")


def test_nobody_publishes_what_the_server_does_not_list(pair: Pair, target: Target, port: int) -> None:
    config = server_config(pair, listed(port, client="home"))
    pair.start_server(*config)
    pair.start_client(pair.invite("laptop"), *LINKS, "--publish", f"web=127.0.0.1:{target.port}")
    pair.wait(lambda: published(pair) == ["refused"], "the refusal")
    assert "no [[publish]] web for laptop" in pair.client_status()["published"][0]["reason"]
    assert fetch(f"http://127.0.0.1:{port}/").returncode == 7
    assert target.connections == 0


def test_another_client_cannot_take_a_name_that_is_in_use(
    pair: Pair, target: Target, port: int, tmp_path: Path
) -> None:
    pair.start_server(*server_config(pair, listed(port, client="*")))
    pair.start_client(pair.invite("home"), *LINKS, "--publish", f"web=127.0.0.1:{target.port}")
    pair.wait(lambda: published(pair) == ["published"], "the publication")
    other = Pair(tmp_path / "other")
    other.directory.mkdir()
    other.endpoints = pair.endpoints
    other.start_client(pair.invite("office"), *LINKS, "--publish", "web=127.0.0.1:9")
    try:
        other.wait(lambda: published(other) == ["refused"], "the refusal")
        assert fetch(f"http://127.0.0.1:{port}/bytes/1000").stdout == target.content(1000)
    finally:
        other.close()


@pytest.mark.parametrize("end", ["client", "server"])
def test_the_target_learns_the_peers_address(pair: Pair, udp: UdpEcho, port: int, end: str) -> None:
    reader = HeadReader()
    udp_port, wanted = free_port(), "proxy_protocol = true"
    tables = (listed(port, wanted), listed(udp_port, wanted, name="dns"))
    if end == "client":
        tables = (listed(port), listed(udp_port, name="dns"))
    pair.start_server(*server_config(pair, *tables))
    own = pair.directory / "client.toml"
    own.write_text(
        "".join(
            f'[[publish]]\nname = "{name}"\ntarget = "127.0.0.1:{number}"\n{wanted if end == "client" else ""}\n'
            for name, number in (("web", reader.port), ("dns", udp.port))
        )
    )
    pair.start_client(pair.invite(), *LINKS, "--config", str(own))
    pair.wait(lambda: published(pair) == ["published"] * 2, "the publication")
    with socket.create_connection(("127.0.0.1", port), 60, source_address=("127.0.0.77", 0)) as sock:
        source = sock.getsockname()[1]
        sock.sendall(b"GET /")
    pair.wait(lambda: reader.data.endswith(b"GET /"), "the bytes")
    head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([127, 0, 0, 77, 127, 0, 0, 1])
    assert reader.data == head + source.to_bytes(2, "big") + port.to_bytes(2, "big") + b"GET /"
    with udp_client(udp_port, "127.0.0.78") as sock:
        sock.send(b"query")
        pair.wait(lambda: bool(udp.seen), "the datagram")
    assert udp.seen[0][:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c"
    assert udp.seen[0][16:24] == bytes([127, 0, 0, 78, 127, 0, 0, 1])
    assert udp.seen[0][28:] == b"query"


def test_connections_are_held_until_the_client_comes(pair: Pair, target: Target, port: int) -> None:
    pair.start_server(*server_config(pair, listed(port, "hold = 50")))
    done: list[subprocess.CompletedProcess[bytes]] = []
    thread = threading.Thread(target=lambda: done.append(fetch(f"http://127.0.0.1:{port}/bytes/1000")))
    thread.start()
    pair.start_client(pair.invite(), *LINKS, "--publish", f"web=127.0.0.1:{target.port}")
    thread.join()
    assert done[0].stdout == target.content(1000), done[0].stderr


def test_a_target_that_refuses_resets_the_connection(pair: Pair, port: int) -> None:
    pair.start_server(*server_config(pair, listed(port)))
    pair.start_client(pair.invite(), *LINKS, "--publish", f"web=127.0.0.1:{free_port()}")
    pair.wait(lambda: published(pair) == ["published"], "the publication")
    reset = fetch(f"http://127.0.0.1:{port}/").returncode
    assert reset in (56, 7), "curl gives 7 where the reset comes before it has looked at its new connection"
    assert "ECONNREFUSED" in pair.log("server")


def test_connections_live_through_an_outage(pair: Pair, target: Target, port: int, gates: list[Gate]) -> None:
    pair.start_server(*server_config(pair, listed(port)))
    links = link_options(gates)
    pair.start_client(pair.invite(), *links, "--publish", f"web=127.0.0.1:{target.port}")
    pair.wait(lambda: published(pair) == ["published"], "the publication")
    done: list[subprocess.CompletedProcess[bytes]] = []
    url = f"http://127.0.0.1:{port}/bytes/8000000"
    thread = threading.Thread(target=lambda: done.append(fetch(url, "--limit-rate", "2M")))
    thread.start()
    pair.wait(lambda: pair.client_status()["session"]["bytes_up"] > 1_000_000, "data")
    for gate in gates:
        gate.is_cut = True
    pair.wait(lambda: pair.session_state() == "outage", "the outage")
    time.sleep(2)
    for gate in gates:
        gate.is_cut = False
    thread.join()
    assert hashlib.sha256(done[0].stdout).hexdigest() == Target.sha256(8_000_000), done[0].stderr


def test_the_names_are_offered_again_to_a_server_that_was_restarted(pair: Pair, target: Target, port: int) -> None:
    config = server_config(pair, listed(port))
    pair.start_server(*config)
    pair.start_client(pair.invite(), *LINKS, "--publish", f"web=127.0.0.1:{target.port}")
    pair.wait(lambda: published(pair) == ["published"], "the publication")
    assert pair.server is not None
    pair.server.kill()
    pair.server.wait()
    pair.start_server(*config)
    pair.wait(lambda: fetch(f"http://127.0.0.1:{port}/bytes/10").stdout == target.content(10), "the publication")


def test_a_reloaded_server_ends_and_begins_publications(pair: Pair, target: Target, port: int) -> None:
    other = free_port()
    config = server_config(pair, listed(port))
    pair.start_server(*config)
    pair.start_client(pair.invite(), *LINKS, "--publish", f"web=127.0.0.1:{target.port}")
    pair.wait(lambda: published(pair) == ["published"], "the publication")
    server_config(pair, listed(other))
    assert pair.server is not None
    pair.server.send_signal(signal.SIGHUP)
    pair.wait(lambda: fetch(f"http://127.0.0.1:{other}/bytes/10").stdout == target.content(10), "the other port")
    assert fetch(f"http://127.0.0.1:{port}/").returncode == 7


def test_a_port_that_is_taken_is_an_error_at_the_start(pair: Pair, port: int) -> None:
    options = ("--state", str(pair.state), "--listen", pair.endpoints[0], "--admin", f"127.0.0.1:{pair.server_admin}")
    with socket.create_server(("127.0.0.1", port)):
        done = run_tandem("server", *options, *server_config(pair, listed(port)), environment=pair.environment)
    assert done.returncode == 1
    assert f"publish web: 127.0.0.1:{port}: Address already in use" in done.stderr


@pytest.mark.skipif(not can_steer(), reason="several workers need Linux")
def test_several_workers_publish_each_for_their_clients(pair: Pair, target: Target, port: int) -> None:
    config = server_config(pair, listed(port, "hold = 30"))
    pair.start_server(*config, "--workers", "2")
    pair.start_client(pair.invite(), *LINKS, "--publish", f"web=127.0.0.1:{target.port}")
    pair.wait(lambda: published(pair) == ["published"], "the publication")
    url = f"http://127.0.0.1:{port}/bytes/1000"
    assert all(fetch(url).stdout == target.content(1000) for _ in range(10))
    assert pair.server is not None
    done: list[subprocess.CompletedProcess[bytes]] = []
    slow = threading.Thread(target=lambda: done.append(fetch(url + "000", "--limit-rate", "200K")))
    slow.start()
    pair.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: "retiring" in pair.log("server"), "the upgrade")
    results: list[int] = []
    while slow.is_alive():
        results.append(fetch(url).returncode)
        time.sleep(0.05)
    assert results == [0] * len(results)
    slow.join()
    assert done[0].stdout == target.content(1_000_000)
