"""Routes of a running client: what goes past the session, with curl, UDP and a browser."""

import html
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from loopback import Pair, Target
from loopback.download import Fetch
from loopback.processes import run_tandem
from loopback.target import BLOCK
from tandem.config.passwords import hash_password
from tandem_transport.driver import can_steer

assert sys.platform != "win32"  # see conftest.py

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


@pytest.fixture
def berlin(tmp_path: Path) -> Iterator[Pair]:
    """A further server; its invite is in `berlin.invite`."""
    (tmp_path / "berlin").mkdir()
    made = Pair(tmp_path / "berlin")
    invite = tmp_path / "berlin.invite"
    invite.write_text(made.invite())
    invite.chmod(0o600)
    yield made
    made.close()


def exit_table(directory: Path) -> str:
    """The configuration of the further server whose invite is in this directory."""
    return f'[[exit]]\nname = "berlin"\ninvite = "@{directory / "berlin.invite"}"'


def write_config(pair: Pair, *routes: tuple[str, str], more: str = "") -> tuple[str, str]:
    """A configuration with these routes; returns the options that name it."""
    path = pair.directory / "tandem.toml"
    tables = "\n".join(f'[[route]]\nmatch = "{match}"\nvia = "{via}"' for match, via in routes)
    path.write_text(f"{more}\n{tables}\n")
    return "--config", str(path)


@pytest.mark.smoke
def test_connections_take_the_way_that_the_routes_say(pair: Pair, target: Target) -> None:
    over_link, blocked = Target(), Target()
    listed = pair.directory / "list"
    listed.write_text("nothing.example\n")
    routes = (
        (f"localhost:{target.port}", "direct"),
        (f"127.0.0.1:{over_link.port}", "link:b"),
        (f"*:{blocked.port}", "block"),
        (f"@{listed}", "block"),
    )
    pair.start_server()
    pair.start_client(pair.invite(), *LINKS, *write_config(pair, *routes))
    slow = Fetch(pair, f"http://localhost:{target.port}/held/2")
    pair.wait(lambda: target.connections == 1, "the connection")
    streams = pair.client_status()["streams"]
    assert [(stream["target"], stream["via"]) for stream in streams] == [(f"localhost:{target.port}", "direct")]
    target.may_end.set()
    slow.join(60)
    assert slow.code == 0
    pair.wait(lambda: "down, ended by both ends, direct" in pair.log("client"), "the end of the connection")
    assert "localhost" not in pair.log("server")
    for proxy in ("--socks5-hostname", "--proxy"):  # of two, curl takes the last
        done = pair.curl(over_link.url("bytes/100000"), proxy, pair.proxy)
        assert done.stdout == over_link.content(100_000)
    assert over_link.peers == ["127.0.0.3", "127.0.0.3"]
    assert pair.curl(blocked.url("bytes/1")).returncode == 97
    assert "route 3, *" in pair.log("client")
    assert blocked.connections == 0
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    pair.wait(lambda: f"127.0.0.1:{target.port}" in pair.log("server"), "the server's word of what went through it")
    listed.write_text("127.0.0.1\n")
    os.utime(listed, ns=(1, 1))
    pair.wait(lambda: "was read again" in pair.log("client"), "the list")
    assert pair.curl(target.url("bytes/1000")).returncode == 97
    for each in (over_link, blocked):
        each.close()


def test_a_route_leads_through_a_further_server(pair: Pair, berlin: Pair, target: Target, tmp_path: Path) -> None:
    there = Target()
    more = exit_table(tmp_path)
    options = write_config(pair, (f"*:{there.port}", "server:berlin"), more=more)
    pair.start_server()
    berlin.start_server()
    pair.start_client(pair.invite(), *LINKS, *options)
    assert pair.curl(there.url("bytes/100000")).stdout == there.content(100_000)
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    assert [(item["name"], item["state"]) for item in pair.client_status()["exits"]] == [("berlin", "up")]
    pair.wait(lambda: f"127.0.0.1:{there.port}: " in berlin.log("server"), "what went through berlin")
    assert str(there.port) not in pair.log("server")
    assert str(target.port) not in berlin.log("server")
    berlin.close()
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000), "the other one is not needed for it"
    there.close()


