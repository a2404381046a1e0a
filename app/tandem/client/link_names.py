"""Tells the server how the links are called, so that whoever watches the server knows them by their names."""

import contextlib

from tandem.base.tasks import TaskSet
from tandem.client.client_links import ClientLinks
from tandem.client.opener import Opener
from tandem.exchange import link_names
from tandem.exchange.failures import Failure
from tandem.exchange.request import Kind, Request


class NameTeller:
    """Of one client. Everything works without it."""

    def __init__(self, opener: Opener, links: ClientLinks) -> None:
        self._opener = opener
        self._links = links
        self._tasks = TaskSet()
        self.told = 0
        """Streams of this session that told the names: they are nobody's connection."""

    def on_session(self) -> None:
        """There is another session, which knows no names yet."""
        self.told = 0
        self.tell()

    def tell(self) -> None:
        """The names are new, or have changed."""
        self._tasks.begin(self._tell())

    async def close(self) -> None:
        """Tells nothing more."""
        await self._tasks.cancel()

    async def _tell(self) -> None:
        names = link_names.encode([link.name for link in self._links.all])
        with contextlib.suppress(Failure):
            await self._opener.ask_once(Request(Kind.LINKS, "", 0), names)
            self.told += 1
