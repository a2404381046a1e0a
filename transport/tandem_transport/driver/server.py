"""The server's driver: one socket for each local address and port, many sessions.

A wildcard socket would answer from the wrong address on a host with several addresses, so none
is used: the owner gives the list of addresses, and gives it again when they change.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from tandem_transport.driver.session import SessionStreams
from tandem_transport.driver.sockets import UdpAddress, UdpSocket, all_unread, format_address
from tandem_transport.driver.stream import Stream
from tandem_transport.driver.turns import TurnTaker, batches
from tandem_transport.endpoint.admission import Lookup
from tandem_transport.endpoint.limits import ServerLimits
from tandem_transport.endpoint.placement import ALONE, Placement
from tandem_transport.endpoint.server import ServerEndpoint, SessionEvent, SessionStarted
from tandem_transport.endpoint.sessions import ClientSession
from tandem_transport.events import ConnectionTerminated, Event

log = logging.getLogger("tandem.server")

_CLOSE_TIME = 0.2
"""Seconds for which a closing server still answers the packets of its clients."""


class Source(NamedTuple):
    """Where a client's datagram came from, and the local address on which it arrived."""

    local: tuple[str, int]
    remote: UdpAddress

    def __str__(self) -> str:
        return format_address(self.remote)


def _host_of(source: Hashable) -> Hashable:
    """The host of a source: for IPv6 its /64, because one host can send from all of it."""
    if not isinstance(source, Source):
        return source
    host = source.remote[0]
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8] if ":" in host else host


def _networks_of(source: Hashable) -> tuple[Hashable, ...]:
    """The host of a source, and for IPv6 the /56 and the /48 around it, which providers assign to one customer."""
    host = _host_of(source)
    return (host, host[:7], host[:6]) if isinstance(host, bytes) else (host,)


