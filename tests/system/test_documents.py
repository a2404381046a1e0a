"""README and the tutorial as they are typed: two hosts with default ports, and nothing but what the documents say."""

import contextlib
import http.server
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from documented import DOCUMENTS, commands
from loopback.namespaces import Hosts
from loopback.routed import SERVER, UPLINKS, Routed

INVITE = "tandem invite laptop --endpoint SERVER:8120 --endpoint SERVER:8121 -o laptop.invite"

ELSEWHERE = {
    "make demo": "tests/system/test_console.py",
    "make test": ".ci/run",
    "sudo ufw allow 8120:8121/udp": "nowhere: ufw would change this machine",
    "sudo apt install pipx git": "nowhere: the machine's own packages",
    "git clone https://github.com/levitation/tandem": "nowhere: it needs the internet",
    "pipx ensurepath": "nowhere: it changes the shell's own files",
    "pipx install ./tandem": "tests/tools/package/deb.sh installs the same by pip",
    "docker compose up -d": "tests/tools/container/run.sh",
    f"docker compose exec -T server {INVITE.removesuffix(' -o laptop.invite')} > laptop.invite": (
        "tests/tools/container/run.sh"
    ),
    "chromium --proxy-server=socks5://127.0.0.1:1080": "tests/system/test_browser.py",
    "ssh -o ProxyCommand='tandem connect %h %p' host": "tests/system/test_real.py",
    "ssh -o ProxyCommand='tandem connect %h %p' HOST": "tests/system/test_real.py",
    "ssh -L": "a word, not a command",
    "ssh -R": "a word, not a command",
}
"""Where each command is played that is not played here, or why it is not."""

PLACE = "203.0.113.5"
"""An address that is not private: a website's."""

MEANT = {
    "SERVER": SERVER,
    "wlan0": UPLINKS[0],
    "drill wifi": f"drill {UPLINKS[0]}",
    "https://ifconfig.me": f"http://{PLACE}",
}
"""What words of the documents stand for here."""


