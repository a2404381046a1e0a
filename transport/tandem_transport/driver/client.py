"""The client's driver: links with their sockets, one session after another."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tandem_transport.client_endpoint import (
    ClientEndpoint,
    ClientEvent,
    Connected,
    HandshakeRefused,
    HandshakeUnanswered,
)
from tandem_transport.driver.session import DrivenSession
from tandem_transport.driver.sockets import UdpAddress, UdpSocket, format_address
from tandem_transport.driver.turns import TurnTaker
from tandem_transport.events import ConnectionTerminated
from tandem_transport.parameters import TransportParameters

log = logging.getLogger("tandem.client")

_ROTATE_AFTER = 3.0
"""Seconds without an answer after which a link tries the server's next endpoint."""

_MAINTAIN_INTERVAL = 1.0

_CLOSE_LIMIT = 2.0
"""Seconds that closing may take: the goodbye is sent, nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where a link's socket is bound."""

    host: str
    """A literal address."""
    device: str | None
    """The interface that must be used, None where none has to be named."""


Resolve = Callable[[], LocalAddress]
"""Finds a link's present local address; raises OSError with a text for people."""


@dataclass(slots=True)
class Link:
    """What a person plugged in and configured. Its index among the links is its path id."""

    name: str
    local: Resolve
    endpoints: list[tuple[str, int]]
    """The server's addresses to be tried from this link, in turn; names or literals."""
    send: Callable[[bytes, UdpAddress], bool] | None = field(default=None, repr=False)
    """Where datagrams go instead of the socket; `tandem demo` puts a bad link there."""
    sock: UdpSocket | None = field(default=None, repr=False)
    remote: UdpAddress | None = None
    error: str = ""
    endpoint_index: int = 0
    tried_since: float = 0.0
    """When the present endpoint was first tried."""
    answered_at: float = 0.0
    """When anything last arrived."""


class ClientDriver(TurnTaker):
    """Keeps a session with the server over all links."""

    def __init__(
        self,
        static_private: bytes,
        server_public: bytes,
        links: list[Link],
        *,
        parameters: TransportParameters | None = None,
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
        )
        self.links = links
        for _ in links:
            self.endpoint.add_path(now=self.now())
        self._on_event = on_event
        self._session: DrivenSession | None = None
        self._connected = asyncio.Event()
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
        self.wake()

    async def wait_connected(self) -> DrivenSession:
        """The session, as soon as there is one."""
        while self._session is None:
            self._connected.clear()
            await self._connected.wait()
        return self._session

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
            if link.sock is not None:
                link.sock.close()

    # --- links ---

    async def _maintain(self, path_id: int, link: Link) -> None:
        """Opens a link's socket, again and again until it works, and watches over its endpoint."""
        receiver: asyncio.Task[None] | None = None
        try:
            while True:
                if link.sock is None:
                    receiver = await self._open(path_id, link) or receiver
                elif link.remote is None or self._is_silent(path_id, link):
                    await self._rotate(path_id, link)
                await asyncio.sleep(_MAINTAIN_INTERVAL)
        finally:
            if receiver is not None:
                receiver.cancel()

    async def _open(self, path_id: int, link: Link) -> asyncio.Task[None] | None:
        try:
            local = link.local()
            sock = await UdpSocket.open(local.host, 0, local.device)
        except OSError as error:
            self._set_error(path_id, link, error.strerror or str(error))
            return None
        link.sock = sock
        log.info("link %s: bound to %s", link.name, format_address(sock.local))

        def handle(data: bytes, address: UdpAddress) -> None:
            self.wake()
            link.answered_at = self.now()
            self.endpoint.receive_datagram(path_id, data, now=self.now())

        task = asyncio.create_task(sock.receive(handle))
        await self._find_remote(path_id, link)
        return task

    async def _rotate(self, path_id: int, link: Link) -> None:
        link.endpoint_index += 1
        await self._find_remote(path_id, link)

    async def _find_remote(self, path_id: int, link: Link) -> None:
        """Resolves the endpoint whose turn it is; a slow name server holds up this link alone."""
        assert link.sock is not None
        host, port = link.endpoints[link.endpoint_index % len(link.endpoints)]
        family = socket.AF_INET6 if len(link.sock.local) == 4 else socket.AF_INET
        try:
            found = await self._loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except OSError as error:
            self._set_error(path_id, link, f"cannot resolve {host}: {error.strerror or error}")
            return
        remote = found[0][4]
        if remote != link.remote:
            log.info("link %s: server at %s", link.name, format_address(remote))  # type: ignore[arg-type]
        link.remote = remote  # type: ignore[assignment]
        link.tried_since = time.monotonic()
        self._set_error(path_id, link, "")
        self.wake()
        self.endpoint.retry(now=self.now())

    def _is_silent(self, path_id: int, link: Link) -> bool:
        """The server does not answer at this endpoint, and there is another."""
        if len(link.endpoints) < 2:
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
            log.warning("link %s: %s; trying again", link.name, error)
        connection = self.endpoint.connection
        if connection is not None:
            self.wake()
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
        for transmit in self.endpoint.datagrams_to_send(now=now):
            any_sent = True
            self._send(self.links[transmit.path_id], transmit.data)
        return any_sent

    def _send(self, link: Link, data: bytes) -> None:
        if link.sock is None or link.remote is None:
            return
        if link.send is not None:
            link.send(data, link.remote)
        else:
            link.sock.send(data, link.remote)

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
