"""Looking names up on the server: the share of each client, the cache, and look-ups that come to nothing."""

import asyncio
import gc
import socket
import threading

import pytest

from tandem.base.threads import THREAD_NAME
from tandem.dialing.resolver import MAX_LOOKUPS, MAX_LOOKUPS_OF_ONE, Resolver
from tandem.dialing.shares import Shares
from tandem.exchange.failures import Failure


async def test_one_client_cannot_keep_all_lookups_to_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def look_up(name: str) -> tuple[str, ...]:
        if name.startswith("slow"):
            release.wait(60)
        return ("192.0.3.9",)

    monkeypatch.setattr("tandem.dialing.resolver._ask_system", look_up)
    resolver = Resolver()
    slow = [asyncio.create_task(resolver.resolve(f"slow{i}.example", "greedy")) for i in range(200)]
    await asyncio.sleep(0)
    assert await resolver.resolve("quick.example", "other") == ("192.0.3.9",)
    for task in slow[:100]:
        task.cancel()  # who gives up still holds his share
    await asyncio.sleep(0)
    assert await resolver.resolve("quick.example", "other") == ("192.0.3.9",)
    release.set()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_the_cache_remembers_for_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(name: str) -> tuple[str, ...]:
        asked.append(name)
        return ("192.0.3.9",)

    monkeypatch.setattr("tandem.dialing.resolver._ask_system", look_up)
    for cache_seconds, lookups in ((0.0, 2), (60.0, 1)):
        asked.clear()
        resolver = Resolver(cache_seconds=cache_seconds)
        assert await resolver.resolve("a.example", "x") == await resolver.resolve("a.example", "y") == ("192.0.3.9",)
        assert len(asked) == lookups


def join_threads(prefix: str) -> None:
    for thread in threading.enumerate():
        if thread.name.startswith(prefix):
            thread.join(60)


async def test_look_ups_that_nobody_waits_for_any_more_leave_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    def look_up(name: str) -> tuple[str, ...]:
        release.wait(60)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("tandem.dialing.resolver._ask_system", look_up)
    resolver = Resolver()
    tasks = [asyncio.create_task(resolver.resolve(f"a{i}.example", "x")) for i in range(3)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    release.set()
    await asyncio.to_thread(join_threads, THREAD_NAME)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del tasks
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_look_up_that_cannot_begin_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    resolver = Resolver()
    for _ in range(2 * MAX_LOOKUPS):
        with pytest.raises(Failure, match="cannot look up names now"):
            await resolver.resolve("a.example", "x")


async def test_four_slow_clients_do_not_starve_a_fifth_nor_a_tenth() -> None:
    """Each asks for a hundred names that nobody answers."""
    shares = Shares(MAX_LOOKUPS, MAX_LOOKUPS_OF_ONE)
    greedy = [asyncio.create_task(shares.take(f"greedy {i % 9}")) for i in range(900)]
    await asyncio.sleep(0)
    held = sum(task.done() for task in greedy)
    assert MAX_LOOKUPS / 2 < held < MAX_LOOKUPS
    async with asyncio.timeout(5):
        await shares.take("honest")
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_a_place_goes_to_whoever_holds_least() -> None:
    shares = Shares(8, 4)
    for _ in range(3):
        await shares.take("a")
    order: list[str] = []

    async def take(owner: str) -> None:
        await shares.take(owner)
        order.append(owner)

    tasks = [asyncio.create_task(take(owner)) for owner in ("a", "a", "b", "b", "c")]
    for _ in range(3):
        await asyncio.sleep(0)
    assert order == ["b", "b", "c"], "half of what is left at most"
    given_up = asyncio.create_task(take("a"))
    await asyncio.sleep(0)
    given_up.cancel()
    for owner in ("a", "a", "a", "b", "b", "c"):
        shares.give_back(owner)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert order == ["b", "b", "c", "a", "a"]
