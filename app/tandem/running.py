"""Runs a client or a server until it is told to stop."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol


class Service(Protocol):
    """Something that starts and closes."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs it under uvloop where that exists, on Windows with the loop that has UDP."""
    _raise_descriptor_limit()
    if sys.platform == "win32":
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(main)
    else:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


async def serve(service: Service, beside: Callable[[], Awaitable[None]] | None = None) -> None:
    """Starts the service and waits for SIGTERM or SIGINT; a second signal ends it at once.

    `beside` runs along with it, such as a console.
    """
    await service.start()
    stopped = asyncio.Event()
    closing: asyncio.Task[None] | None = None

    def stop() -> None:
        if stopped.is_set() and closing is not None:
            closing.cancel()
        stopped.set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(name, stop)
    task = asyncio.ensure_future(beside()) if beside is not None else None
    try:
        await stopped.wait()
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        closing = asyncio.create_task(service.close())
        with contextlib.suppress(asyncio.CancelledError):
            await closing


def _raise_descriptor_limit() -> None:
    """A browser opens dozens of connections at once; the usual soft limit of 1024 is soon reached."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