def test_two_sessions_need_two_invites(pair: Pair, tmp_path: Path) -> None:
    invite = tmp_path / "berlin.invite"
    invite.write_text(pair.invite())
    invite.chmod(0o600)
    config = write_config(pair, more=exit_table(tmp_path))
    done = run_tandem("client", f"@{invite}", *config, "--no-console", environment=pair.environment)
    assert done.returncode == 2
    assert "another session uses this invite" in done.stderr
    invite.write_text("nothing\n")
    done = run_tandem("client", pair.invite("phone"), *config, "--no-console", environment=pair.environment)
    assert done.returncode == 2
    assert "exit berlin: 0 invites" in done.stderr


@pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")
def test_an_upgrade_of_a_further_server_ends_no_connection_through_it(
    pair: Pair, berlin: Pair, target: Target, tmp_path: Path
) -> None:
    more = exit_table(tmp_path)
    pair.start_server()
    berlin.start_server("--workers", "2")
    pair.start_client(pair.invite(), *LINKS, *write_config(pair, ("*", "server:berlin"), more=more))
    held = Fetch(pair, target.url("held/4"))
    pair.wait(lambda: target.connections == 1, "the download")
    assert berlin.server is not None
    berlin.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: "upgraded: other workers serve" in berlin.log("server"), "the upgrade")
    pair.wait(lambda: berlin.log("server").count("session started") == 2, "a session with the new workers")
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    target.may_end.set()
    held.join(120)
    assert (held.code, held.data) == (0, bytes(4 * BLOCK))
    pair.wait(lambda: berlin.log("server").count("has retired") == 2, "the end of the workers before")


def test_new_connections_go_past_a_server_that_does_not_answer(pair: Pair, target: Target) -> None:
    options = write_config(pair, more='outage = "direct"\noutage_after = 5')
    invite = pair.invite()
    pair.start_client(invite, *LINKS, *options, wait=False)
    pair.wait(lambda: pair.status(pair.client_admin) is not None, "the client")
    time.sleep(6)
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    pair.wait(lambda: ", direct" in pair.log("client"), "the end of the connection")
    pair.start_server()
    pair.wait(lambda: pair.session_state() == "up", "a session")
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    assert pair.log("client").count(", direct") == 1


def other_address() -> str:
    """An IPv4 address of this machine that is not loopback."""
    found = [
        item.address for items in psutil.net_if_addrs().values() for item in items if item.family == socket.AF_INET
    ]
    return next((address for address in found if not address.startswith("127.")), "")


def test_a_port_for_others_is_no_door_into_this_machine(pair: Pair, target: Target) -> None:
    address = other_address()
    if not address:
        pytest.skip("this machine has no address but loopback")
    more = f'[socks]\nallow_from = ["{address}/32"]'
    options = write_config(pair, ("*", "direct"), more=more)
    pair.start_server()
    pair.start_client(pair.invite(), *LINKS, *options, "--socks", f"0.0.0.0:{pair.socks_port}")
    other = ("--socks5-hostname", f"{address}:{pair.socks_port}")
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    assert pair.curl(target.url("bytes/1000"), *other).returncode == 97
    assert "is in a network of this machine" in pair.log("client")
    assert target.connections == 1


