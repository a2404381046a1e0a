"""Clients that people use, as they come: each fetches through a client and a server of Tandem.

Once over clean links, once with 10 % loss on both. Where a program is not installed, its tests are skipped.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

import aiohttp
import httpx
import pytest
import socks
from aiohttp_socks import ProxyConnector
from python_socks import ProxyError
from python_socks.sync import Proxy

from loopback import Gate, Pair, Sshd, Target, free_port, link_options, tandem_command
from tandem.config.passwords import hash_password

assert sys.platform != "win32"  # see conftest.py

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
SIZE = 200_000
REQUEST = f"GET /bytes/{SIZE} HTTP/1.0\r\n\r\n".encode()
CONTENT = Target.content(SIZE)


class World:
    """A pair of processes, a target, and what commands say for them."""

    def __init__(self, pair: Pair, target: Target) -> None:
        self.pair, self.target = pair, target
        host, _, port = pair.proxy.partition(":")
        self.words = {
            "proxy": pair.proxy,
            "proxy_host": host,
            "proxy_port": port,
            "port": str(target.port),
            "url": target.url(f"bytes/{SIZE}"),
            "named": f"http://localhost:{target.port}/bytes/{SIZE}",
            "closed": str(free_port()),
        }

    def run(self, command: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """A command with `$words` in it; skips the test where the program is not there."""
        parts = [Template(part).substitute(self.words) for part in command.split()]
        if shutil.which(parts[0]) is None:
            pytest.skip(f"{parts[0]} is not installed")
        return subprocess.run(parts, input=data, capture_output=True, timeout=200, check=False)


@pytest.fixture(scope="module", params=[0.0, 0.10], ids=["clean", "lossy"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    pair, target = Pair(tmp_path_factory.mktemp("world")), Target()
    gates = [Gate(("127.0.0.1", port), seed=i, loss=request.param) for i, port in enumerate(pair.udp_ports)]
    pair.start_server("--forward", f"web=127.0.0.1:{target.port}")
    pair.start_client(pair.invite(), *link_options(gates))
    yield World(pair, target)
    pair.close()
    for gate in gates:
        gate.close()
    target.close()


# --- command-line clients ---

FETCHES = [
    "curl -sS --socks5 $proxy $url",
    "curl -sS --socks5-hostname $proxy $named",
    "curl -sS --proxy socks4://$proxy $url",
    "curl -sS --proxy socks4a://$proxy $named",
    "curl -sS --proxy http://$proxy $named",
    "curl -sS --proxytunnel --proxy http://$proxy $named",
    "curl -sS --proxy socks5h://any:thing@$proxy $named",
    "curl -sS --socks5-hostname $proxy http://web.forward/bytes/200000",
]

TALKS = [
    "nc -N -X 5 -x $proxy 127.0.0.1 $port",
    "nc -N -X 4 -x $proxy 127.0.0.1 $port",
    "nc -N -X connect -x $proxy 127.0.0.1 $port",
    "ncat --proxy $proxy --proxy-type socks5 127.0.0.1 $port",
    "ncat --proxy $proxy --proxy-type socks5 --proxy-dns remote localhost $port",
    "ncat --proxy $proxy --proxy-type socks4 127.0.0.1 $port",
    "ncat --proxy $proxy --proxy-type http 127.0.0.1 $port",
    "connect-proxy -5 -R remote -S $proxy localhost $port",
    "connect-proxy -4 -R remote -S $proxy localhost $port",
    "connect-proxy -H $proxy localhost $port",
]


@pytest.mark.smoke
@pytest.mark.sampled
@pytest.mark.parametrize("command", FETCHES)
def test_curl_fetches(world: World, command: str) -> None:
    done = world.run(command)
    assert (done.returncode, done.stdout == CONTENT) == (0, True), done.stderr


@pytest.mark.parametrize("command", TALKS)
def test_what_is_piped_in_ends_and_the_answer_comes(world: World, command: str) -> None:
    done = world.run(command, REQUEST)
    assert done.stdout.partition(b"\r\n\r\n")[2] == CONTENT, done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("host", "reply"), [("127.0.0.1", 5), ("[::1]", 2), ("nowhere.invalid", 4), ("10.1.2.3", 2), ("no.forward", 4)]
)
def test_curl_names_the_reply(world: World, host: str, reply: int) -> None:
    done = world.run(f"curl -sS --socks5-hostname $proxy http://{host}:$closed/")
    assert done.returncode == 97
    assert f"({reply})".encode() in done.stderr


def test_curl_hears_from_the_http_proxy_what_is_wrong(world: World) -> None:
    done = world.run("curl -sS --proxy http://$proxy http://nowhere.invalid/")
    assert b"name at the server: cannot resolve nowhere.invalid" in done.stdout
    assert "name at the server: cannot resolve" in world.pair.log("client")


@pytest.mark.skipif(shutil.which("proxychains4") is None, reason="proxychains4 is not installed")
def test_proxychains(world: World, tmp_path: Path) -> None:
    config = tmp_path / "proxychains.conf"
    place = f"{world.words['proxy_host']} {world.words['proxy_port']}"
    config.write_text(f"strict_chain\nproxy_dns\nquiet_mode\n[ProxyList]\nsocks5 {place}\n")
    done = world.run(f"proxychains4 -q -f {config} curl -sS $named")
    assert done.stdout == CONTENT, done.stderr


# --- ssh ---

PROXY_COMMANDS = [
    "nc -X 5 -x $proxy %h %p",
    "ncat --proxy $proxy --proxy-type socks5 %h %p",
    "connect-proxy -5 -S $proxy %h %p",
    f"{' '.join(tandem_command())} connect --proxy $proxy %h %p",
]


@pytest.mark.smoke
@pytest.mark.sampled
@pytest.mark.skipif(os.geteuid() != 0, reason="sshd needs root to log a user in")
@pytest.mark.skipif(shutil.which("ssh") is None or not Path(SSHD).exists(), reason="no OpenSSH client and server")
@pytest.mark.parametrize("command", PROXY_COMMANDS, ids=["nc", "ncat", "connect-proxy", "tandem connect"])
def test_ssh(world: World, command: str, tmp_path: Path) -> None:
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    sshd = Sshd(SSHD, tmp_path)
    try:
        done = sshd.run(Template(command).substitute(world.words), "echo ok; yes | head -c 3000000")
        assert (done.returncode, len(done.stdout)) == (0, 3_000_003), done.stderr
    finally:
        sshd.close()


# --- libraries ---


def test_python_socks(world: World) -> None:
    proxy = Proxy.from_url(f"socks5://{world.pair.proxy}", rdns=True)
    with proxy.connect("localhost", world.target.port) as sock:
        sock.sendall(REQUEST)
        assert _read_all(sock).endswith(CONTENT)
    with pytest.raises(ProxyError) as caught:
        proxy.connect("127.0.0.1", int(world.words["closed"]))
    assert caught.value.error_code == 5
    for scheme in ("socks4", "http"):
        with Proxy.from_url(f"{scheme}://{world.pair.proxy}").connect("127.0.0.1", world.target.port) as sock:
            sock.sendall(REQUEST)
            assert _read_all(sock).endswith(CONTENT)


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_httpx(world: World, scheme: str) -> None:
    with httpx.Client(proxy=f"{scheme}://{world.pair.proxy}", timeout=60) as client:
        assert client.get(world.words["named"]).content == CONTENT


async def test_aiohttp_socks(world: World) -> None:
    connector = ProxyConnector.from_url(f"socks5://{world.pair.proxy}", rdns=True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def fetch() -> bytes:
            async with session.get(world.words["named"]) as answer:
                return await answer.read()

        for content in await asyncio.gather(*(fetch() for _ in range(20))):
            assert content == CONTENT


@pytest.mark.smoke
@pytest.mark.sampled
def test_pysocks_over_udp(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo, _pysocks(world, socket.SOCK_DGRAM) as sock:
        echo.bind(("127.0.0.1", 0))
        echo.settimeout(2)
        sock.settimeout(2)
        for _ in range(30):  # datagrams may be lost, and so say we
            try:
                sock.sendto(b"question", echo.getsockname())
                question, client = echo.recvfrom(100)
                echo.sendto(b"answer to " + question, client)
                assert sock.recvfrom(100) == (b"answer to question", echo.getsockname())
                return
            except TimeoutError:
                continue
        raise AssertionError("no datagram came through")


def test_pysocks_over_tcp(world: World) -> None:
    for kind, rdns in ((socks.SOCKS5, True), (socks.SOCKS5, False), (socks.SOCKS4, True), (socks.HTTP, True)):
        with _pysocks(world, socket.SOCK_STREAM, kind, rdns=rdns) as sock:
            sock.connect(("localhost" if rdns else "127.0.0.1", world.target.port))
            sock.sendall(REQUEST)
            assert _read_all(sock).endswith(CONTENT)


# --- passwords ---


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A client whose port needs a password."""
    directory = tmp_path_factory.mktemp("locked")
    pair, target = Pair(directory), Target()
    config = directory / "tandem.toml"
    config.write_text(f'[[socks.user]]\nname = "anna"\npassword = "{hash_password("secret")}"\n')
    config.chmod(0o600)
    pair.start_server()
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3", "--config", str(config))
    yield World(pair, target)
    pair.close()
    target.close()


