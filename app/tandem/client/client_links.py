"""The links of a client, in the order of their path ids: what is configured, what carries it, what is done to it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tandem.base.errors import UsageError
from tandem.client.drill import Drill, RunningDrill
from tandem.client.links import follows_interfaces, make_link, planned_links, preference_of
from tandem.client.usage import LinkCap, UsageBook
from tandem.config.config import LinkConfig
from tandem.config.invites import Invite
from tandem_transport import MAX_PATHS, PathPreference
from tandem_transport.driver import ClientDriver, Link, Names

log = logging.getLogger("tandem.client")

MAX_DEAD_LINKS = 4
"""Links that were found, and whose interface is gone, that are kept and shown: it may come back."""


@dataclass(slots=True)
class ClientLink:
    """One link."""

    config: LinkConfig
    cap: LinkCap
    link: Link
    """Of the driver that is in use."""
    drill: RunningDrill | None = None

    @property
    def is_gone(self) -> bool:
        """Its interface, or its address, is not there."""
        return self.link.gone_since is not None

    def end_drill(self) -> None:
        """Does nothing where none is under way."""
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
        self._links = [self._make(i, config, invite) for i, config in enumerate(planned_links(configured))]

    def __iter__(self) -> Iterator[ClientLink]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    @property
    def all(self) -> list[Link]:
        """What the driver in use has, by path id."""
        return [each.link for each in self._links]

    def named(self, name: str, what: str) -> ClientLink:
        """The link of that name. Raises UsageError, in words that begin with `what`."""
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
        """Takes the place of what is under way on that link, or ends it; returns what is done to the link now.

        Raises UsageError for an unknown link, and where there is nothing to end.
        """
        each = self.named(drill.link, "drill")
        if not drill.is_on and each.drill is None:
            raise UsageError(f"drill: none is under way on {drill.link}", "`tandem status` tells of those that are")
        each.end_drill()
        if drill.is_on:
            each.drill = RunningDrill(drill, each.link, each.end_drill)
        return str(each.drill or "")

    def end_drills(self) -> None:
        """Ends all."""
        for each in self._links:
            each.end_drill()

    # --- other servers ---

    def others(self, invite: Invite) -> list[Link]:
        """Links to another server, over the same interfaces and under the same caps. Raises UsageError."""
        return [
            make_link(path_id, each.config, invite, self._names, each.cap) for path_id, each in enumerate(self._links)
        ]

    def adopt(self, driver: ClientDriver, invite: Invite) -> None:
        """Another driver is in use, with links to its own server; those that were found meanwhile follow."""
        self.end_drills()
        for path_id, each in enumerate(self._links):
            if path_id >= len(driver.links):
                each.link = make_link(path_id, each.config, invite, self._names, each.cap)
                driver.add_link(each.link)
            else:
                each.link = driver.links[path_id]
                if each.link.name != each.config.name:
                    driver.replace_link(path_id, make_link(path_id, each.config, invite, self._names, each.cap))

    # --- interfaces that come and go ---

    @property
    def follows_interfaces(self) -> bool:
        """Whether an interface that comes can become a link."""
        return follows_interfaces(self._configured)

    def new_ones(self) -> list[LinkConfig]:
        """Links that are wanted now, and not there yet."""
        return planned_links(self._configured, [each.config for each in self._links])

    def hidden(self) -> set[int]:
        """Path ids of links that are gone for so long that nobody wants to see them."""
        return set(self._dead()[:-MAX_DEAD_LINKS])

    def add(self, found: LinkConfig, driver: ClientDriver, invite: Invite) -> None:
        """A new path, or that of the link that is gone for longest: paths are few, and so are the lines of a screen."""
        dead = self._dead()
        if len(dead) < MAX_DEAD_LINKS and len(self._links) < MAX_PATHS:
            log.info("link %s: found (%s)", found.name, found.bind)
            self._links.append(self._make(len(self._links), found, invite))
            driver.add_link(self._links[-1].link)
        elif dead:
            self._replace(dead[0], found, driver, invite)

    # --- inside ---

    def _make(self, path_id: int, config: LinkConfig, invite: Invite) -> ClientLink:
        cap = LinkCap(config, self._usage)
        return ClientLink(config, cap, make_link(path_id, config, invite, self._names, cap))

    def _replace(self, path_id: int, found: LinkConfig, driver: ClientDriver, invite: Invite) -> None:
        """A link becomes another one, on the same path."""
        each, made = self._links[path_id], self._make(path_id, found, invite)
        log.info("link %s: found (%s), it takes the place of %s", found.name, found.bind, each.link.name)
        each.end_drill()
        each.config, each.cap = made.config, made.cap
        driver.replace_link(path_id, made.link)

    def _dead(self) -> list[int]:
        """Path ids of links that were found and whose interface is gone, the one that is gone for longest first."""
        named = {link.bind for link in self._configured}
        gone = [
            (each.link.gone_since, path_id)
            for path_id, each in enumerate(self._links)
            if each.link.gone_since is not None and each.config.bind not in named
        ]
        return [path_id for _, path_id in sorted(gone)]
