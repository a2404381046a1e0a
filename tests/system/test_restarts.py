"""Processes that are killed, stopped and started again, under load."""

import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from loopback import Download, Pair, Target, run_tandem

assert sys.platform != "win32"  # see conftest.py

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

SIZE = 30_000_000
MUCH = 150_000_000
"""More than the kernel's buffers and the session hold: what is broken off must not be over already."""
LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


def works(pair: Pair, target: Target) -> None:
    done = pair.curl(target.url("bytes/100000"))
    assert done.stdout == Target.content(100_000), done.stderr


def test_a_server_that_is_killed_and_started_again(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    download = Download(pair, target, MUCH)
    download.wait_for_data()
    assert pair.server is not None
    pair.server.kill()
    pair.server.wait()
    pair.start_server()
    # The first request after the restart succeeds, whether or not the client has noticed yet.
    works(pair, target)
    download.check_broken()
    assert "the other side no longer knows this session" in pair.log("client")
    assert pair.log("client").count("session with the server is up") == 2


def test_a_request_to_an_idle_client_whose_server_was_restarted(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    works(pair, target)
    assert pair.server is not None
    pair.server.kill()
    pair.server.wait()
    pair.start_server()
    works(pair, target)


def test_a_client_that_is_killed_and_started_again(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    download = Download(pair, target, MUCH)
    download.wait_for_data()
    assert pair.client is not None
    pair.client.kill()
    pair.client.wait()
    download.check_broken()
    pair.start_client(invite, *LINKS)
    works(pair, target)
    assert "the client has a newer session" in pair.log("server")
    status = pair.status(pair.server_admin)
    assert status is not None
    assert len(status["sessions"]) == 1


def test_a_minute_of_standing_still(pair: Pair, target: Target, tmp_path: Path) -> None:
    """One server and, elsewhere, one client get SIGSTOP in mid-transfer; both transfers go on after it."""
    other = Pair(tmp_path / "other")
    other.directory.mkdir()
    try:
        downloads: list[Download] = []
        for each in (pair, other):
            invite = each.invite()
            each.start_server()
            each.start_client(invite, *LINKS)
            downloads.append(Download(each, target, SIZE))
            downloads[-1].wait_for_data()
        assert pair.server is not None
        assert other.client is not None
        stopped = (pair.server, other.client)
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        time.sleep(60)
        assert pair.session_state() == "outage"
        for process in stopped:
            process.send_signal(signal.SIGCONT)
        for download in downloads:
            download.check()
        for each in (pair, other):
            assert each.log("client").count("session with the server is up") == 1
        assert "this machine slept, or stood still" in other.log("client")
    finally:
        other.close()


def test_a_client_that_is_revoked_in_mid_transfer(pair: Pair, target: Target) -> None:
    invite = pair.invite("late")
    pair.start_server()
    pair.start_client(invite, *LINKS)
    download = Download(pair, target, MUCH)
    download.wait_for_data()
    done = run_tandem("revoke", "late", "--state", str(pair.state), environment=pair.environment)
    assert done.returncode == 0, done.stderr
    download.check_broken()
    pair.wait(lambda: "does not know this client's key" in pair.log("client"), "refusal")
