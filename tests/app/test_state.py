"""The state directory and the registry: no file and no missing file changes who may come."""

import json
import logging
import multiprocessing
import os
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tandem.base.errors import TandemError, UsageError
from tandem.base.private_files import write_private
from tandem.client.files import instance_id
from tandem.server.registry import ClientRegistry
from tandem.server.state import StateDirectory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    assert state.server_key() == state.server_key()
    assert mode(tmp_path / "state" / "server.key") == 0o600
    assert mode(tmp_path / "state") == 0o700
    state.add_client("laptop", b"p" * 32, replace=False)
    assert mode(tmp_path / "state" / "clients" / "laptop.json") == 0o600


def test_clients_are_registered_replaced_and_removed(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.add_client("laptop", b"1" * 32, replace=False)
    registry = ClientRegistry(state)
    assert registry.lookup(b"1" * 32) == "laptop"
    with pytest.raises(UsageError, match="registered already"):
        state.add_client("laptop", b"2" * 32, replace=False)
    state.add_client("laptop", b"2" * 32, replace=True)
    assert registry.reload() == {b"1" * 32}
    assert registry.lookup(b"2" * 32) == "laptop"
    state.remove_client("laptop")
    assert registry.reload() == {b"2" * 32}
    with pytest.raises(UsageError, match="no client 'laptop' in ") as caught:
        state.remove_client("laptop")
    assert caught.value.hint == "registered: none"


def test_when_a_client_was_last_seen_is_kept_as_long_as_it_is_registered(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.add_client("laptop", b"1" * 32, replace=False)
    assert state.last_seen("laptop") is None
    state.note_seen("laptop")
    assert state.last_seen("laptop") is not None
    state.remove_client("laptop")
    assert state.last_seen("laptop") is None
    state.note_seen("laptop")  # by its last session, which ends now
    state.add_client("laptop", b"2" * 32, replace=False)
    assert state.last_seen("laptop") is None
    state.note_seen("laptop")
    state.add_client("laptop", b"3" * 32, replace=True)
    assert state.last_seen("laptop") is None, "another key"


@pytest.mark.parametrize("name", ["", "../x", "a b", "ü", "x" * 65, ".hidden"])
def test_bad_client_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        StateDirectory(tmp_path).add_client(name, b"p" * 32, replace=False)


def test_a_broken_key_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "server.key").write_text("not a key")
    with pytest.raises(TandemError, match=r"server\.key"):
        StateDirectory(tmp_path).server_key()


def test_a_key_that_is_gone_is_never_made_anew_while_clients_know_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.add_client("laptop", b"1" * 32, replace=False)
    key = state.path / "server.key"
    with pytest.raises(TandemError, match="1 clients are registered, who know its key") as caught:
        state.server_key()
    assert "backup" in caught.value.hint
    assert not key.exists()
    state.remove_client("laptop")
    assert len(state.server_key()) == 32


def make_key(path: Path, barrier: Barrier, queue: "multiprocessing.Queue[bytes]") -> None:
    barrier.wait(60)
    queue.put(StateDirectory(path).server_key())


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


# --- the registry of a running server ---


def registered(tmp_path: Path, *names: str) -> tuple[StateDirectory, ClientRegistry]:
    state = StateDirectory(tmp_path / "state")
    for number, name in enumerate(names):
        state.add_client(name, bytes([number]) * 32, replace=False)
    return state, ClientRegistry(state)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"name": "bad"}',
        '{"public_key": "???", "created": ""}',
        "\0\1",
        '{"public_key": "AAAA", "created": ""}',
        "[" * 9999,
    ],
)
def test_a_bad_file_is_told_once_and_all_others_count(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, registry = registered(tmp_path, "laptop", "phone")
    caplog.set_level(logging.INFO)
    bad = state.path / "clients" / "bad.json"
    bad.write_text(content)
    state.add_client("late", b"l" * 32, replace=False)
    state.remove_client("phone")
    for _ in range(5):
        registry.reload()
    assert registry.names == ["laptop", "late"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "bad.json" in caplog.text
    assert "bad.json" in registry.problem
    assert ClientRegistry(state).names == ["laptop", "late"], "a server that starts now serves them too"
    bad.unlink()
    registry.reload()
    assert registry.problem == ""


def test_a_file_that_cannot_be_read_any_more_revokes_nobody(tmp_path: Path) -> None:
    state, registry = registered(tmp_path, "laptop", "phone")
    path = state.path / "clients" / "laptop.json"
    good = path.read_text()
    path.write_text(good[:20])
    assert registry.reload() == set()
    assert registry.names == ["laptop", "phone"]
    path.write_text(good)
    assert registry.reload() == set()
    path.unlink()
    assert registry.reload() == {bytes(32)}


@pytest.mark.parametrize("part", ["", "clients"])
def test_a_directory_that_is_gone_for_a_moment_revokes_nobody(
    part: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Moved away, or unmounted."""
    state, registry = registered(tmp_path, "laptop", "phone")
    place, away = state.path / part, tmp_path / "away"
    place.rename(away)
    for _ in range(3):
        assert registry.reload() == set()
    assert registry.lookup(b"x" * 32) is None
    place.mkdir()  # an empty place to mount on
    (state.path / "clients").mkdir(exist_ok=True)
    assert registry.reload() == set()
    assert registry.names == ["laptop", "phone"]
    assert "they stay as they were" in registry.problem
    assert len(caplog.records) <= 2, "aloud, but not each second"
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir()
    place.rmdir()
    away.rename(place)
    state.remove_client("phone")
    assert registry.reload() == {b"\1" * 32}
    assert registry.problem == ""


def test_a_restore_file_by_file_revokes_nobody_and_lets_others_in(tmp_path: Path) -> None:
    state, registry = registered(tmp_path, "laptop", "phone")
    place, away = state.path / "clients", tmp_path / "away"
    place.rename(away)
    assert registry.reload() == set()
    state.add_client("new", b"n" * 32, replace=False)
    assert registry.reload() == set()
    assert registry.names == ["laptop", "new", "phone"]
    assert "without laptop, phone" in registry.problem
    for name in ("phone", "laptop"):
        (place / f"{name}.json").write_bytes((away / f"{name}.json").read_bytes())
        assert registry.reload() == set()
    assert registry.problem == ""
    state.remove_client("phone")
    assert registry.reload() == {b"\1" * 32}


def test_a_file_that_was_mended_without_being_written_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """chmod and chown change no content; and the system may have failed for a moment only."""
    state, registry = registered(tmp_path, "laptop")
    state.add_client("rooted", b"r" * 32, replace=False)
    read_text = Path.read_text

    def refuse(self: Path, *arguments: str) -> str:
        if self.name == "rooted.json":
            raise PermissionError(13, "Permission denied")
        return read_text(self, *arguments)

    monkeypatch.setattr(Path, "read_text", refuse)
    registry.reload()
    assert "rooted.json" in registry.problem
    monkeypatch.undo()
    registry.reload()
    assert (registry.names, registry.problem) == (["laptop", "rooted"], "")


@needs_root
@pytest.mark.parametrize("part", ["clients", "seen"])
def test_root_does_not_follow_links_of_the_states_owner(part: str, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.path.mkdir(mode=0o700)
    os.chown(state.path, 4242, 4343)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "laptop").write_text("precious")
    (elsewhere / "laptop.json").write_text("precious")
    (state.path / part).symlink_to(elsewhere)
    with pytest.raises(TandemError, match="it is a link"):
        state.add_client("laptop", b"1" * 32, replace=True)
    with pytest.raises(TandemError, match="it is a link"):
        state.remove_client("laptop")
    assert {path.read_text() for path in elsewhere.iterdir()} == {"precious"}


@needs_root
def test_what_root_writes_belongs_to_whoever_owns_the_state(tmp_path: Path) -> None:
    """`sudo tandem invite` beside a service that runs as a user of its own."""
    state = StateDirectory(tmp_path / "state")
    state.path.mkdir(mode=0o700)
    os.chown(state.path, 4242, 4343)
    state.server_key()
    state.add_client("laptop", b"1" * 32, replace=False)
    for path in (state.path / "server.key", state.path / "clients", state.path / "clients" / "laptop.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4343), path
        assert not mode(path) & 0o077


def test_what_cannot_be_removed_is_said_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, registry = registered(tmp_path, "laptop")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(TandemError, match=r"laptop IS STILL REGISTERED, and may come in: .*Read-only file system"):
        state.remove_client("laptop")
    assert registry.reload() == set()


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


def test_a_file_is_named_after_its_client(tmp_path: Path) -> None:
    """Whatever name stands in it: two files must not be one client."""
    state, _ = registered(tmp_path, "laptop")
    path = state.path / "clients" / "laptop.json"
    record = json.loads(path.read_text())
    write_private(path.with_name("copy.json"), json.dumps(record | {"name": "laptop"}).encode())
    assert [client.name for client in state.listing().clients] == ["copy", "laptop"]