# What a browser offers to an automatic configuration, as Netscape defined it; a headless one has no such configuration.
SHIMS = """
function isPlainHostName(host) { return host.indexOf(".") < 0; }
function shExpMatch(text, pattern) {
  const escaped = pattern.replace(/[.+^${}()|[\\]\\\\]/g, "\\\\$&").replace(/\\*/g, ".*").replace(/\\?/g, ".");
  return new RegExp("^" + escaped + "$").test(text);
}
function number(text) { return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0); }
function isInNet(host, network, mask) {
  return (number(host) & number(mask)) === (number(network) & number(mask));
}
"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_automatic_configuration_does_in_a_browser_what_the_routes_say(pair: Pair, tmp_path: Path) -> None:
    routes = (
        ("web.near.test:8080", "block"),
        ("*.near.test", "direct"),
        ("192.0.2.0/24:80", "direct"),
        ("fd00::/8", "direct"),
        ("private", "direct"),
        ("*:25", "direct"),
    )
    pair.start_client(pair.invite(), *LINKS, *write_config(pair, *routes), wait=False)
    pair.wait(lambda: pair.status(pair.client_admin) is not None, "the client")
    pac = pair.curl(f"http://{pair.proxy}/proxy.pac", "--noproxy", "*").stdout.decode()
    expected = {
        "http://a.near.test/": True,
        "https://B.NEAR.test:8443/x?y=http://c:1": True,
        "http://web.near.test:8080/": False,
        "http://web.near.test/": True,
        "http://near.test/": False,
        "http://a.near.test./": True,
        "http://web.forward/": False,
        "http://192.0.2.9/": True,
        "https://192.0.2.9/": False,
        "http://u:p@192.0.3.9/": False,
        "http://10.1.2.3/": True,
        "http://[fd00::1]/": False,
        "http://[fd00::1]:25/": False,
        "http://nas/": True,
        "http://printer.local/": True,
        "http://far.test/": False,
        "http://far.test:25/": True,
        "ftp://far.test/": False,
    }
    page = tmp_path / "page.html"
    asked = [[url, urlsplit(url).hostname] for url in expected]
    page.write_text(
        f"<script>{SHIMS}\n{pac}\ndocument.title = JSON.stringify({json.dumps(asked)}.map("
        "([url, host]) => FindProxyForURL(url, host)));</script>"
    )
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--timeout=60000", "--dump-dom", page.as_uri()]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    found = json.loads(html.unescape(done.stdout.partition("<title>")[2].partition("</title>")[0]))
    there = f"SOCKS5 {pair.proxy}; SOCKS {pair.proxy}; PROXY {pair.proxy}"
    assert dict(zip(expected, found, strict=True)) == {
        url: "DIRECT" if is_direct else there for url, is_direct in expected.items()
    }


def test_a_command_says_which_route_is_taken_and_why(tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    user = f'[[socks.user]]\nname = "anna"\npassword = "{hash_password("secret")}"'
    file.write_text(f'outage = "direct"\n[[route]]\nmatch = "private"\nvia = "direct"\nuser = "anna"\n{user}\n')

    def route(*arguments: str) -> str:
        done = run_tandem("route", *arguments, "--config", str(file))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert route("nas:445", "--user", "anna") == "direct\troute 1, private for anna\n"
    assert route("nas:445").splitlines()[0] == "session\tno route matches"
    assert "has not answered for 30 s" in route("nas:445")
    assert route("web.forward:80", "--user", "anna").startswith("session\t")
    assert json.loads(route("10.0.0.1:1", "--user", "anna", "--json"))["route"] == 1
    done = run_tandem("route", "nas", "--config", str(file))
    assert done.returncode == 2
    assert "HOST:PORT" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[route]]\nmatch = "a b"\nvia = "direct"', "is accepted"),
        ('[[route]]\nmatch = "x"\nvia = "there"', "accepted is session, direct, block"),
        ('[[route]]\nmatch = "@/nowhere"\nvia = "direct"', "No such file"),
        ('[[link]]\nname = "a"\nbind = "eth0"\n[[route]]\nmatch = "x"\nvia = "link:b"', "there is no such link"),
        ('[[route]]\nmatch = "x"\nvia = "server:berlin"', "there is no such [[exit]]"),
        ('[[exit]]\nname = "a"\n[[route]]\nmatch = "x"\nvia = "server:a"', "invite"),
        ('[[route]]\nmatch = "x"\nvia = "block"\nuser = "anna"', "[[socks.user]] has no such name; it has: none"),
        ('outage = "maybe"', "hold"),
        ("outage_after = 1", "greater than or equal to 5"),
    ],
)
def test_mistakes_in_routes_are_told_before_anything_starts(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(text + "\n")
    done = run_tandem("config", "check", "--config", str(file))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