class ServerDriver(TurnTaker):
    """Serves all clients on all sockets."""

    def __init__(
        self,
        static_private: bytes,
        lookup: Lookup,
        *,
        accept: Callable[[ClientSession, Stream], None],
        on_event: Callable[[ClientSession, Event], None] | None = None,
        on_started: Callable[[ClientSession], None] | None = None,
        on_stray: Callable[[int, Source, bytes], None] | None = None,
        placement: Placement = ALONE,
        limits: ServerLimits = ServerLimits(),  # noqa: B008, it cannot be changed
    ) -> None:
        """`accept` takes each stream that a client opens.

        `on_stray` takes an initiation for the worker with a slot: see `Placement`.
        """
        super().__init__()
        self.endpoint = ServerEndpoint(
            static_private,
            lookup,
            randomness=os.urandom,
            now=self.now(),
            host_of=_host_of,
            networks_of=_networks_of,
            placement=placement,
            limits=limits,
        )
        self._accept = accept
        self._on_event = on_event
        self._on_started = on_started
        self._on_stray = on_stray
        self._sockets: dict[tuple[str, int], tuple[UdpSocket, asyncio.Task[None]]] = {}
        self._sessions: dict[ClientSession, SessionStreams] = {}
        self.send: Callable[[Source, bytes], bool] | None = None
        """Sends a datagram instead of a socket, None for the sockets; `tandem demo` simulates bad links with it."""

    @property
    def sessions(self) -> list[ClientSession]:
        """The confirmed sessions that have not ended."""
        return list(self._sessions)

    def down_since(self, session: ClientSession) -> Mapping[int, float]:
        """For each path of a session that is down, the time when it went down, by `time.monotonic`."""
        driven = self._sessions.get(session)
        return driven.down_since if driven is not None else {}

    @property
    def unread(self) -> int | None:
        """Datagrams that the kernel dropped because they were not read in time; None where it does not count them."""
        return all_unread(sock for sock, _ in self._sockets.values())

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The local addresses and ports on which the server listens."""
        return list(self._sockets)

    async def listen(self, addresses: list[tuple[str, int]]) -> None:
        """Opens and closes sockets so that the server listens on exactly these addresses. Raises OSError."""
        for address in addresses:
            if address not in self._sockets:
                await self._open(address)
        for address in [known for known in self._sockets if known not in addresses]:
            log.info("no longer listening on %s", format_address(address))
            self._close_socket(address)

    def remove_client(self, public: bytes) -> None:
        """Ends the sessions of a client that is no longer registered."""
        self.wake()
        self.endpoint.remove_client(public, now=self.now())

    def close_client(self, public: bytes, reason: str) -> None:
        """Ends the sessions of a client, and tells it why."""
        self.wake()
        self.endpoint.close_client(public, reason, now=self.now())

    def on_client_found(self, public: bytes) -> None:
        """A key for which `lookup` has returned PENDING has been looked up."""
        self.wake()
        self.endpoint.on_client_found(public, now=self.now())

    async def close(self) -> None:
        """Closes all sessions and the sockets."""
        self.wake()
        self.endpoint.close(now=self.now())
        await asyncio.sleep(_CLOSE_TIME if self._sessions else 0)
        self.stop_turns()
        tasks = [task for _, task in self._sockets.values()]
        for address in list(self._sockets):
            self._close_socket(address)
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- sockets ---

    async def adopt(self, address: tuple[str, int], udp: socket.socket) -> None:
        """Listens on an address with a socket that another process has opened."""
        if address in self._sockets:
            udp.close()
        else:
            self._serve(address, await UdpSocket.adopt(udp))

    def leave(self, address: tuple[str, int]) -> None:
        """No longer listens on an address."""
        if address in self._sockets:
            self._close_socket(address)

    async def _open(self, address: tuple[str, int]) -> None:
        sock = await UdpSocket.open(*address)
        log.info("listening on udp %s", format_address(sock.local))
        self._serve(address, sock)

    def _serve(self, address: tuple[str, int], sock: UdpSocket) -> None:

        def handle(data: bytes, remote: UdpAddress) -> None:
            self.wake()
            self.endpoint.receive_datagram(data, source=Source(address, remote), now=self.now())
            self._hand_over_strays()

        self._sockets[address] = (sock, asyncio.create_task(sock.receive(handle)))

    def receive_stray(self, source: Source, data: bytes) -> None:
        """Another worker hands over an initiation of one of our clients."""
        self.wake()
        self.endpoint.receive_stray(data, source=source, now=self.now())

    def _hand_over_strays(self) -> None:
        while (stray := self.endpoint.next_stray()) is not None:
            if self._on_stray is not None and isinstance(stray.source, Source):
                self._on_stray(stray.slot, stray.source, stray.data)

    def _close_socket(self, address: tuple[str, int]) -> None:
        sock, task = self._sockets.pop(address)
        task.cancel()
        sock.close()

    # --- turns ---

    def _handle_timeout(self, now: float) -> None:
        self.endpoint.handle_timeout(now=now)

    def _next_timeout(self) -> float | None:
        return self.endpoint.next_timeout()

    def _transmit(self, now: float) -> bool:
        any_sent = False
        for first, batch in batches(self.endpoint.datagrams_to_send(now=now)):
            any_sent = True
            if isinstance(first.address, Source):
                self._send(first.address, batch)
        return any_sent

    def _send(self, source: Source, batch: list[bytes]) -> None:
        if self.send is not None:
            for data in batch:
                self.send(source, data)
        elif source.local in self._sockets:
            self._sockets[source.local][0].send_batch(batch, source.remote)

    def send_now(self, source: Source, data: bytes) -> None:
        """Sends a datagram on a socket, not through `send`: for what comes out of a simulated bad link."""
        if source.local in self._sockets:
            self._sockets[source.local][0].send(data, source.remote)

    def _handle_events(self) -> bool:
        any_event = False
        while (event := self.endpoint.next_event()) is not None:
            any_event = True
            match event:
                case SessionStarted(session):
                    self._start(session)
                case SessionEvent(session, inner):
                    self._handle_session_event(session, inner)
        return any_event

    def _start(self, session: ClientSession) -> None:
        def wake() -> None:
            self.endpoint.touch(session)
            self.wake()

        self._sessions[session] = SessionStreams(session.connection, wake, lambda stream: self._accept(session, stream))
        session.connection.set_quantum(self.quantum)
        if self._on_started is not None:
            self._on_started(session)

    def _handle_session_event(self, session: ClientSession, event: Event) -> None:
        driven = self._sessions.get(session)
        if driven is None:
            return
        driven.handle(event)
        session.connection.set_quantum(self.quantum)
        self.endpoint.touch(session)
        if self._on_event is not None:
            self._on_event(session, event)
        if isinstance(event, ConnectionTerminated):
            del self._sessions[session]
