"""Threads for calls that block, such as those of a database or of the system's resolver."""

import asyncio
import contextlib
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

THREAD_NAME = "blocking call"


class Threads:
    """Runs calls in threads, a limited number at a time.

    The threads of `asyncio.to_thread` keep a process from ending: it would wait for a database that hangs. It does not
    wait for these.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: the number of calls at a time; others wait."""
        self._free = asyncio.Semaphore(limit)

    async def run(self, call: Callable[[], T]) -> T:
        """Calls it in a thread; raises what it raises, and RuntimeError where no thread can be started.

        The thread goes on where the task is cancelled, and counts until it has ended.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = call()
            except BaseException as error:  # it is raised where the call was made
                finish(lambda error=error: outcome.set_exception(error))  # type: ignore[misc]
            else:
                finish(lambda: outcome.set_result(result))

        def finish(tell: Callable[[], None]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(end, tell)

        def end(tell: Callable[[], None]) -> None:
            self._free.release()
            if not outcome.done():
                tell()

        try:
            Thread(target=work, name=THREAD_NAME, daemon=True).start()
        except RuntimeError:
            self._free.release()
            raise
        return await outcome
