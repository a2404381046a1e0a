"""Several servers: while the present one does not answer, the others are tried, one after the other.

The client keeps trying the present one meanwhile, because links that are down are down for every server. Only another
server that answers replaces it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from tandem.config.invites import Invite
from tandem_transport.driver import ClientDriver

log = logging.getLogger("tandem.client")

ANSWER_TIMEOUT = 10.0
"""Seconds without an answer after which the next server is tried."""

_TRY_TIMEOUT = 10.0
"""Seconds that another server has to answer when it is tried."""

_LOOK_INTERVAL = 1.0


class Failover:
    """All servers, and which one is in use."""

    def __init__(self, invites: Sequence[Invite], make: Callable[[Invite], ClientDriver]) -> None:
        """`invites`: one for each server, the preferred first. `make` makes a driver that is not started."""
        self._invites = list(invites)
        self._make = make
        self._present = 0
        self.count = 0
        """How often the client has changed to another server."""

    @property
    def present(self) -> Invite:
        """The invite of the server in use."""
        return self._invites[self._present]

    async def run(self, is_unanswered: Callable[[], bool], adopt: Callable[[ClientDriver], None]) -> None:
        """Runs until it is cancelled; returns at once where there is one server only.

        `adopt` takes a driver that has a session, to use it in place of the present one.
        """
        following = self._present
        while len(self._invites) > 1:
            await asyncio.sleep(_LOOK_INTERVAL)
            if not is_unanswered():
                following = self._present
                continue
            following = (following + 1) % len(self._invites)
            if following != self._present:
                await self._try(following, is_unanswered, adopt)

    async def move(self, old: ClientDriver, adopt: Callable[[ClientDriver], None]) -> None:
        """The server of a driver goes away: opens a session with its successor, or with another server, beside the old.

        Returns when `adopt` has taken a driver that has one, or when the old session is over.
        """
        index = self._present
        while old.session is not None:
            if await self._open_beside(old, index, adopt):
                return
            index = (index + 1) % len(self._invites)

    async def _open_beside(self, old: ClientDriver, index: int, adopt: Callable[[ClientDriver], None]) -> bool:
        driver = self._make(self._invites[index])
        driver.start()
        connecting = asyncio.ensure_future(driver.wait_connected())
        try:
            waited: list[asyncio.Future[Any]] = [connecting]
            waited += [] if old.session is None else [old.session.closed]
            await asyncio.wait(waited, timeout=_TRY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if driver.session is None or old.session is None:
                return False
            self.count += index != self._present
            self._present = index
            adopt(driver)
            return True
        finally:
            connecting.cancel()
            if driver.session is None or old.session is None:
                await driver.close()

    async def _try(self, index: int, is_unanswered: Callable[[], bool], adopt: Callable[[ClientDriver], None]) -> None:
        invite = self._invites[index]
        log.info("the server does not answer; trying %s", invite.endpoints[0])
        driver = self._make(invite)
        driver.start()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TRY_TIMEOUT):
                    await driver.wait_connected()
            if driver.session is not None and is_unanswered():
                self._present = index
                self.count += 1
                adopt(driver)
        finally:
            if self._present != index:
                await driver.close()
