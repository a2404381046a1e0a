"""Runs a client or a server until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from tandem.base.errors import TandemError
from tandem.process import systemd

log = logging.getLogger("tandem")

_THRESHOLDS = (10_000, 20, 20)
"""New objects before a collection of the youngest, and collections before one of the next generation."""


class Service(Protocol):
    """Something that starts, drains and closes."""

    async def start(self) -> None: ...

    async def drain(self) -> None:
        """Accepts nothing new, and returns when all open connections have ended, or their time is over."""
        ...

    async def close(self) -> None: ...


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs `main` under the fastest event loop that this system has and that supports UDP."""
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: uvloop, but on Windows and on some routers, where it does not exist."""
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop
    try:
        import uvloop
    except ImportError:
        return asyncio.SelectorEventLoop
    return uvloop.new_event_loop


async def serve(
    service: Service,
    beside: Callable[[], Awaitable[None]] | None = None,
    *,
    reload: Callable[[], None] | None = None,
    upgrade: Callable[[], None] | None = None,
) -> None:
    """Starts the service and runs it until SIGTERM, which lets it drain, or SIGINT, which does not.

    A second signal ends the draining. `beside`, such as a console, runs at the same time, and the service ends
    when it returns. SIGHUP calls `reload`, SIGUSR2 `upgrade`.
    """
    await service.start()
    _spare_garbage_collector()
    systemd.notify("READY=1")
    stopped, hurried = asyncio.Event(), asyncio.Event()

    def stop(*, drains: bool) -> None:
        if stopped.is_set() or not drains:
            hurried.set()
        stopped.set()

    _on_signal(signal.SIGTERM, lambda: stop(drains=True))
    _on_signal(signal.SIGINT, lambda: stop(drains=False))
    if reload is not None and sys.platform != "win32":
        _on_signal(signal.SIGHUP, lambda: _reload(reload))
    if upgrade is not None and sys.platform != "win32":
        _on_signal(signal.SIGUSR2, upgrade)
    others: list[asyncio.Future[Any]] = [asyncio.ensure_future(systemd.watchdog())]
    if beside is not None:
        others.append(asyncio.ensure_future(_run_beside(beside, lambda: stop(drains=False))))
    try:
        await stopped.wait()
        systemd.notify("STOPPING=1")
        await _unless(hurried, service.drain())
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await service.close()


async def _run_beside(beside: Callable[[], Awaitable[None]], stop: Callable[[], None]) -> None:
    """Runs the console. Where it fails, the service goes on, so that connections stay open."""
    try:
        await beside()
    except Exception:
        log.exception("the console has failed; everything else goes on")
    else:
        stop()


async def _unless(hurried: asyncio.Event, draining: Coroutine[Any, Any, None]) -> None:
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(draining), asyncio.ensure_future(hurried.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _reload(reload: Callable[[], None]) -> None:
    """Reloads the configuration; a mistake in the file changes nothing."""
    systemd.notify_reloading()
    try:
        reload()
    except TandemError as error:
        log.error("nothing was reloaded: %s", "; ".join(line.strip() for line in str(error).splitlines()))
    systemd.notify("READY=1")


def _on_signal(number: signal.Signals, action: Callable[[], None]) -> None:
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(number, action)


def _spare_garbage_collector() -> None:
    """Leaves what exists now out of all collections, and has young objects looked at less often.

    A busy session makes thousands of objects for packets in flight, which live for a round trip: with the usual numbers
    they count as old, and a collection of everything, modules included, halts the process for 50 ms each second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def _raise_descriptor_limit() -> None:
    """Raises the soft limit to the hard one: a browser opens dozens of connections at once, and soon reaches 1024."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
