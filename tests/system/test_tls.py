"""Links whose networks drop UDP: packets go through TLS, and come back to UDP."""

import hashlib
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Download, Gate, Pair, Target, free_port, link_options
from loopback.download import Fetch
from tandem_transport.driver import can_steer

assert sys.platform != "win32"  # see conftest.py

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


@pytest.fixture
def tls_port(pair: Pair) -> int:
    """The TLS port of the server, which is in the invite."""
    port = free_port()
    config = pair.directory / "server.toml"
    config.write_text(f'[server]\nlisten_tls = ["127.0.0.1:{port}"]\n')
    pair.endpoints.append(f"tls://127.0.0.1:{port}")
    return port


def start_server(pair: Pair) -> None:
    pair.start_server("--config", str(pair.directory / "server.toml"))


def transports(pair: Pair) -> list[str]:
    return [link["transport"] for link in pair.client_status()["links"]]


def at_server(pair: Pair) -> list[str]:
    status = pair.status(pair.server_admin)
    assert status is not None
    return [link["transport"] for session in status["sessions"] for link in session["links"]]


@pytest.mark.smoke
def test_a_link_uses_tls_while_udp_is_blocked_and_goes_back(
    pair: Pair, target: Target, tls_port: int, gates: list[Gate]
) -> None:
    start_server(pair)
    for gate in gates:
        gate.is_cut = True
    pair.start_client(pair.invite(), *link_options(gates))
    assert transports(pair) == ["tls", "tls"]
    assert at_server(pair) == ["tls", "tls"]
    assert pair.client_status()["links"][0]["remote"] == f"127.0.0.1:{tls_port}"
    download = Download(pair, target, 30_000_000)
    download.wait_for_data()
    gates[0].is_cut = False
    download.check()
    slow = Fetch(pair, target.url("held/1000"))
    pair.wait(lambda: transports(pair) == ["udp", "tls"], "UDP on one link", 150)
    pair.wait(lambda: sorted(at_server(pair)) == ["tls", "udp"], "the same at the server")
    target.may_end.set()
    slow.join(60)
    assert slow.code == 0
    assert "TLS connection has ended" not in pair.log("client"), "it was left, not lost"
    done = pair.curl(target.url("bytes/3000000"))
    assert hashlib.sha256(done.stdout).hexdigest() == Target.sha256(3_000_000)


def test_a_download_goes_on_when_udp_is_blocked_in_its_middle(
    pair: Pair, target: Target, tls_port: int, gates: list[Gate]
) -> None:
    start_server(pair)
    pair.start_client(pair.invite(), *link_options(gates))
    assert transports(pair) == ["udp", "udp"]
    download = Download(pair, target, 40_000_000)
    download.wait_for_data()
    for gate in gates:
        gate.is_cut = True
    pair.wait(lambda: transports(pair) == ["tls", "tls"], "TLS")
    download.check()


def test_a_link_that_is_to_use_tls_alone_needs_no_udp(pair: Pair, target: Target, tls_port: int) -> None:
    start_server(pair)
    config = pair.directory / "client.toml"
    config.write_text(
        '[[link]]\nname = "a"\nbind = "127.0.0.2"\ntransport = "tls"\n'
        '[[link]]\nname = "b"\nbind = "127.0.0.3"\ntransport = "udp"\n'
    )
    pair.start_client(pair.invite(), "--config", str(config))
    pair.wait(lambda: [link["state"] for link in pair.client_status()["links"]] == ["usable"] * 2, "both links")
    assert transports(pair) == ["tls", "udp"]
    done = pair.curl(target.url("bytes/3000000"))
    assert hashlib.sha256(done.stdout).hexdigest() == Target.sha256(3_000_000)


def test_the_status_says_why_tls_does_not_connect(pair: Pair, tls_port: int) -> None:
    pair.start_server()  # without listen_tls
    pair.endpoints = [f"tls://127.0.0.1:{tls_port}"]
    pair.start_client(pair.invite(), *LINKS, wait=False)
    pair.wait(lambda: pair.status(pair.client_admin) is not None, "the status")
    pair.wait(lambda: "Connection refused" in pair.client_status()["links"][0]["reason"], "the reason")


def test_a_tls_connection_that_ends_is_made_anew(pair: Pair, target: Target, tls_port: int) -> None:
    start_server(pair)
    pair.endpoints = [f"tls://127.0.0.1:{tls_port}"]
    pair.start_client(pair.invite(), *LINKS)
    slow = Fetch(pair, target.url("held/1000"))
    pair.wait(lambda: target.connections == 1, "the connection")
    for _ in range(2):
        subprocess.run(["ss", "-K", "dport", "=", f":{tls_port}"], capture_output=True, check=False)
        time.sleep(1)
    pair.wait(lambda: transports(pair) == ["tls", "tls"], "TLS")
    target.may_end.set()
    slow.join(60)
    assert slow.code == 0


@pytest.fixture
def stranger(pair: Pair, tls_port: int) -> Iterator[socket.socket]:
    start_server(pair)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", tls_port), 30) as sock, context.wrap_socket(sock) as tls:
        yield tls


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(4096):
        data += more
    return data


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"404 Not Found"),
        (b"POST /login HTTP/1.0\r\n\r\n", b"404 Not Found"),
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"\x00\x05hello\r\n\r\n" + bytes(30_000), b"400 Bad Request"),
    ],
)
def test_a_stranger_sees_a_web_server_without_a_site(stranger: socket.socket, said: bytes, status: bytes) -> None:
    stranger.sendall(said)
    answer = read_all(stranger)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"andem" not in answer


def test_plain_http_is_told_that_this_is_https(pair: Pair, tls_port: int) -> None:
    start_server(pair)
    done = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{tls_port}/"], capture_output=True, check=False)
    assert b"plain HTTP request was sent to HTTPS port" in done.stdout
    done = subprocess.run(["curl", "-sSk", f"https://127.0.0.1:{tls_port}/"], capture_output=True, check=False)
    assert b"404 Not Found" in done.stdout


def test_the_wish_for_tls_needs_an_endpoint(pair: Pair, tmp_path: Path) -> None:
    config = tmp_path / "client.toml"
    config.write_text('[[link]]\nname = "a"\nbind = "127.0.0.2"\ntransport = "tls"\n')
    pair.start_client(pair.invite(), "--config", str(config), wait=False)
    pair.wait(lambda: "no tls:// endpoint is known" in pair.log("client"), "the message")


@pytest.mark.skipif(not can_steer(), reason="several workers need Linux")
def test_connections_that_come_to_another_worker_than_their_clients(
    pair: Pair, target: Target, tls_port: int, tmp_path: Path
) -> None:
    pair.start_server("--config", str(pair.directory / "server.toml"), "--workers", "2")
    pair.endpoints = [f"tls://127.0.0.1:{tls_port}"]
    many = [item for number in range(2, 8) for item in ("--link", f"l{number}=127.0.0.{number}")]
    pair.start_client(pair.invite(), *many)
    pair.wait(lambda: all(link["state"] == "usable" for link in pair.client_status()["links"]), "all links")
    done = pair.curl(target.url("bytes/3000000"))
    assert hashlib.sha256(done.stdout).hexdigest() == Target.sha256(3_000_000)
    slow = Fetch(pair, target.url("held/1000"))
    pair.wait(lambda: target.connections == 2, "the connection")
    assert pair.server is not None
    pair.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: "retiring" in pair.log("server"), "the upgrade")
    pair.wait(lambda: pair.curl(target.url("bytes/1000")).stdout == target.content(1000), "a new connection", 150)
    target.may_end.set()
    slow.join(60)
    assert slow.code == 0
