"""An upgrade of a running server that no connection notices, and two releases that talk to each other."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loopback.download import Fetch
from loopback.processes import Pair, run_tandem, tandem_command
from loopback.sshd import Sshd
from loopback.target import BLOCK, Target
from tandem_transport.driver import can_steer

assert sys.platform != "win32"  # see conftest.py

ROOT = Path(__file__).parents[2]

OLD = "79a621e61e6cc0cd514c3cd5096d7457e85dcf14"
"""The last commit before the protocol had versions."""

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


def upgrade(pair: Pair, times: int = 1) -> None:
    """Upgrades the running server, and waits until other workers serve."""
    assert pair.server is not None
    pair.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: pair.log("server").count("upgraded: other workers serve") == times, "the upgrade")


@pytest.mark.smoke
@pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")
def test_connections_go_on_through_an_upgrade_and_new_ones_use_the_new_workers(pair: Pair, target: Target) -> None:
    invite = pair.invite()
    pair.start_server("--workers", "2")
    pair.start_client(invite, *LINKS)
    size = 40 * BLOCK
    downloads = [Fetch(pair, target.url("held/40")) for _ in range(8)]
    pair.wait(lambda: target.connections == 8, "the downloads")
    upgrade(pair)
    pair.wait(lambda: "new connections use another session" in pair.log("client"), "the move of the client")
    assert pair.curl(target.url("bytes/100000")).stdout == target.content(100_000)
    target.may_end.set()
    for download in downloads:
        download.join(120)
        assert download.code == 0, pair.log("client")
        assert download.data == bytes(size)
    pair.wait(lambda: pair.log("server").count("has retired") == 2, "the end of the workers before")
    assert "reset" not in pair.log("client")
    upgrade(pair, 2)
    pair.wait(lambda: pair.log("server").count("has retired") == 4, "the end of the workers before")
    assert pair.session_state() == "up"


@pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")
@pytest.mark.skipif(os.geteuid() != 0, reason="sshd needs root to log a user in")
@pytest.mark.skipif(shutil.which("ssh") is None or not Path(SSHD).exists(), reason="no OpenSSH client and server")
def test_an_ssh_session_goes_on_through_an_upgrade(pair: Pair, tmp_path: Path) -> None:
    sshd = Sshd(SSHD, tmp_path)
    try:
        invite = pair.invite()
        pair.start_server("--workers", "2")
        pair.start_client(invite, *LINKS)
        proxy = f"{' '.join(tandem_command())} connect --proxy {pair.proxy} %h %p"
        begun, upgraded = tmp_path / "begun", tmp_path / "upgraded"
        command = f"touch {begun}; until [ -e {upgraded} ]; do sleep 0.1; done; cat"
        with ThreadPoolExecutor(1) as thread:
            session = thread.submit(sshd.run, proxy, command, b"typed before, read after")
            pair.wait(begun.exists, "the ssh session")
            upgrade(pair)
            pair.wait(lambda: "new connections use another session" in pair.log("client"), "the move of the client")
            upgraded.touch()
            assert session.result(120).stdout == b"typed before, read after"
    finally:
        sshd.close()


@pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")
@pytest.mark.parametrize("how", ["drained", "killed"])
def test_the_end_of_the_old_session_is_not_felt_by_the_new_one(
    how: str, pair: Pair, tmp_path: Path, target: Target
) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(f"[server]\nworkers = 2\nupgrade_drain = {3 if how == 'drained' else 3600}\n")
    invite = pair.invite()
    pair.start_server("--config", str(file))
    pair.start_client(invite, *LINKS)
    before = pair.status(pair.server_admin)
    assert before is not None
    old = max(before["workers"], key=lambda worker: worker["sessions"])["pid"]
    lost = Fetch(pair, target.url("held/4"))
    pair.wait(lambda: target.connections == 1, "the download before")
    upgrade(pair)
    pair.wait(lambda: "new connections use another session" in pair.log("client"), "the move of the client")
    kept = Fetch(pair, target.url("held/4"))
    pair.wait(lambda: target.connections == 2, "the download after")
    if how == "killed":
        os.kill(old, signal.SIGKILL)
    pair.wait(lambda: pair.log("server").count("has retired") == 2, "the end of the old workers")
    time.sleep(8)  # longer than a silent session is searched for beside itself
    target.may_end.set()
    kept.join(120)
    assert kept.data == bytes(4 * BLOCK)
    lost.join(30)  # a session that nobody answers is given up after 60 s
    assert lost.code not in (-1, 0), "its worker has ended, and another says so"
    pair.close()


@pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")
def test_an_upgrade_to_what_does_not_start_changes_nothing(pair: Pair, tmp_path: Path, target: Target) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text("[server]\nworkers = 2\n")
    invite = pair.invite()
    pair.start_server("--config", str(file))
    pair.start_client(invite, *LINKS)
    file.write_text("[server]\nworkers = 2\nspeed = 9\n")
    assert pair.server is not None
    pair.server.send_signal(signal.SIGUSR2)
    pair.wait(lambda: "nothing was upgraded" in pair.log("server"), "the error")
    assert "speed" in pair.log("server")
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
    file.write_text("[server]\nworkers = 2\n")
    upgrade(pair)
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)


# --- two releases ---


@pytest.fixture(scope="module")
def old_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the last release that does not name its version."""
    archive = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True, timeout=120, check=False)
    if archive.returncode:
        pytest.skip("the history of the repository does not have the last release")
    directory = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as sources:
        sources.extractall(directory, filter="data")
    return directory


