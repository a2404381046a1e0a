"""Calls in threads: their results, their limit, and that nobody waits for one that hangs."""

import asyncio
import subprocess
import sys
import threading

import pytest

from tandem.base.threads import Threads


async def test_a_call_returns_its_result_and_raises_its_error() -> None:
    threads = Threads(1)
    assert await threads.run(lambda: threading.current_thread() is not threading.main_thread())
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)


async def test_no_more_calls_run_at_a_time_than_the_limit() -> None:
    threads, release, running = Threads(2), threading.Event(), threading.Semaphore(0)

    def call() -> None:
        running.release()
        release.wait(60)

    tasks = [asyncio.create_task(threads.run(call)) for _ in range(3)]
    await asyncio.to_thread(lambda: running.acquire(timeout=60) and running.acquire(timeout=60))
    tasks[0].cancel()  # its thread goes on, and counts
    await asyncio.sleep(0.05)
    assert not running.acquire(blocking=False)
    release.set()
    await asyncio.gather(*tasks[1:])
    assert running.acquire(blocking=False)


def test_a_process_ends_though_a_call_hangs() -> None:
    program = """
import asyncio, time
from tandem.base.threads import Threads

async def main():
    asyncio.create_task(Threads(1).run(lambda: time.sleep(3600)))
    await asyncio.sleep(0.1)

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
