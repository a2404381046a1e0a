"""The console in a terminal: tmux, and keys that are pressed."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Pair, run_tandem

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A tmux server of the test's own, with one window of 80 columns."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "tmux"

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, pair: Pair, *arguments: str, rows: int = 40) -> None:
        given = [item for name, value in pair.environment.items() for item in ("-e", f"{name}={value}")]
        command = [sys.executable, "-m", "tandem", *arguments]
        self.tmux("new-session", "-d", "-x", "80", "-y", str(rows), *given, "-e", "PYTHONUTF8=1", *command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def wait(self, text: str) -> str:
        """Until it can be read on the screen."""
        deadline = time.monotonic() + 60
        while text not in (screen := self.tmux("capture-pane", "-p")):
            assert time.monotonic() < deadline, f"no {text!r} on\n{screen}"
            time.sleep(0.2)
        return screen

    def wait_ended(self) -> None:
        """Until the program has ended; tmux does not always write that on the screen."""
        deadline = time.monotonic() + 60
        while self.tmux("list-panes", "-F", "#{pane_dead}").strip() != "1":
            assert time.monotonic() < deadline, self.tmux("capture-pane", "-p")
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], capture_output=True, timeout=60, check=False)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


@pytest.mark.smoke
def test_keys_on_the_console_of_a_client(pair: Pair, terminal: Terminal, tmp_path: Path) -> None:
    pair.start_server()
    invite = tmp_path / "invite"
    invite.write_text(pair.invite())
    invite.chmod(0o600)
    links = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    places = ("--socks", pair.proxy, "--admin", f"127.0.0.1:{pair.client_admin}")
    terminal.start(pair, "client", f"@{invite}", *links, *places)
    screen = terminal.wait("session up")
    assert "mode adaptive" in screen
    assert "q quit   m mode   l one link's detail   s sort (by bytes)" in screen
    terminal.press("m")
    terminal.wait("mode duplicate")
    terminal.press("s")
    terminal.wait("s sort (by rate)")
    terminal.press("l")
    terminal.wait("a in full: usable")
    terminal.press("l")
    terminal.wait("b in full: usable")
    terminal.press("q")
    terminal.wait_ended()
    told = run_tandem("events", "--socks", pair.proxy, environment=pair.environment).stdout
    for text in ("started (version ", "session up", "mode duplicate", "link a usable", "stopped"):
        assert text in told


def test_watching_a_client_that_runs_elsewhere(pair: Pair, terminal: Terminal) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    terminal.start(pair, "status", "--watch", "--admin", f"127.0.0.1:{pair.client_admin}")
    terminal.wait("mode adaptive")
    terminal.press("m")
    terminal.wait("mode duplicate")
    assert pair.client_status()["mode"] == "duplicate"
    terminal.press("q")
    terminal.wait_ended()
    assert pair.session_state() == "up"


def test_watching_a_server_and_its_clients(pair: Pair, terminal: Terminal) -> None:
    pair.start_server()
    terminal.start(pair, "status", "--watch", "--admin", f"127.0.0.1:{pair.server_admin}")
    terminal.wait("0 sessions")
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    screen = terminal.wait("1 session, 1 registered client")
    assert screen.count("Tandem server") == 1, "drawn in place, not again and again"
    assert "laptop" in screen
    terminal.press("C-c")
    terminal.wait_ended()


def test_the_demo_tells_in_a_small_window_what_to_try(pair: Pair, terminal: Terminal) -> None:
    terminal.start(pair, "demo", "--socks", pair.proxy, rows=24)
    terminal.wait("a download through Tandem")
    screen = terminal.wait("tandem.example:")
    for text in ("plain TCP over wifi alone", "plain TCP over mobile alone", "Press d:", f"socks5h://{pair.proxy}"):
        assert text in screen
    assert "d drill" in screen.rstrip().splitlines()[-1]
    terminal.press("d")
    terminal.wait("drill: down")
    terminal.press("d")
    deadline = time.monotonic() + 60
    while "drill: down" in terminal.tmux("capture-pane", "-p"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    terminal.press("q")
    terminal.wait_ended()
