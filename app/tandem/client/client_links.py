"""The links of a client, in the order of their path ids: configuration, cap, the driver's link, and drill of each."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tandem.base.errors import UsageError
from tandem.client.drill import Drill, RunningDrill
from tandem.client.links import follows_interfaces, make_link, planned_links, preference_of
from tandem.client.usage import LinkCap, UsageBook
from tandem.config.config import LinkConfig
from tandem.config.invites import Invite
from tandem.routing.ways_out import LinkPlace
from tandem_transport import MAX_PATHS, PathPreference
from tandem_transport.driver import ClientDriver, Link, Names

log = logging.getLogger("tandem.client")

MAX_DEAD_LINKS = 4
"""The maximum number of found links that are shown after their interface is gone, because it may come back."""


@dataclass(slots=True)
class ClientLink:
    """One link of a client."""

    config: LinkConfig
    cap: LinkCap
    link: Link
    """The link of the driver that is in use."""
    drill: RunningDrill | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the link's interface or address is gone."""
        return self.link.gone_since is not None

    def end_drill(self) -> None:
        """Ends the drill on the link. Does nothing where none is under way."""
        if self.drill is not None:
            self.drill.end()
            self.drill = None


class ClientLinks:
    """Links that are configured, and those that are found while the client runs."""

    def __init__(self, configured: Sequence[LinkConfig], usage: UsageBook, invite: Invite) -> None:
        """`usage`: what the links have carried. Raises UsageError where a link cannot reach any endpoint."""
        self._configured = configured
        self._usage = usage
        self._names = Names()
        self._server = invite.server_public
        self._links = [self._make(i, config, invite) for i, config in enumerate(planned_links(configured))]

    def __iter__(self) -> Iterator[ClientLink]:
        return iter(self._links)

    def place(self, name: str) -> LinkPlace | None:
        """Where the link with a name is, for what goes past the session; None where there is no such link."""
        named = (each for each in self._links if each.config.name == name)
        return next((LinkPlace(name, each.link.local, each.cap) for each in named), None)

    def __len__(self) -> int:
        return len(self._links)

    @property
    def all(self) -> list[Link]:
        """The links of the driver in use, by path id."""
        return [each.link for each in self._links]

    def named(self, name: str, what: str) -> ClientLink:
        """The link with this name. Raises UsageError with a text that begins with `what`."""
        for each in self._links:
            if each.link.name == name:
                return each
        known = ", ".join(each.link.name for each in self._links)
        raise UsageError(f"{what}: there is no link {name!r}", f"this client's links: {known}")

    def preferences(self) -> tuple[PathPreference, ...]:
        """How both ends are to use the links."""
        return tuple(preference_of(each.config, path_id) for path_id, each in enumerate(self._links))

    # --- drills ---

    def begin_drill(self, drill: Drill) -> str:
        """Begins a drill in place of the one on that link, or ends that one; returns the present drill in words.

        Raises UsageError for an unknown link, and where there is no drill to end.
        """
        each = self.named(drill.link, "drill")
        if not drill.is_on and each.drill is None:
            raise UsageError(f"drill: none is under way on {drill.link}", "`tandem status` tells of those that are")
        each.end_drill()
        if drill.is_on:
            each.drill = RunningDrill(drill, each.link, each.end_drill)
        return str(each.drill or "")

    def end_drills(self) -> None:
        """Ends the drills of all links."""
        for each in self._links:
            each.end_drill()

    # --- other servers ---

    def others(self, invite: Invite) -> list[Link]:
        """Links to another server, over the same interfaces and under the same caps. Raises UsageError."""
        return [self._link_to(invite, path_id, each) for path_id, each in enumerate(self._links)]

    def adopt(self, driver: ClientDriver, invite: Invite) -> None:
        """Uses another driver, with links to its own server; links that were found in the meantime are added to it."""
        self.end_drills()
        self.complete(driver, invite)
        for path_id, each in enumerate(self._links):
            each.link = driver.links[path_id]

    def complete(self, driver: ClientDriver, invite: Invite) -> None:
        """Gives a driver the links that were found since it was made, and those that have taken another's place."""
        for path_id, each in enumerate(self._links):
            if path_id >= len(driver.links):
                driver.add_link(self._link_to(invite, path_id, each))
            elif driver.links[path_id].name != each.config.name:
                driver.replace_link(path_id, self._link_to(invite, path_id, each))

    # --- interfaces that come and go ---

    @property
    def follows_interfaces(self) -> bool:
        """Whether a new interface can become a link."""
        return follows_interfaces(self._configured)

    def new_ones(self) -> list[LinkConfig]:
        """The configuration of links that are wanted now but are not there yet."""
        return planned_links(self._configured, [each.config for each in self._links])

    def hidden(self) -> set[int]:
        """Path ids of the links that are not shown: gone ones, except for the MAX_DEAD_LINKS that were there last."""
        return set(self._dead()[:-MAX_DEAD_LINKS])

    def book_usage(self) -> None:
        """Enters what all links have carried by now into the usage book."""
        for each in self._links:
            each.cap.usage()

    def add(self, found: LinkConfig, driver: ClientDriver, invite: Invite) -> None:
        """Adds a link on a new path, or in place of the link gone for longest: paths and screen lines are few."""
        dead = self._dead()
        if len(dead) < MAX_DEAD_LINKS and len(self._links) < MAX_PATHS:
            log.info("link %s: found (%s)", found.name, found.bind)
            self._links.append(self._make(len(self._links), found, invite))
            driver.add_link(self._links[-1].link)
        elif dead:
            self._replace(dead[0], found, driver, invite)

    # --- inside ---

    def _link_to(self, invite: Invite, path_id: int, each: ClientLink) -> Link:
        """A link to a server. The endpoint that is configured for the link is one of the client's own server."""
        is_own = invite.server_public == self._server
        config = each.config if is_own else each.config.model_copy(update={"endpoint": None})
        return make_link(path_id, config, invite, self._names, each.cap)

    def _make(self, path_id: int, config: LinkConfig, invite: Invite) -> ClientLink:
        cap = LinkCap(config, self._usage)
        return ClientLink(config, cap, make_link(path_id, config, invite, self._names, cap))

    def _replace(self, path_id: int, found: LinkConfig, driver: ClientDriver, invite: Invite) -> None:
        """Replaces a link by another one on the same path."""
        each, made = self._links[path_id], self._make(path_id, found, invite)
        log.info("link %s: found (%s), it takes the place of %s", found.name, found.bind, each.link.name)
        each.end_drill()
        each.config, each.cap = made.config, made.cap
        driver.replace_link(path_id, made.link)

    def _dead(self) -> list[int]:
        """Path ids of links that were found and whose interface is gone, the one gone for longest first."""
        named = {link.bind for link in self._configured}
        gone = [
            (each.link.gone_since, path_id)
            for path_id, each in enumerate(self._links)
            if each.link.gone_since is not None and each.config.bind not in named
        ]
        return [path_id for _, path_id in sorted(gone)]
