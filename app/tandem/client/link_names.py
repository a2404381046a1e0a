"""Sends the names of the links to the server, so that the server's status shows them by their names."""

import contextlib

from tandem.base.tasks import TaskSet
from tandem.client.client_links import ClientLinks
from tandem.client.opener import Opener
from tandem.exchange import link_names
from tandem.exchange.failures import Failure
from tandem.exchange.request import Kind, Request


class NameTeller:
    """Sends the link names of one client. Everything else works without them."""

    def __init__(self, opener: Opener, links: ClientLinks) -> None:
        self._opener = opener
        self._links = links
        self._tasks = TaskSet()
        self.told = 0
        """The number of streams of this session that sent the names; they do not count as connections."""

    def on_session(self) -> None:
        """Sends the names in a new session, whose server does not know them yet."""
        self.told = 0
        self.tell()

    def tell(self) -> None:
        """Sends the names, after they have changed."""
        self._tasks.begin(self._tell())

    async def close(self) -> None:
        """Stops sending the names."""
        await self._tasks.cancel()

    async def _tell(self) -> None:
        names = link_names.encode([link.name for link in self._links.all])
        with contextlib.suppress(Failure):
            await self._opener.ask_once(Request(Kind.LINKS, "", 0), names)
            self.told += 1
