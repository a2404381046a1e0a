"""The client's driver: links with their sockets, one session after another."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable

from tandem_transport.client_endpoint import (
    ClientEndpoint,
    ClientEvent,
    Connected,
    HandshakeRefused,
    HandshakeUnanswered,
)
from tandem_transport.driver.link import Link, Receive
from tandem_transport.driver.session import DrivenSession
from tandem_transport.driver.sleep import SleepWatch
from tandem_transport.driver.sockets import UdpAddress
from tandem_transport.driver.turns import TurnTaker, batches
from tandem_transport.events import ConnectionTerminated
from tandem_transport.frames import Mode, PathWish
from tandem_transport.parameters import TransportParameters

log = logging.getLogger("tandem.client")

_ROTATE_AFTER = 3.0
"""Seconds without an answer after which a link tries the server's next endpoint."""

_MAINTAIN_INTERVAL = 1.0

_CLOSE_LIMIT = 2.0
"""Seconds that closing may take: the goodbye is sent, nobody waits for an answer."""


class ClientDriver(TurnTaker):
    """Keeps a session with the server over all links."""

    def __init__(
        self,
        static_private: bytes,
        server_public: bytes,
        links: list[Link],
        *,
        parameters: TransportParameters | None = None,
        instance_id: bytes | None = None,
        mode: Mode = Mode.DUPLICATE,
        on_event: Callable[[ClientEvent], None] | None = None,
    ) -> None:
        super().__init__()
        self.endpoint = ClientEndpoint(
            static_private,
            server_public,
            randomness=os.urandom,
            wall_clock=time.time,
            now=self.now(),
            parameters=parameters,
            instance_id=instance_id,
            mode=mode,
        )
        self.links = links
        for _ in links:
            self.endpoint.add_path(now=self.now())
        self._on_event = on_event
        self._session: DrivenSession | None = None
        self._connected = asyncio.Event()
        self._awake = asyncio.Event()
        """Set, and replaced, when the links are to be looked at now."""
        self._tasks: list[asyncio.Task[None]] = []
        self.started_at = self.now()
        self.refused: int | None = None
        """Why the server turned us down, None once it no longer does."""

    @property
    def session(self) -> DrivenSession | None:
        """The present session, None while there is none."""
        return self._session

    def start(self) -> None:
        """Opens the links; the session comes by itself."""
        self._tasks = [asyncio.create_task(self._maintain(i, link)) for i, link in enumerate(self.links)]
        self._tasks.append(asyncio.create_task(self._watch_sleep()))
        self.wake()

    async def wait_connected(self) -> DrivenSession:
        """The session, as soon as there is one."""
        while self._session is None:
            self._connected.clear()
            await self._connected.wait()
        return self._session

    def set_mode(self, mode: Mode) -> None:
        """Another mode for this session and those after it, without another handshake."""
        self.wake()
        self.endpoint.set_mode(mode)

    def set_wishes(self, wishes: tuple[PathWish, ...]) -> None:
        """How both ends use single links, for this session and those after it."""
        self.wake()
        self.endpoint.set_wishes(wishes)

    async def close(self) -> None:
        """Says goodbye and closes the sockets."""
        self.wake()
        self.endpoint.close(now=self.now())
        if self._session is not None:
            await asyncio.wait([self._session.closed], timeout=_CLOSE_LIMIT)
            await asyncio.sleep(0)  # the turn that sends the goodbye ends
        self.stop_turns()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self.links:
            link.close()

    # --- links ---

    def add_link(self, link: Link) -> None:
        """Another link while running. Raises LocalProtocolError beyond MAX_PATHS."""
        path_id = self.endpoint.add_path(now=self.now())
        self.links.append(link)
        self._tasks.append(asyncio.create_task(self._maintain(path_id, link)))
        self.wake()

    async def _maintain(self, path_id: int, link: Link) -> None:
        """Watches over a link about once a second, and sooner when there is a reason."""

        def receive(data: bytes, _: UdpAddress) -> None:
            if link.arrive is None:
                take(data)
            else:
                link.arrive(data, take)

        def take(data: bytes) -> None:
            self.wake()
            now = self.now()
            link.on_received(len(data), now=now)
            if link.is_spent():
                self._look_at_links()
            self.endpoint.receive_datagram(path_id, data, now=now)

        while True:
            awake = self._awake
            await self._follow(path_id, link, receive)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_MAINTAIN_INTERVAL):
                    await awake.wait()

    async def _follow(self, path_id: int, link: Link, receive: Receive) -> None:
        is_silent = link.remote is not None and self._is_silent(path_id, link)
        before = link.sock
        try:
            is_new = await link.follow(receive, rotate=is_silent)
        except OSError as error:
            self._set_error(path_id, link, error.strerror or str(error))
            return
        self._set_error(path_id, link, "")
        if is_new or is_silent:
            link.tried_since = self.now()
        if is_new:
            self.wake()
            self.endpoint.on_rebound(path_id, is_same_network=link.sock is before, now=self.now())

    async def _watch_sleep(self) -> None:
        watch = SleepWatch()
        while True:
            await asyncio.sleep(_MAINTAIN_INTERVAL)
            missed = watch.missed(_MAINTAIN_INTERVAL)
            if missed:
                log.info("this machine slept, or stood still, for %.0f s", missed)
                self.wake()
                self.endpoint.on_wake(now=self.now())
                self._look_at_links()

    def _look_at_links(self) -> None:
        self._awake.set()
        self._awake = asyncio.Event()

    def _is_silent(self, path_id: int, link: Link) -> bool:
        """The server does not answer at this endpoint, and there may be another."""
        if not link.has_choice:
            return False
        connection, now = self.endpoint.connection, time.monotonic()
        if connection is not None:
            return min(connection.silence(path_id, now=now), now - link.tried_since) > _ROTATE_AFTER
        return now - max(link.tried_since, link.answered_at) > _ROTATE_AFTER

    def _set_error(self, path_id: int, link: Link, error: str) -> None:
        if error == link.error:
            return
        link.error = error
        if error:
            log.warning("link %s: %s", link.name, error)
        connection = self.endpoint.connection
        self.wake()
        if connection is None and not error:
            self.endpoint.retry(now=self.now())
        if connection is not None:
            connection.set_link_error(path_id, error, now=self.now())

    # --- turns ---

    def _handle_timeout(self, now: float) -> None:
        self.endpoint.handle_timeout(now=now)

    def _next_timeout(self) -> float | None:
        return self.endpoint.next_timeout()

    def _transmit(self, now: float) -> bool:
        any_sent = False
        connection = self.endpoint.connection
        if connection is not None:
            connection.set_quantum(self.quantum)
        for first, batch in batches(self.endpoint.datagrams_to_send(now=now)):
            any_sent = True
            link = self.links[first.path_id]
            link.transmit(batch)
            if link.is_spent():
                self._look_at_links()
        return any_sent

    def _handle_events(self) -> bool:
        any_event = False
        while (event := self.endpoint.next_event()) is not None:
            any_event = True
            self._handle_event(event)
            if self._on_event is not None:
                self._on_event(event)
        return any_event

    def _handle_event(self, event: ClientEvent) -> None:
        match event:
            case Connected(connection):
                self.refused = None
                self._session = DrivenSession(connection, self.wake)
                for path_id, link in enumerate(self.links):
                    if link.error:
                        connection.set_link_error(path_id, link.error, now=self.now())
                self._connected.set()
            case HandshakeRefused(code):
                self.refused = code
            case HandshakeUnanswered():
                pass
            case _:
                if self._session is not None:
                    self._session.handle(event)
                    if isinstance(event, ConnectionTerminated):
                        self._session = None
