"""The client's driver: links with their sockets, one session after another."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable

from tandem_transport.driver.link import Change, Link, Receive
from tandem_transport.driver.search import Step
from tandem_transport.driver.session import DrivenSession
from tandem_transport.driver.sleep import SleepWatch
from tandem_transport.driver.sockets import UdpAddress, all_unread
from tandem_transport.driver.turns import TurnTaker, batches
from tandem_transport.endpoint.client import (
    ClientEndpoint,
    ClientEvent,
    Connected,
    HandshakeRefused,
    HandshakeUnanswered,
)
from tandem_transport.events import ConnectionTerminated, PathStatus
from tandem_transport.wire.frames import Mode, PathWish
from tandem_transport.wire.transport_parameters import TransportParameters

log = logging.getLogger("tandem.client")

BEAT = 1.0
"""Seconds between two looks at the links and at this machine, ..."""
RESTING_BEATS = 5
"""... so many of them where nothing is open and all links are well: each look wakes the machine."""

_WELL_WITHIN = 2.0
"""Seconds within which a link has answered on which all is well."""

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
        self._beat_at = 0.0
        """When all who look around do so next, by the event loop's clock."""
        self._is_resting = False
        self._tasks: list[asyncio.Task[None]] = []
        self.started_at = self.now()
        self.refused: int | None = None
        """Why the server turned us down, None once it no longer does."""

    @property
    def session(self) -> DrivenSession | None:
        """The present session, None while there is none."""
        return self._session

    @property
    def unread(self) -> int | None:
        """Datagrams that the kernel dropped, for they were not read in time; None where it does not tell."""
        return all_unread(link.sock for link in self.links if link.sock is not None)

    def start(self) -> None:
        """Opens the links; the session comes by itself."""
        self._tasks = [asyncio.create_task(self._maintain(i, link)) for i, link in enumerate(self.links)]
        self._tasks.append(asyncio.create_task(self._watch_sleep()))
        self.wake()

    async def wait_connected(self) -> DrivenSession:
        """The session, as soon as there is one; the links are looked at, for somebody is about to need them."""
        if self._is_resting:
            self._is_resting = False
            self._look_at_links()
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

    def replace_link(self, path_id: int, new: Link) -> None:
        """A link that is gone for good becomes another one, and keeps its path id, which is never used again."""
        self.links[path_id].take_over(new)
        self._look_at_links()

    async def _maintain(self, path_id: int, link: Link) -> None:
        """Watches over a link at each beat, and sooner when there is a reason."""

        def receive(data: bytes, source: UdpAddress) -> None:
            if link.arrive is None:
                self._take(path_id, link, data, source)
            else:
                link.arrive(data, lambda late: self._take(path_id, link, late, source))

        while True:
            awake = self._awake
            await self._look_after(path_id, link, receive)
            await self.next_beat(awake)

    async def next_beat(self, awake: asyncio.Event | None = None) -> float:
        """Until it is time to look around, or there is a reason to; returns the seconds that it was to be at most.

        Whoever waits for it wakes at the same moment. `awake` counts reasons from the moment when it was taken.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._beat_at:
            self._is_resting = self._may_rest()
            interval = BEAT * (RESTING_BEATS if self._is_resting else 1)
            self._beat_at = (now // interval + 1) * interval
        at = self._beat_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(at):
                await (awake or self._awake).wait()
        return at - now

    def _may_rest(self) -> bool:
        connection = self.endpoint.connection
        if connection is None or any(link.error or link.homing.is_under_way for link in self.links):
            return False
        stats = connection.stats(now=self.now())
        return stats.streams_open == 0 and all(path.status is PathStatus.USABLE for path in stats.paths)

    def _take(self, path_id: int, link: Link, data: bytes, source: UdpAddress) -> None:
        """A datagram has arrived on a link."""
        self.wake()
        now = self.now()
        link.on_received(len(data))
        if link.is_spent():
            self._look_at_links()
        is_answer = link.awaits_answer and link.is_asking(source)
        if is_answer and link.is_elsewhere and self.endpoint.connection is not None:
            self.endpoint.on_rebound(path_id, is_same_network=False, now=now)
        self.endpoint.receive_datagram(path_id, data, now=now)
        # What the server sends of its own accord does not show that our packets arrive.
        if is_answer and link.search.is_answered(unacknowledged=self._unacknowledged(path_id, now=now)):
            link.on_answer(now=now)

    def _unacknowledged(self, path_id: int, *, now: float) -> float:
        """Seconds for which nothing that was sent on a path was acknowledged, on whatever path."""
        connection = self.endpoint.connection
        return 0.0 if connection is None else connection.silence(path_id, now=now)

    async def _look_after(self, path_id: int, link: Link, receive: Receive) -> None:
        if link.homing.is_over(now=self.now()):
            link.leave_home(now=self.now())
            self._on_moved(path_id, link, Change.ROUTE)
        step = self._next_step(path_id, link, now=self.now())
        try:
            change = await link.follow(receive, step)
        except OSError as error:
            self._set_error(path_id, link, error)
            return
        self._set_error(path_id, link, None)
        if change is not Change.NONE:
            self._on_moved(path_id, link, change)
        elif self._may_try_home(path_id, link) and await link.try_home(now=self.now()):
            self._on_moved(path_id, link, Change.ROUTE)

    def _next_step(self, path_id: int, link: Link, *, now: float) -> Step:
        if link.homing.is_under_way or link.error:
            return Step.STAY
        return link.search.next_step(unacknowledged=self._unacknowledged(path_id, now=now), now=now)

    def _on_moved(self, path_id: int, link: Link, change: Change) -> None:
        """The link has another socket, or asks another address of the server: there it is heard at once."""
        self.wake()
        now = self.now()
        link.search.on_moved(now=now)
        if change is Change.NETWORK:
            link.search.restart()
        elif self.endpoint.connection is None and link.first_message:
            # The endpoint's next message may be half a minute away, when the link has moved on.
            self._send(link, [link.first_message], path_id, now=now)
        self.endpoint.on_rebound(path_id, is_same_network=change is Change.ROUTE, now=now)

    def _may_try_home(self, path_id: int, link: Link) -> bool:
        """A trial is due, and what is lost in it is carried by another link, or there is nothing to be lost."""
        connection, now = self.endpoint.connection, self.now()
        if connection is None or not link.homing.is_due(now=now) or link.search.silence(now=now) > _WELL_WITHIN:
            return False
        if any(other.homing.is_under_way for other in self.links):
            return False
        stats = connection.stats(now=now)
        working = {path.path_id for path in stats.paths if path.status in (PathStatus.USABLE, PathStatus.DEGRADED)}
        return path_id in working and (stats.streams_open == 0 or len(working) > 1)

    async def _watch_sleep(self) -> None:
        watch = SleepWatch()
        while True:
            missed = watch.missed(await self.next_beat())
            if missed:
                log.info("this machine slept, or stood still, for %.0f s", missed)
                self.wake()
                self.endpoint.on_wake(now=self.now())
                for link in self.links:
                    link.search.restart()
                self._look_at_links()

    def _look_at_links(self) -> None:
        self._beat_at = 0.0
        self._awake.set()
        self._awake = asyncio.Event()

    def _set_error(self, path_id: int, link: Link, error: OSError | None) -> None:
        if not link.set_error(error, now=self.now()):
            return
        if link.error:
            log.warning("link %s: %s", link.name, link.error)
        connection = self.endpoint.connection
        self.wake()
        if connection is None and not link.error:
            self.endpoint.retry(now=self.now())
        if connection is not None:
            connection.set_link_error(path_id, link.error, now=self.now())

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
            if self.endpoint.connection is None:
                link.first_message = batch[-1]
            self._send(link, batch, first.path_id, now=now)
            if link.is_spent():
                self._look_at_links()
        return any_sent

    def _send(self, link: Link, batch: list[bytes], path_id: int, *, now: float) -> None:
        if link.transmit(batch) and not link.search.is_waiting and self._is_answer_due(path_id, now=now):
            link.search.on_asked(now=now)

    def _is_answer_due(self, path_id: int, *, now: float) -> bool:
        """Something that was sent on this path waits for an answer; acknowledgements alone do not."""
        connection = self.endpoint.connection
        return connection is None or connection.silence(path_id, now=now + 1.0) > 0.0

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