def use_old(pair: Pair, release: Path, role: str) -> None:
    """Makes one end of a pair a process of the old release."""
    wrapper = pair.directory / f"old-{role}"
    paths = ":".join(str(release / part) for part in ("app", "transport", "socks"))
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec "$@"\n')
    wrapper.chmod(0o755)
    pair._at[role] = (str(wrapper),)  # pyright: ignore[reportPrivateUsage]


def version_of(pair: Pair, role: str) -> str:
    """The file from which one end runs."""
    command = [*pair._at[role], sys.executable, "-c", "import tandem; print(tandem.__file__)"]  # pyright: ignore[reportPrivateUsage]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("old", ["client", "server"])
def test_this_release_and_the_last_one_talk_to_each_other(
    old: str, pair: Pair, old_release: Path, target: Target
) -> None:
    use_old(pair, old_release, old)
    assert version_of(pair, old).startswith(str(old_release))
    if old == "server":
        places = [item for place in pair.endpoints for item in ("--endpoint", place)]
        at = (str(pair.directory / "old-server"),)
        done = run_tandem("invite", "laptop", "--state", str(pair.state), *places, at=at, environment=pair.environment)
        invite = done.stdout.strip()
    else:
        invite = pair.invite()
    pair.start_server()
    pair.start_client(invite, *LINKS)
    data = pair.curl(target.url("bytes/3000000")).stdout
    assert data == target.content(3_000_000)


@pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")
def test_a_client_of_the_last_release_keeps_its_connections_through_an_upgrade(
    pair: Pair, old_release: Path, target: Target
) -> None:
    use_old(pair, old_release, "client")
    invite = pair.invite()
    pair.start_server("--workers", "2")
    pair.start_client(invite, *LINKS)
    size = 40 * BLOCK
    download = Fetch(pair, target.url("held/40"))
    pair.wait(lambda: target.connections == 1, "the download")
    upgrade(pair)
    time.sleep(2)
    target.may_end.set()
    download.join(120)
    assert download.data == bytes(size)
    pair.wait(lambda: pair.log("server").count("has retired") == 2, "the end of the workers before")
    pair.wait(lambda: pair.session_state() == "up", "a session with the new workers")
    assert pair.curl(target.url("bytes/1000")).stdout == target.content(1000)
