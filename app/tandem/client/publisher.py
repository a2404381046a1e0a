"""What a client publishes at its server: it offers the names in each session, and says what became of them."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tandem.admin.status import PublishedStatus
from tandem.base.addresses import format_host_port
from tandem.base.tasks import TaskSet
from tandem.client.connections import ConnectionTable
from tandem.client.opener import Opener
from tandem.client.published_targets import PublishedTargets
from tandem.config.publish_section import PublishConfig
from tandem.exchange.failures import Failure
from tandem.exchange.request import Kind, Request
from tandem_transport import TransportError
from tandem_transport.driver import Stream

log = logging.getLogger("tandem.client")

RETRY_INTERVAL = 30.0
"""Seconds after which a name that was refused is offered again: the server's configuration may have changed."""

_PAUSE = 2.0
"""Seconds before a name is offered again whose offer the server has ended."""


@dataclass(slots=True)
class _Offer:
    """One name, and what the server has said of it."""

    config: PublishConfig
    state: Literal["waiting", "published", "refused"] = "waiting"
    place: str = ""
    """Where it is reached at the server."""
    reason: str = ""
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Publisher:
    """Offers what a client publishes, and serves what arrives there."""

    def __init__(self, sections: Sequence[PublishConfig], opener: Opener, connections: ConnectionTable) -> None:
        """`sections`: those with a target are a client's."""
        self._offers = [_Offer(section) for section in sections if section.target is not None]
        self._targets = PublishedTargets([offer.config for offer in self._offers], connections)
        self._opener = opener
        self._tasks = TaskSet()
        self.told = 0
        """The number of streams of this session that carried offers; they do not count as connections."""

    @property
    def open_offers(self) -> int:
        """The number of offers that are in force, each with an open stream."""
        return sum(offer.state == "published" for offer in self._offers)

    def on_session(self) -> None:
        """Offers all names in a new session, and ends their offers in the session before."""
        self.told = 0
        for offer in self._offers:
            offer.task = self._tasks.begin(self._keep(offer, offer.task))

    def accept(self, stream: Stream) -> None:
        """Takes a stream that the server has opened."""
        self._tasks.begin(self._targets.serve(stream))

    async def close(self) -> None:
        """Ends the offers, and what they carry."""
        await self._tasks.cancel()

    def status(self) -> list[PublishedStatus]:
        """The state of each name."""
        return [
            PublishedStatus(
                name=offer.config.name,
                target=offer.config.target or "",
                state=offer.state,
                at=offer.place,
                reason=offer.reason,
            )
            for offer in self._offers
        ]

    # --- inside ---

    async def _keep(self, offer: _Offer, before: "asyncio.Task[None] | None") -> None:
        """Offers a name again and again. The offer `before` ends when this one is in force, so that none is missed."""
        while True:
            try:
                asked = await self._opener.ask(Request(Kind.PUBLISH, offer.config.name, 0))
            except Failure as failure:
                self._on_refused(offer, failure)
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            finally:
                if before is not None:
                    before.cancel()
            self.told += 1
            offer.state, offer.reason = "published", ""
            offer.place = format_host_port(asked.answer.bound_host, asked.answer.bound_port)
            log.info("published: %s, at %s of the server", offer.config.name, offer.place)
            await self._wait_for_end(asked.stream)
            offer.state, offer.place = "waiting", ""
            await asyncio.sleep(_PAUSE)

    async def _wait_for_end(self, stream: Stream) -> None:
        try:
            with contextlib.suppress(TransportError):
                while await stream.read():
                    pass
        finally:
            stream.reset()

    def _on_refused(self, offer: _Offer, failure: Failure) -> None:
        offer.state, offer.place = "refused", ""
        if offer.reason != str(failure):
            offer.reason = str(failure)
            log.warning("publish %s: %s; trying again", offer.config.name, failure)