class Stage:
    """The hosts of a document, each with its own home."""

    def __init__(self, directory: Path) -> None:
        self.net = Routed()
        self.net.ip(self.net.router, "addr", "add", f"{PLACE}/32", "dev", "lo")
        self.played: set[str] = set()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._homes = {role: directory / role for role in ("server", "laptop")}
        self._path = directory / "bin"
        for made in (*self._homes.values(), self._path):
            made.mkdir()
        program = self._path / "tandem"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tandem "$@"\n')
        program.chmod(0o755)
        self._sites = [
            _site(self.net.hosts.socket(self.net.router, lambda: socket.create_server((PLACE, 80)))),
            _site(self.net.hosts.socket(self.net.server, lambda: socket.create_server(("127.0.0.1", 80)))),
        ]

    def close(self) -> None:
        for role in list(self._running):
            self.stop(role)
        for site in self._sites:
            site.shutdown()
            site.server_close()
        self.net.close()

    def play(self, role: str, typed: str) -> str:
        """Types a command on a host; returns what it prints."""
        done = subprocess.run(
            self._command(role, typed),
            cwd=self._homes[role],
            env=self._environment(role),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (typed, done.stdout, done.stderr, self.log("server"), self.log("laptop"))
        return done.stdout

    def start(self, role: str, typed: str, until: str) -> None:
        """Types a command that goes on, in place of the one before, and waits for a word of its log."""
        self.stop(role)
        with (self._homes[role] / "log").open("wb") as log:
            self._running[role] = subprocess.Popen(
                self._command(role, typed),
                cwd=self._homes[role],
                env=self._environment(role),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while until not in self.log(role):
            assert time.monotonic() < deadline, (typed, self.log(role))
            time.sleep(0.1)

    def stop(self, role: str) -> None:
        process = self._running.pop(role, None)
        if process is not None:
            process.terminate()
            process.wait(timeout=60)

    def log(self, role: str) -> str:
        with contextlib.suppress(OSError):
            return (self._homes[role] / "log").read_text()
        return ""

    def carry_invite(self, typed: str) -> None:
        """What `scp` does: the hosts have a disk in common."""
        self.played.add(typed)
        shutil.copy2(self._homes["server"] / "laptop.invite", self._homes["laptop"])

    def invite(self) -> str:
        return (self._homes["laptop"] / "laptop.invite").read_text()

    def _command(self, role: str, typed: str) -> list[str]:
        self.played.add(typed)
        for word, meaning in MEANT.items():
            typed = typed.replace(word, meaning)
        host = self.net.server if role == "server" else self.net.client
        return [*Hosts.command(host), "sh", "-c", f"exec {typed}"]

    def _environment(self, role: str) -> dict[str, str]:
        home = self._homes[role]
        own = {"HOME": home, "XDG_RUNTIME_DIR": home / "run", "STATE_DIRECTORY": home / "state", "BROWSER": "false"}
        path = f"{self._path}:{os.environ['PATH']}"
        return {**os.environ, **{name: str(value) for name, value in own.items()}, "PATH": path}


def _site(listener: socket.socket) -> http.server.ThreadingHTTPServer:
    """A website that says who asks."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(self.client_address[0]).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
    made.socket.close()
    made.socket = listener
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    try:
        made = Stage(tmp_path)
    except OSError as error:
        pytest.skip(f"network namespaces: {error}")
    yield made
    made.close()


def begin(stage: Stage) -> None:
    """What both documents begin with."""
    stage.play("server", INVITE)
    stage.start("server", "tandem server", until="serving")
    stage.carry_invite("scp SERVER:laptop.invite .")
    stage.start("laptop", "tandem client @laptop.invite", until=f"link {UPLINKS[1]} is usable")
    assert stage.play("laptop", "curl -x socks5h://127.0.0.1:1080 https://ifconfig.me/") == SERVER
    assert stage.play("laptop", "curl https://ifconfig.me/") == "10.80.0.2"
    assert "PROBLEM" not in stage.play("laptop", "tandem doctor @laptop.invite")
    assert "http://127.0.0.1:8119/#" in stage.play("laptop", "tandem open")


def test_readme(stage: Stage) -> None:
    begin(stage)
    stage.play("laptop", "tandem drill wifi down")
    assert "drill: down" in stage.play("laptop", "tandem status")
    assert stage.play("laptop", "curl -x socks5h://127.0.0.1:1080 https://ifconfig.me/") == SERVER
    stage.play("laptop", "tandem mode duplicate")
    assert "duplicate" in stage.play("laptop", "tandem status")
    stage.start("server", "tandem server --forward web=127.0.0.1:80", until="serving")
    stage.start("laptop", "tandem client @laptop.invite --listen 8128=web", until="is usable")
    assert stage.play("laptop", "curl --proxy socks5h://127.0.0.1:1080 http://web.forward/") == "127.0.0.1"
    assert stage.play("laptop", "curl http://127.0.0.1:8128/") == "127.0.0.1"
    stage.stop("laptop")
    stage.start("laptop", f"tandem client - <<'END'\n{stage.invite()}END", until="is usable")
    stage.played.add("tandem client -")
    assert "laptop" in stage.play("server", "tandem clients")
    assert "50 GB a month" in stage.play("server", "tandem clients set laptop --quota 50GB/month")
    stage.play("laptop", "tandem config check")
    stage.play("server", "tandem revoke laptop")
    assert "laptop" not in stage.play("server", "tandem clients")
    assert_whole("README.md", stage)


def test_the_tutorial(stage: Stage) -> None:
    begin(stage)
    assert stage.play("laptop", "ip route show default").count("default via") == 2
    stage.play("laptop", "tandem drill wlan0 down")
    assert "drill: down" in stage.play("laptop", "tandem status")
    stage.play("laptop", "tandem config check")
    assert_whole("docs/tutorial.md", stage)


def assert_whole(document: str, stage: Stage) -> None:
    """Every command of a document was played, here or where ELSEWHERE says."""
    assert set(commands(document)) - stage.played - set(ELSEWHERE) == set()


def test_what_is_played_elsewhere_still_stands_in_a_document() -> None:
    told = {command for document in DOCUMENTS for command in commands(document)}
    assert set(ELSEWHERE) - told == set()
