"""Further servers: each has a session beside the client's own, for the routes that name it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tandem.admin.status import ExitStatus, client_status, refusal_text
from tandem.client.client_links import ClientLinks
from tandem.client.opener import FastOpen, Opener
from tandem.client.remote import Remote
from tandem.config.invites import Invite
from tandem_socks import FarSide
from tandem_transport import Mode, PathPreference
from tandem_transport.driver import ClientDriver

MakeDriver = Callable[[Invite], ClientDriver]
"""Makes a driver whose links lead to another server, over the client's interfaces and under their caps."""


@dataclass(frozen=True, slots=True)
class Exit:
    """One further server."""

    invite: Invite
    driver: ClientDriver
    far_side: FarSide


class Exits:
    """The further servers of a client, by name."""

    def __init__(self, invites: Mapping[str, Invite], make: MakeDriver, fast_open: FastOpen) -> None:
        """Raises UsageError where a link reaches no endpoint of an invite."""
        self._exits: dict[str, Exit] = {}
        for name, invite in invites.items():
            driver = make(invite)
            self._exits[name] = Exit(invite, driver, Remote(Opener(driver, fast_open)))

    def far_side(self, name: str) -> FarSide | None:
        """What is reached through a server, None where none has this name."""
        found = self._exits.get(name)
        return found.far_side if found is not None else None

    def start(self) -> None:
        """Begins the sessions."""
        for each in self._exits.values():
            each.driver.start()

    async def close(self) -> None:
        """Ends the sessions."""
        await asyncio.gather(*(each.driver.close() for each in self._exits.values()))

    def set_mode(self, mode: Mode) -> None:
        """Changes the mode of all sessions."""
        for each in self._exits.values():
            each.driver.set_mode(mode)

    def follow(self, links: ClientLinks) -> None:
        """Gives all drivers the links that were found, and the uses that links have now."""
        preferences: tuple[PathPreference, ...] = links.preferences()
        for each in self._exits.values():
            links.complete(each.driver, each.invite)
            each.driver.set_preferences(preferences)

    def status(self) -> list[ExitStatus]:
        """The state of each."""
        return [_status(name, each) for name, each in self._exits.items()]


def _status(name: str, each: Exit) -> ExitStatus:
    session, refused = client_status(each.driver, each.driver.started_at).session, each.driver.refused
    reason = refusal_text(refused) if refused is not None and session.state == "connecting" else ""
    server = session.server or each.invite.endpoints[0]
    return ExitStatus(name=name, state=session.state, server=server, streams_open=session.streams_open, reason=reason)
