"""A server's own entry in the fleet of its registry: where it is, and how many sessions it has."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

from tandem.base.errors import TandemError
from tandem.base.threads import Threads
from tandem.registry.fleet import FleetServer
from tandem.registry.registry import Registry
from tandem.registry.source import ClientSource

log = logging.getLogger("tandem.state")

ENTER_INTERVAL = 10.0
"""Seconds between two entries."""

_LAST_WORD = 2.0

Load = Callable[[], Awaitable[tuple[int, int]]]
"""Returns the number of sessions, and the most that there may be."""


class FleetMember:
    """Keeps the entry up to date. Does nothing where the registry is a service, or no endpoint is configured."""

    def __init__(self, source: ClientSource, name: str, endpoints: list[str], load: Load) -> None:
        """`name`: of the server, this machine's where it is empty. `endpoints`: where clients reach it."""
        self._source = source
        self._name = name or socket.gethostname()
        self._endpoints = tuple(endpoints)
        self._load = load
        self._threads = Threads(1)
        self._is_draining = False
        self._public_key = b""

    async def run(self, public_key: bytes) -> None:
        """Enters the server again and again, until it is cancelled."""
        self._public_key = public_key
        while isinstance(self._source, Registry) and self._endpoints:
            try:
                await self._enter()
            except Exception:  # any error: the loop must go on
                log.exception("entering this server in the registry has failed")
            await asyncio.sleep(ENTER_INTERVAL)

    async def drain(self) -> None:
        """Says at once that the server ends, if the registry takes it in time."""
        self._is_draining = True
        if self._public_key:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD):
                    await self._enter()

    async def _enter(self) -> None:
        if not isinstance(self._source, Registry) or not self._endpoints:
            return
        fleet = self._source.fleet
        sessions, most = await self._load()
        entry = FleetServer(self._public_key, self._name, self._endpoints, sessions, most, self._is_draining)
        try:
            await self._threads.run(lambda: fleet.enter(entry))
        except TandemError as error:  # the registry's own problem is told elsewhere
            log.debug("fleet: %s", error)
