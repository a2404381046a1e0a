"""A server's looks at its registry: rare while nothing happens, at once where something does."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from tandem.base.file_watch import FileWatch
from tandem.registry.registration import Terms
from tandem.registry.registry import Registry
from tandem.registry.source import Traffic
from tandem.server import membership as membership_module
from tandem.server.accounting import Accounting
from tandem.server.membership import Membership

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")


def key(number: int) -> bytes:
    return bytes([number]) * 32


def opened(directory: Path) -> Registry:
    return Registry(f"sqlite:///{directory / 'registry.db'}")


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110, what it looks at has no event
            await asyncio.sleep(0.01)


# --- the file ---


@linux
async def test_a_change_of_a_file_or_of_its_log_is_told_once_and_one_of_another_file_is_not(tmp_path: Path) -> None:
    told: list[None] = []
    watch = FileWatch(tmp_path / "registry.db", lambda: told.append(None))
    for name in ("registry.db", "registry.db-wal"):
        told.clear()
        (tmp_path / name).write_bytes(b"before it is armed")
        assert watch.arm()
        (tmp_path / "tls.pem").write_bytes(b"x")
        await asyncio.sleep(0.05)
        assert not told
        (tmp_path / name).write_bytes(b"y")
        await until(lambda: bool(told))
        (tmp_path / name).rename(tmp_path / "away")
        await asyncio.sleep(0.05)
        assert len(told) == 1, "it was not armed again"
    watch.close()
    assert not watch.arm()


@linux
async def test_a_directory_that_goes_away_ends_the_watch(tmp_path: Path) -> None:
    told: list[None] = []
    directory = tmp_path / "state"
    directory.mkdir()
    watch = FileWatch(directory / "registry.db", lambda: told.append(None))
    assert watch.arm()
    directory.rename(tmp_path / "elsewhere")
    await until(lambda: bool(told))
    assert not watch.arm()


async def test_a_directory_that_is_not_there_is_not_watched(tmp_path: Path) -> None:
    watch = FileWatch(tmp_path / "nowhere" / "registry.db", lambda: None)
    assert not watch.arm()
    watch.close()


# --- looks ---


class Idle:
    """A server without streams, and its membership; counts its looks."""

    def __init__(self, directory: Path) -> None:
        self.registry = opened(directory)
        self.membership = Membership(self.registry)
        self.driver = SimpleNamespace(sessions=[], has_streams=False)
        self.looks = 0
        self._follow = self.membership.follow
        self.membership.follow = self._counted  # type: ignore[method-assign]

    async def _counted(self) -> None:
        await self._follow()
        self.looks += 1

    async def rests(self) -> None:
        """Waits until there is no look in a time that is long for FOLLOW_INTERVAL."""
        async with asyncio.timeout(60):
            looks = -1
            while looks != self.looks:
                looks = self.looks
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture
async def idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Idle]:
    monkeypatch.setattr(membership_module, "FOLLOW_INTERVAL", 0.01)
    monkeypatch.setattr(membership_module, "RESTING_INTERVAL", 3600.0)
    made = Idle(tmp_path)
    await made.membership.start(cast("Any", made.driver))
    yield made
    await made.membership.close()


@linux
async def test_a_server_at_rest_learns_of_a_change_at_once(idle: Idle, tmp_path: Path) -> None:
    await idle.rests()
    other = opened(tmp_path)
    for number in range(3):
        other.add(f"laptop{number}", key(number))
        await until(lambda number=number: idle.membership.known.count == number + 1)  # type: ignore[misc]
        await idle.rests()
    other.close()


async def test_a_server_with_open_streams_looks_again_and_again(idle: Idle) -> None:
    await idle.rests()
    idle.driver.has_streams = True
    idle.membership.stop_resting()
    looks = idle.looks
    await until(lambda: idle.looks > looks + 5)


async def test_a_server_whose_registry_tells_nothing_looks_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_module, "FOLLOW_INTERVAL", 0.01)
    monkeypatch.setattr(Registry, "file", None)
    idle = Idle(tmp_path)
    await idle.membership.start(cast("Any", idle.driver))
    await until(lambda: idle.looks > 50)
    await idle.membership.close()


# --- what is told ---


class _Session:
    def __init__(self, public: bytes) -> None:
        self.client_public = public
        self.connection = SimpleNamespace(carried_bytes=0)


def test_a_client_that_carries_nothing_is_told_of_rarely_and_one_that_does_each_time() -> None:
    accounting = Accounting(30.0)
    busy, idle = _Session(b"b"), _Session(b"i")
    for session in (busy, idle):
        accounting.begin(cast("Any", session))
    assert accounting.take(everything=False, now=0.0) == {b"b": Traffic(0, True), b"i": Traffic(0, True)}
    assert accounting.is_idle
    told: list[int] = []
    for now in range(10, 70, 10):
        busy.connection.carried_bytes += 5
        accounting.count(cast("Any", busy))
        assert not accounting.is_idle
        assert accounting.take(everything=False, now=now) == {}
        taken = accounting.take(everything=True, now=now)
        assert taken[b"b"] == Traffic(5, True)
        told += [now] * (b"i" in taken)
    assert told == [10, 40]
    accounting.end(cast("Any", idle))
    assert accounting.take(everything=False, now=61) == {b"i": Traffic(0, False)}


def test_a_client_that_comes_back_is_told_of_at_once() -> None:
    accounting = Accounting(30.0)
    for _ in range(2):
        session = _Session(b"i")
        accounting.begin(cast("Any", session))
        assert accounting.take(everything=False, now=0.0) == {b"i": Traffic(0, True)}
        accounting.end(cast("Any", session))
        assert accounting.take(everything=True, now=1.0) == {b"i": Traffic(0, False)}


# --- ends ---


async def test_a_server_does_not_rest_past_the_end_of_a_clients_time(idle: Idle) -> None:
    known = idle.membership.known
    idle.registry.add("laptop", key(1))
    idle.registry.set_terms("laptop", Terms(expires_at=2_000_000_000))
    idle.registry.add("phone", key(2))
    for public in (key(1), key(2)):
        known.lookup(public)
        await until(lambda public=public: isinstance(known.lookup(public), str))  # type: ignore[misc]
    assert known.first_end([key(2)]) == float("inf")
    assert known.first_end([key(1), key(2), key(3)]) == 2_000_000_000
