"""The state directory: its key, and who may write there."""

import multiprocessing
import os
import stat
import sys
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tandem.base.errors import TandemError
from tandem.base.private_files import acting_as_owner, write_private
from tandem.client.files import instance_id
from tandem.server.state import StateDirectory

assert sys.platform != "win32"  # which has neither owners nor modes

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    assert state.server_key(registered=0) == state.server_key(registered=9)
    assert mode(tmp_path / "state" / "server.key") == 0o600
    assert mode(tmp_path / "state") == 0o700


def test_a_broken_key_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "server.key").write_text("not a key")
    with pytest.raises(TandemError, match=r"server\.key"):
        StateDirectory(tmp_path).server_key(registered=0)


def test_a_key_that_is_gone_is_never_made_anew_while_clients_know_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    with pytest.raises(TandemError, match="1 clients are registered, who know its key") as caught:
        state.server_key(registered=1)
    assert "backup" in caught.value.hint
    assert not (state.path / "server.key").exists()
    assert len(state.server_key(registered=0)) == 32


def make_key(path: Path, barrier: Barrier, queue: "multiprocessing.Queue[bytes]") -> None:
    barrier.wait(60)
    queue.put(StateDirectory(path).server_key(registered=0))


def test_two_processes_that_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for i in range(10):
        barrier = context.Barrier(4)
        queue: multiprocessing.Queue[bytes] = context.Queue()
        arguments = (tmp_path / str(i), barrier, queue)
        processes = [context.Process(target=make_key, args=arguments, daemon=True) for _ in range(4)]
        for process in processes:
            process.start()
        assert len({queue.get(timeout=60) for _ in processes}) == 1
        for process in processes:
            process.join(60)


def test_an_instance_file_that_a_crash_has_left_empty_is_made_anew(tmp_path: Path) -> None:
    first = instance_id(tmp_path, "client-1080")
    assert first == instance_id(tmp_path, "client-1080")
    path = tmp_path / "instances" / "client-1080"
    for content in (b"", b"123", b"123456789"):
        path.write_bytes(content)
        again = instance_id(tmp_path, "client-1080")
        assert again is not None
        assert len(again) == 8
        assert path.read_bytes() == again


@needs_root
def test_what_root_writes_belongs_to_whoever_owns_the_state(tmp_path: Path) -> None:
    """`sudo tandem invite` beside a service that runs as a user of its own."""
    state = StateDirectory(tmp_path / "state")
    state.path.mkdir(mode=0o700)
    os.chown(state.path, 4242, 4343)
    state.server_key(registered=0)
    path = state.path / "server.key"
    assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4343)
    assert not mode(path) & 0o077


@needs_root
def test_root_has_the_rights_of_the_states_owner_and_no_more() -> None:
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        state, elsewhere = Path(made) / "state", Path(made) / "elsewhere"
        state.mkdir(mode=0o700)
        os.chown(state, 4242, 4343)
        elsewhere.mkdir(mode=0o700)
        (state / "registry.db").symlink_to(elsewhere / "made-by-root")
        with acting_as_owner(state):
            (state / "new").touch()
            with pytest.raises(PermissionError):
                (state / "registry.db").write_text("")
        assert os.geteuid() == os.getegid() == 0
        assert ((state / "new").stat().st_uid, (state / "new").stat().st_gid) == (4242, 4343)
        assert list(elsewhere.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "client.json"
    write_private(path, b"good")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"half")
    assert path.read_bytes() == b"good"
    assert [entry.name for entry in tmp_path.iterdir()] == ["client.json"]