@pytest.mark.parametrize(
    "command",
    [
        "curl -sS --proxy socks5h://anna:secret@$proxy $named",
        "curl -sS --proxy http://anna:secret@$proxy $named",
        "curl -sS --proxytunnel --proxy http://anna:secret@$proxy $named",
    ],
)
def test_curl_with_the_password(locked: World, command: str) -> None:
    assert locked.run(command).stdout == CONTENT


def test_the_wrong_password_is_named(locked: World) -> None:
    done = locked.run("curl -sS --proxy socks5h://anna:wrong@$proxy $named")
    assert (done.returncode, b"User was rejected" in done.stderr) == (97, True), done.stderr
    assert locked.run("curl -sS --proxy socks5h://$proxy $named").returncode == 97
    assert locked.run("curl -sS --proxy socks4a://anna@$proxy $named").returncode == 97
    done = locked.run("curl -sS -o /dev/null -w %{http_code} --proxy http://anna:wrong@$proxy $named")
    assert done.stdout == b"407"
    assert "secret" not in locked.pair.log("client")


def test_connect_with_the_password(locked: World, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o600)
    connect = f"{' '.join(tandem_command())} connect --proxy $proxy localhost $port"
    assert locked.run(f"{connect} --user anna --password-file {file}", REQUEST).stdout.endswith(CONTENT)
    for given in ("", f"--user peter --password-file {file}"):
        done = locked.run(f"{connect} {given}")
        assert done.returncode == 1
        assert b"wants a name and its password" in done.stderr
    assert "wrong password, or no such user: 'peter'" in locked.pair.log("client")
    assert locked.run(f"{connect} --user anna").returncode == 2


def test_ncat_with_the_password(locked: World) -> None:
    done = locked.run("ncat --proxy $proxy --proxy-type socks5 --proxy-auth anna:secret 127.0.0.1 $port", REQUEST)
    assert done.stdout.endswith(CONTENT), done.stderr


def _pysocks(
    world: World, kind: socket.SocketKind, proxy: int = socks.SOCKS5, *, rdns: bool = True
) -> socks.socksocket:
    sock = socks.socksocket(socket.AF_INET, kind)
    sock.set_proxy(proxy, world.words["proxy_host"], int(world.words["proxy_port"]), rdns=rdns)
    sock.settimeout(60)
    return sock


def _read_all(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data
