"""The ports of a server that lead to its clients' sides, as its configuration lists them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence

from tandem.admin.status import PublicationStatus
from tandem.base.errors import TandemError, os_error_text
from tandem.config.publish_section import PublishConfig
from tandem.exchange.failures import rule_failure
from tandem.registry.registration import Terms
from tandem.server.publication import OpenStream, Publication
from tandem.server.quotas import ClientLimits
from tandem.server.rates import ClientRates
from tandem_transport import ClientSession
from tandem_transport.driver import Stream

SHARE = 0.5
"""Of the streams that a client may have at the same time, how many more may arrive at its published ports."""

log = logging.getLogger("tandem.server")


class Publications:
    """All publications of a server process."""

    def __init__(
        self, terms: Callable[[str], Terms], rates: ClientRates, open_stream: OpenStream, *, shares_ports: bool
    ) -> None:
        """`terms`: those of a client. `shares_ports`: other processes of this server listen on the same ports."""
        self.limits = ClientLimits(1, 1, terms, share=SHARE)
        """What arrives counts by itself: strangers must not use up what the client may open."""
        self._rates, self._open_stream = rates, open_stream
        self._shares_ports = shares_ports
        self._all: list[Publication] = []

    async def start(self, sections: Sequence[PublishConfig]) -> None:
        """Finds out whether it can listen on all ports. Raises TandemError."""
        self._all = [self._made(section) for section in sections if section.listen]
        for publication in self._all:
            if self._shares_ports and "*" in (publication.config.client or ""):
                text = f"publish {publication.config.name}: client {publication.config.client} may be several clients"
                raise TandemError(text, "with several workers, name one client: they do not know of each other")
            try:
                await publication.check()
            except OSError as error:
                text = f"publish {publication.config.name}: {publication.config.listen}: {os_error_text(error)}"
                raise TandemError(text, "another address of this machine, or a free port, is `listen` there") from error

    async def change(self, sections: Sequence[PublishConfig]) -> None:
        """Applies a new configuration; what has not changed goes on."""
        present, self._all = self._all, []
        for section in sections:
            if section.listen:
                kept = next((item for item in present if item.config == section), None)
                self._all.append(kept or self._made(section))
        for publication in present:
            if publication not in self._all:
                await publication.close()
        for publication in self._all:
            if publication not in present:
                try:
                    await publication.check()
                except OSError as error:
                    log.error("publish %s: %s: %s", publication.config.name, publication.config.listen, error.strerror)

    async def drain(self, timeout: float) -> None:
        """Ends all offers and stops listening; waits for the connections, `timeout` seconds at most."""
        await asyncio.gather(*(publication.drain(timeout) for publication in self._all))

    async def close(self) -> None:
        """Ends all offers, and what is carried."""
        for publication in self._all:
            await publication.close()

    @contextlib.asynccontextmanager
    async def offered(self, session: ClientSession, stream: Stream, name: str) -> AsyncGenerator[tuple[str, int]]:
        """A client offers a name for the duration of the block; gives the address at which it is reached.

        Raises Failure where the configuration does not list it for this client, or another client offers it.
        """
        publication = self._find(session.client_name, name)
        await publication.offer(session, stream)
        try:
            yield publication.place
        finally:
            await publication.withdraw(stream)

    def status(self) -> list[PublicationStatus]:
        """The state of each."""
        return [
            PublicationStatus(
                name=item.config.name, listen=item.config.listen or "", client=item.client, connections=item.in_use
            )
            for item in self._all
        ]

    def _made(self, section: PublishConfig) -> Publication:
        return Publication(section, self.limits, self._rates, self._open_stream, shares_port=self._shares_ports)

    def _find(self, client: str, name: str) -> Publication:
        for publication in self._all:
            if publication.config.name == name and publication.config.admits(client):
                return publication
        raise rule_failure(f"the server has no [[publish]] {name} for {client}")
