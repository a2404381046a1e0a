"""Several servers: the next one is tried where one does not answer. Real processes."""

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loopback import Gate, Pair, Target, link_options
from loopback.target import BLOCK

assert sys.platform != "win32"  # see conftest.py

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


def test_the_second_server_takes_over_and_the_first_again(pair: Pair, target: Target, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Pair(tmp_path / "second")
    try:
        invites = f"{pair.invite()}\n{second.invite()}\n"
        second.start_server()
        pair.start_client(invites, *LINKS)  # the first server does not run
        assert "another server has answered" in pair.log("client")
        assert pair.curl(target.url("bytes/1000")).stdout == Target.content(1000)
        pair.start_server()
        assert second.server is not None
        second.server.send_signal(signal.SIGKILL)
        second.server.wait(timeout=60)
        pair.wait(lambda: pair.curl(target.url("bytes/1000")).returncode == 0, "the first server's turn")
        status = pair.status(pair.server_admin)
        assert status is not None
        assert len(status["sessions"]) == 1
        assert "Traceback" not in pair.log("client")
    finally:
        second.close()


def test_an_outage_is_no_reason_to_let_the_server_go(
    pair: Pair, gates: list[Gate], target: Target, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = Pair(tmp_path / "second")  # it never runs
    pair.start_server()
    pair.start_client(f"{pair.invite()}\n{second.invite()}\n", *link_options(gates))
    done: list[subprocess.CompletedProcess[bytes]] = []
    thread = threading.Thread(target=lambda: done.append(pair.curl(target.url("slow/50/100"))))
    thread.start()
    pair.wait(lambda: pair.client_status()["session"]["bytes_down"] > 1000, "data")
    for gate in gates:
        gate.is_cut = True
    pair.wait(lambda: "the server does not answer; trying" in pair.log("client"), "a try at the other server")
    for gate in gates:
        gate.is_cut = False
    thread.join()
    assert len(done[0].stdout) == 50 * BLOCK
    assert target.connections == 1
    assert "another server has answered" not in pair.log("client")
