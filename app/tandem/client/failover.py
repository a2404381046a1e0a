"""Several servers: while the present one does not answer, the others are tried, one after the other.

The client keeps trying the present one meanwhile, because links that are down are down for every server. Only another
server that answers replaces it.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import count

from tandem.base.errors import TandemError
from tandem.config.invites import Invite
from tandem_transport.driver import ClientDriver

log = logging.getLogger("tandem.client")

RETIRED_SILENCE = 60.0
"""Seconds of silence after which a session that was left for another one is given up: its process may be gone, and
nobody answers for it."""

ANSWER_TIMEOUT = 10.0
"""Seconds without an answer after which the next server is tried."""

_TRY_TIMEOUT = 10.0
"""Seconds that another server has to answer when it is tried."""

_LOOK_INTERVAL = 1.0


BALANCE_MARGIN = 10
"""Percentage points by which another server of a fleet must be less full for a client to change to it."""

Adopt = Callable[[ClientDriver], None]
"""Takes a driver that has a session, to use it in place of the present one."""


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

    async def run(self, is_unanswered: Callable[[], bool], adopt: Adopt) -> None:
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

    async def move(self, old: ClientDriver, adopt: Adopt) -> None:
        """The server of a driver goes away: opens a session with its successor, or with another server, beside the old.

        Returns when `adopt` has taken a driver that has one, or when the old driver has another session by itself.
        """
        session = old.session
        for other in self._others():
            # The same address may be another process by now; where it is not, nobody should wait for it.
            found = await self._first({self._present, other})
            if old.session is not session and old.session is not None:
                if found is not None:
                    await found[1].close()
                return
            if found is not None:
                self._use(*found, adopt)
                return

    async def balance(self, driver: ClientDriver, adopt: Adopt) -> None:
        """Compares a fleet's server with another one, taken at random, and changes to that where it has more room.

        The better of two is nearly as good as the best of all, and costs one more handshake.
        """
        if not self._is_fleet or driver.session is None:
            return
        found = await self._first({random.choice([i for i in range(len(self._invites)) if i != self._present])})
        if found is None:
            return
        if _load(found[1]) + BALANCE_MARGIN < _load(driver):
            self._use(*found, adopt)
        else:
            await found[1].close()

    @property
    def _is_fleet(self) -> bool:
        """Whether there are several servers that are one to the client: one invite names them all."""
        return len(self._invites) > 1 and len({invite.client_private for invite in self._invites}) == 1

    def _others(self) -> Iterator[int]:
        """The servers after the present one, again and again; the present one where there is no other."""
        for step in count(1):
            yield (self._present + step) % len(self._invites)

    def _use(self, index: int, driver: ClientDriver, adopt: Adopt) -> None:
        self.count += index != self._present
        self._present = index
        adopt(driver)

    async def _first(self, indexes: set[int]) -> tuple[int, ClientDriver] | None:
        """The first of some servers to begin a session; None where none does in time."""
        tried: dict[int, ClientDriver] = {}
        for index in indexes:
            with _told(self._invites[index]):
                tried[index] = self._make(self._invites[index])
                tried[index].start()
        if not tried:
            await asyncio.sleep(_TRY_TIMEOUT)
            return None
        connecting = {asyncio.ensure_future(driver.wait_connected()): index for index, driver in tried.items()}
        chosen: int | None = None
        try:
            await asyncio.wait([*connecting], timeout=_TRY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            chosen = next((index for task, index in connecting.items() if task.done()), None)
            return None if chosen is None else (chosen, tried[chosen])
        finally:
            for task in connecting:
                task.cancel()
            for index, driver in tried.items():
                if index != chosen:
                    await driver.close()

    async def _try(self, index: int, is_unanswered: Callable[[], bool], adopt: Adopt) -> None:
        log.info("the server does not answer; trying %s", self._invites[index].endpoints[0])
        found = await self._first({index})
        if found is not None and is_unanswered():
            self._use(*found, adopt)
        elif found is not None:
            await found[1].close()


@contextlib.contextmanager
def _told(invite: Invite) -> Generator[None]:
    """A server that no link can reach is no reason to try no other."""
    try:
        yield
    except TandemError as error:
        log.warning("%s: %s", invite.endpoints[0], error)


def _load(driver: ClientDriver) -> int:
    """How full a driver's server was when the session began, in percent; 0 where it has not said so."""
    session = driver.session
    return (session.connection.peer_load or 0) if session is not None else 0


async def retire(old: ClientDriver) -> None:
    """Closes a driver that was left for another one when the connections of its session have ended."""
    try:
        while (session := old.session) is not None and session.streams_open:
            if time.monotonic() - session.connection.last_received_at > RETIRED_SILENCE:
                log.warning("the session before is silent for %.0f s: its connections are reset", RETIRED_SILENCE)
                return
            await old.next_beat()
    finally:
        await old.close()
