"""Who may come, who must go, and what each client has carried: a server's dealings with its registry."""

import asyncio
import contextlib
import logging
import math
import time

from tandem.base.file_watch import FileWatch
from tandem.base.tasks import TaskSet
from tandem.base.waking import until_multiple
from tandem.registry.ledger import ONLINE_RENEWAL
from tandem.registry.registration import Terms
from tandem.registry.source import ClientSource
from tandem.server.accounting import Accounting
from tandem.server.known_clients import KnownClients
from tandem_transport import ClientSession, Denial, Pending
from tandem_transport.driver import ServerDriver

log = logging.getLogger("tandem.state")

FOLLOW_INTERVAL = 1.0
"""Seconds between two looks at what has changed in the registry: a change must be in force within two."""

RESTING_INTERVAL = 10.0
"""Seconds between two looks while no stream is open, where the system tells of changes: each look wakes the machine."""

TELL_INTERVAL = 10.0
"""Seconds between two times at which the registry is told what clients have carried. A crash loses as much."""

_SLICE = 500
"""Sessions that are counted in one piece; then other things have their turn."""

_LAST_WORD = 3.0
"""Seconds that a server which ends has for telling the registry."""


class Membership:
    """Follows the registry, and ends the sessions of those who may not stay."""

    def __init__(self, source: ClientSource) -> None:
        self.source = source
        is_told_of_changes = math.isinf(source.memory)
        self._accounting = Accounting(ONLINE_RENEWAL if is_told_of_changes else TELL_INTERVAL)
        self.known = KnownClients(
            source,
            on_found=lambda public: self._driver.on_client_found(public),
            on_denied=lambda public, why: self._driver.close_client(public, why),
            on_removed=lambda public: self._driver.remove_client(public),
            untold=self._accounting.untold,
        )
        self._driver: ServerDriver
        self._tasks = TaskSet()
        self._turn = asyncio.Lock()
        self._told_at = time.monotonic()
        self._watch: FileWatch | None = None
        self._woken = asyncio.Event()
        """Set when there is a reason to look, which ends a rest."""

    def lookup(self, public: bytes) -> str | Denial | Pending | None:
        """Who a key is, for the transport."""
        return self.known.lookup(public)

    def terms(self, name: str) -> Terms:
        """The terms of a client that has a session."""
        return self.known.terms(name)

    def sessions(self, name: str) -> int:
        """The number of sessions that a client has."""
        return sum(session.client_name == name and session.connection.is_open for session in self._driver.sessions)

    async def start(self, driver: ServerDriver) -> None:
        """Begins to follow the registry. Raises TandemError where it cannot be asked."""
        self._driver = driver
        if self.source.file is not None:
            self._watch = FileWatch(self.source.file, self._woken.set)
        await self.known.start()
        self._tasks.begin(self._follow())

    async def close(self) -> None:
        """Tells the registry a last time, and closes it."""
        await self._tasks.cancel()
        if self._watch is not None:
            self._watch.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD):
                await self._tell(everything=True)
        await self.known.close()

    def on_started(self, session: ClientSession) -> None:
        """A session has begun."""
        self._accounting.begin(session)
        self.stop_resting()

    def on_ended(self, session: ClientSession) -> None:
        """A session is over."""
        self._accounting.end(session)
        self.stop_resting()

    def stop_resting(self) -> None:
        """Looks each second from now on, because a client is about to carry something, or has come or left."""
        self._woken.set()

    async def follow(self) -> None:
        """Looks now at what has changed in the registry, and applies it."""
        async with self._turn:
            await self._count()
            online = frozenset(self._accounting.online())
            for public in online:
                self.known.end_denied(public)
            await self.known.follow(online)
            await self._tell(everything=time.monotonic() - self._told_at >= TELL_INTERVAL)
            for public in online:
                self.known.end_denied(public)

    # --- inside ---

    async def _follow(self) -> None:
        while True:
            try:
                await self._rest()
                await self.follow()
            except Exception:  # any error: the loop must go on, because revocation depends on it
                log.exception("following the registry has failed")
                await asyncio.sleep(FOLLOW_INTERVAL)

    async def _rest(self) -> None:
        """Waits for the next look: FOLLOW_INTERVAL at least, RESTING_INTERVAL at most."""
        clock = asyncio.get_running_loop().time
        next_look = clock() + FOLLOW_INTERVAL
        if self._watch is not None and await self._is_idle() and self._watch.arm() and self.source.is_quiet():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_multiple(RESTING_INTERVAL)):
                    await self._woken.wait()
            self._watch.disarm()  # the look may write itself
        await asyncio.sleep(next_look - clock())
        self._woken.clear()

    async def _is_idle(self) -> bool:
        """Whether no client carries anything, and none's time runs out before the next look."""
        if self.known.problem or self._driver.has_streams:
            return False
        await self._count()  # also what was carried during the last look
        if not self._accounting.is_idle or self._driver.has_streams:
            return False
        return self.known.first_end(self._accounting.online()) > time.time() + RESTING_INTERVAL

    async def _count(self) -> None:
        for number, session in enumerate(self._driver.sessions):
            self._accounting.count(session)
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)

    async def _tell(self, *, everything: bool) -> None:
        now = time.monotonic()
        if everything:
            self._told_at = now
        taken = self._accounting.take(everything=everything, now=now)
        if taken and not await self.known.account(taken):
            self._accounting.give_back(taken)
