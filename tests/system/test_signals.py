"""SIGTERM drains, a second one does not, SIGHUP reloads, and systemd is told. Real processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loopback import Pair, Target
from loopback.target import BLOCK

assert sys.platform != "win32"  # see conftest.py

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


class Fetch:
    """A slow download in the background."""

    def __init__(self, pair: Pair, url: str) -> None:
        self.done: subprocess.CompletedProcess[bytes] | None = None
        self._pair = pair
        self._thread = threading.Thread(target=self._run, args=(url,))
        self._thread.start()
        pair.wait(lambda: pair.client_status()["session"]["bytes_down"] > 1000, "data")

    def _run(self, url: str) -> None:
        self.done = self._pair.curl(url)

    def join(self) -> "subprocess.CompletedProcess[bytes]":
        self._thread.join()
        assert self.done is not None
        return self.done


@pytest.mark.parametrize("role", ["server", "client"])
def test_sigterm_lets_open_connections_finish_and_takes_no_new_ones(pair: Pair, target: Target, role: str) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), *LINKS)
    fetch = Fetch(pair, target.url("held/20"))
    process = pair.server if role == "server" else pair.client
    assert process is not None
    process.send_signal(signal.SIGTERM)
    if role == "server":
        pair.wait(lambda: "draining: 1 connections are open" in pair.log("server"), "draining")
    assert pair.curl(target.url("bytes/10")).returncode != 0
    target.may_end.set()
    done = fetch.join()
    assert (done.returncode, len(done.stdout)) == (0, 20 * BLOCK), done.stderr
    assert process.wait(timeout=60) == 0


def test_a_second_sigterm_ends_it_at_once(pair: Pair, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_SERVER__DRAIN", "3600")
    pair.start_server()
    pair.start_client(pair.invite(), *LINKS)
    fetch = Fetch(pair, target.url("slow/3000/100"))
    assert pair.server is not None
    pair.server.send_signal(signal.SIGTERM)
    pair.wait(lambda: "draining" in pair.log("server"), "draining")
    pair.server.send_signal(signal.SIGTERM)
    assert pair.server.wait(timeout=60) == 0
    assert fetch.join().returncode != 0


def test_sighup_reloads_rules_and_touches_no_session(pair: Pair, target: Target, tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text("")
    pair.start_server("--config", str(config))
    pair.start_client(pair.invite(), *LINKS)
    fetch = Fetch(pair, target.url("held/20"))
    assert pair.server is not None
    for text, said, code in (
        (f'[[rule]]\naction = "deny"\nmatch = "*:{target.port}"\n', "reloaded: 1 rules", 97),
        ('[[rule]]\naction = "dney"\n', "nothing was reloaded", 97),
        ("", "reloaded: 0 rules", 0),
    ):
        config.write_text(text)
        pair.server.send_signal(signal.SIGHUP)
        pair.wait(lambda said=said: said in pair.log("server"), said)  # type: ignore[misc]
        # The target is known: the first attempt is answered at once, and reset.
        assert code in (pair.curl(target.url("bytes/10")).returncode, pair.curl(target.url("bytes/10")).returncode)
    assert "needs a restart" not in pair.log("server")
    config.write_text('[admin]\ntoken = "another-another-another"\n')
    config.chmod(0o600)
    pair.server.send_signal(signal.SIGHUP)
    pair.wait(lambda: "admin is as it was: a change of it needs a restart" in pair.log("server"), "a warning")
    target.may_end.set()
    assert len(fetch.join().stdout) == 20 * BLOCK
    assert pair.client_status()["session"]["state"] == "up"


@pytest.mark.smoke
def test_systemd_is_told(pair: Pair, notices: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    pair.start_server()

    def wait_for(text: str) -> None:
        while text not in notices.recv(1000).decode().splitlines():
            pass

    assert pair.server is not None
    wait_for("READY=1")
    wait_for("WATCHDOG=1")
    wait_for("WATCHDOG=1")
    os.kill(pair.server.pid, signal.SIGHUP)
    wait_for("RELOADING=1")
    wait_for("READY=1")
    os.kill(pair.server.pid, signal.SIGTERM)
    wait_for("STOPPING=1")
    assert pair.server.wait(timeout=60) == 0
