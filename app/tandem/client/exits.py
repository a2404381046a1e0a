"""Further servers: each has a session beside the client's own, for the routes that name it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from tandem.admin.snapshots import client_status, refusal_text
from tandem.admin.status import ExitStatus
from tandem.base.tasks import TaskSet
from tandem.client.client_links import ClientLinks
from tandem.client.failover import Failover, retire
from tandem.client.opener import FastOpen, Opener
from tandem.client.remote import Remote
from tandem.config.invites import Invite
from tandem_socks import FarSide
from tandem_transport import ClientEvent, Mode
from tandem_transport.driver import ClientDriver
from tandem_transport.events import GoAwayReceived

OnEvent = Callable[[ClientDriver, ClientEvent], None]
MakeDriver = Callable[[Invite, OnEvent], ClientDriver]
"""Makes a driver whose links lead to another server, over the client's interfaces and under their caps."""


class Exit:
    """One further server, or a fleet of them."""

    def __init__(self, invites: Sequence[Invite], make: MakeDriver, fast_open: FastOpen) -> None:
        """`invites`: one for each server of the fleet. Raises UsageError where a link reaches no endpoint."""
        self._failover = Failover(invites, lambda invite: make(invite, self._on_event))
        self.driver = make(invites[0], self._on_event)
        self._opener = Opener(self.driver, fast_open)
        self.far_side: FarSide = Remote(self._opener)
        self._tasks = TaskSet()

    @property
    def invite(self) -> Invite:
        """The invite of the server in use."""
        return self._failover.present

    def start(self) -> None:
        """Begins the session."""
        self.driver.start()

    async def close(self) -> None:
        """Ends the session, and those that were left for it."""
        await self._tasks.cancel()
        await self.driver.close()

    def status(self, name: str) -> ExitStatus:
        """The state of the session."""
        session, refused = client_status(self.driver, self.driver.started_at).session, self.driver.refused
        reason = refusal_text(refused) if refused is not None and session.state == "connecting" else ""
        server = session.server or self.invite.endpoints[0]
        return ExitStatus(
            name=name, state=session.state, server=server, streams_open=session.streams_open, reason=reason
        )

    def _on_event(self, driver: ClientDriver, event: ClientEvent) -> None:
        if driver is self.driver and isinstance(event, GoAwayReceived):
            self._tasks.begin(self._failover.move(driver, self._use))

    def _use(self, driver: ClientDriver) -> None:
        """Changes to the successor of a server that goes away; what is open stays there to its end."""
        old, self.driver = self.driver, driver
        self._opener.use(driver)
        old.begin_no_other()
        self._tasks.begin(retire(old))


class Exits:
    """The further servers of a client, by name."""

    def __init__(self, invites: Mapping[str, Sequence[Invite]], make: MakeDriver, fast_open: FastOpen) -> None:
        """Raises UsageError where a link reaches no endpoint of an invite."""
        self._exits = {name: Exit(found, make, fast_open) for name, found in invites.items()}

    def far_side(self, name: str) -> FarSide | None:
        """What is reached through a server, None where none has this name."""
        found = self._exits.get(name)
        return found.far_side if found is not None else None

    def start(self) -> None:
        """Begins the sessions."""
        for each in self._exits.values():
            each.start()

    async def close(self) -> None:
        """Ends the sessions."""
        await asyncio.gather(*(each.close() for each in self._exits.values()))

    def set_mode(self, mode: Mode) -> None:
        """Changes the mode of all sessions."""
        for each in self._exits.values():
            each.driver.set_mode(mode)

    def follow(self, links: ClientLinks) -> None:
        """Gives all drivers the links that were found, and the uses that links have now."""
        for each in self._exits.values():
            links.complete(each.driver, each.invite)
            each.driver.set_preferences(links.preferences())

    def status(self) -> list[ExitStatus]:
        """The state of each."""
        return [each.status(name) for name, each in self._exits.items()]
