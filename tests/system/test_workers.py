"""A server of several processes: all of them serve, one that dies is replaced, and nobody is left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback.download import Fetch
from loopback.processes import Pair, run_tandem, tandem_command
from loopback.target import BLOCK, Target
from tandem_transport.driver import can_steer

assert sys.platform != "win32"  # see conftest.py

pytestmark = pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")

WORKERS = 2


@pytest.fixture
def others(pair: Pair, tmp_path: Path) -> Iterator[list[Pair]]:
    """Clients of the same server, each with its own ports."""
    made: list[Pair] = []
    for number in range(3):
        directory = tmp_path / f"client{number}"
        directory.mkdir()
        made.append(Pair(directory))
    try:
        yield made
    finally:
        for one in made:
            one.close()


def status(pair: Pair) -> dict[str, Any]:
    found = pair.status(pair.server_admin)
    assert found is not None
    return found


def start(pair: Pair, others: list[Pair]) -> None:
    """Starts the server, and all clients."""
    invites = [pair.invite(f"client{number}") for number in range(len(others) + 1)]
    pair.start_server("--workers", str(WORKERS))
    for one, invite in zip([pair, *others], invites, strict=True):
        one.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3", wait=False)
    for one in (pair, *others):
        one.wait(lambda one=one: one.session_state() == "up", "a session")  # type: ignore[misc]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.smoke
def test_a_worker_that_is_killed_is_replaced_and_the_sessions_of_others_go_on(pair: Pair, others: list[Pair]) -> None:
    start(pair, others)
    before = status(pair)
    assert len(before["workers"]) == WORKERS
    assert len(before["sessions"]) == 4
    assert all(len(session["links"]) == 2 for session in before["sessions"])
    victim = max(before["workers"], key=lambda worker: worker["sessions"])
    os.kill(victim["pid"], signal.SIGKILL)
    pair.wait(lambda: status(pair)["workers_replaced"] == 1, "another worker")
    for one in (pair, *others):
        one.wait(lambda one=one: one.session_state() == "up", "a session")  # type: ignore[misc]
    ended = sum(one.log("client").count("no longer knows this session") for one in (pair, *others))
    assert ended == victim["sessions"], "of the worker that died, and no other"
    after = status(pair)
    assert victim["pid"] not in [worker["pid"] for worker in after["workers"]]
    assert len(after["workers"]) == WORKERS
    assert "another takes its place" in pair.log("server")


def test_a_worker_that_is_killed_under_load_takes_no_download_of_others_with_it(pair: Pair, others: list[Pair]) -> None:
    start(pair, others)
    target = Target()
    everyone = [pair, *others]
    downloads = [Fetch(one, target.url("held/40")) for one in everyone]
    pair.wait(lambda: target.connections == len(everyone), "the downloads")
    victim = max(status(pair)["workers"], key=lambda worker: worker["sessions"])
    os.kill(victim["pid"], signal.SIGKILL)
    pair.wait(lambda: status(pair)["workers_replaced"] == 1, "another worker")
    for one in everyone:
        assert one.curl(target.url("bytes/100000")).stdout == target.content(100_000)
    target.may_end.set()
    for one, download in zip(everyone, downloads, strict=True):
        download.join(120)
        if "no longer knows this session" in one.log("client"):
            assert download.code in (18, 56), "curl could tell that it was cut short"
        else:
            assert (download.code, download.data) == (0, bytes(40 * BLOCK))
    ended = sum("no longer knows this session" in one.log("client") for one in everyone)
    assert ended == victim["sessions"]
    target.close()


def test_data_goes_through_all_workers_and_a_change_of_a_client_reaches_its_own(pair: Pair, others: list[Pair]) -> None:
    start(pair, others)
    target = Target()
    for one in (pair, *others):
        done = one.curl(target.url("bytes/300000"))
        assert done.stdout == target.content(300_000)
    target.close()
    state = ("--state", str(pair.state))
    for number in range(4):
        kicked = run_tandem("clients", "kick", f"client{number}", *state, environment=pair.environment)
        assert kicked.returncode == 0
    for one in (pair, *others):
        one.wait(lambda one=one: "has ended this session" in one.log("client"), "its end")  # type: ignore[misc]
    place = ("--admin", f"127.0.0.1:{pair.server_admin}")
    revoked = run_tandem("revoke", "client0", *state, *place, environment=pair.environment)
    assert "the running server has let go of it" in revoked.stderr
    assert pair.server is not None
    pair.server.send_signal(signal.SIGHUP)
    pair.wait(lambda: pair.log("server").count("reloaded: ") == WORKERS, "the reload of each worker")


def test_workers_end_with_their_parent(pair: Pair, others: list[Pair]) -> None:
    start(pair, others)
    pids = [worker["pid"] for worker in status(pair)["workers"]]
    assert pair.server is not None
    pair.server.kill()
    pair.server.wait()
    pair.wait(lambda: not any(map(alive, pids)), "the end of the workers")
    assert "the parent process is gone" in pair.log("server")
    pair.start_server("--workers", str(WORKERS))
    pair.wait(lambda: pair.session_state() == "up", "a session with the next server")


def test_a_stop_ends_all_processes_and_leaves_no_port(pair: Pair, others: list[Pair]) -> None:
    start(pair, others)
    pids = [worker["pid"] for worker in status(pair)["workers"]]
    assert pair.server is not None
    pair.server.send_signal(signal.SIGTERM)
    assert pair.server.wait(timeout=60) == 0
    assert not any(map(alive, pids))
    assert "Traceback" not in pair.log("server")
    for port in pair.udp_ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))


@pytest.mark.parametrize("second", [("--workers", "2"), ()])
def test_a_second_server_on_the_same_port_is_an_error_and_disturbs_nobody(pair: Pair, second: tuple[str, ...]) -> None:
    pair.invite()
    pair.start_server("--workers", str(WORKERS))
    place = ("--listen", pair.endpoints[0], "--admin", "127.0.0.1:1")
    done = subprocess.run(
        [*tandem_command(), "server", "--state", str(pair.state), *place, *second],
        env={**os.environ, **pair.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "is another Tandem running?" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(status(pair)["workers"]) == WORKERS


def test_a_worker_that_dies_during_an_upgrade_is_replaced_by_the_new_ones(pair: Pair) -> None:
    pair.invite()
    pair.start_server("--workers", str(WORKERS))
    victim = status(pair)["workers"][0]["pid"]
    assert pair.server is not None
    pair.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: "upgrading" in pair.log("server"), "the beginning of the upgrade")
    os.kill(victim, signal.SIGKILL)
    pair.wait(lambda: "upgraded: other workers serve" in pair.log("server"), "the upgrade")
    pair.wait(lambda: len(status(pair)["workers"]) == WORKERS, "the workers of one generation")
    pair.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: pair.log("server").count("upgraded: other workers serve") == 2, "another upgrade")


def test_workers_import_nothing_from_the_working_directory(pair: Pair, tmp_path: Path) -> None:
    pair.invite()
    (tmp_path / "click.py").write_text("raise SystemExit('imported from the working directory')")
    place = ("--listen", pair.endpoints[0], "--admin", f"127.0.0.1:{pair.server_admin}", "--workers", "2")
    with subprocess.Popen(
        [sys.executable, "-P", *tandem_command()[1:], "server", "--state", str(pair.state), *place],
        env={**os.environ, **pair.environment},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        pair.wait(lambda: pair.status(pair.server_admin) is not None, "the server")
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert "imported from the working directory" not in said


@pytest.mark.parametrize("workers", ["0", "-1", "65", "many"])
def test_a_number_of_workers_that_is_none(workers: str, pair: Pair) -> None:
    done = run_tandem("server", "--state", str(pair.state), "--workers", workers, environment=pair.environment)
    assert done.returncode == 2
    assert "workers" in done.stderr
