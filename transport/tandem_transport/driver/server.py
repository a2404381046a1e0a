"""The server's driver: many sessions on all its sockets."""

import asyncio
import logging
import os
from collections.abc import Callable, Hashable, Mapping, Sequence

from tandem_transport.driver.batches import batches
from tandem_transport.driver.server_sockets import ServerSockets, Source
from tandem_transport.driver.session import SessionStreams
from tandem_transport.driver.stream import Stream
from tandem_transport.driver.tls_server import TlsServer, host_of
from tandem_transport.driver.turns import TurnTaker
from tandem_transport.endpoint.admission import Lookup
from tandem_transport.endpoint.limits import DEFAULT_TERMS, ServerTerms
from tandem_transport.endpoint.placement import slot_of
from tandem_transport.endpoint.server import ServerEndpoint, SessionEvent, SessionStarted
from tandem_transport.endpoint.sessions import ClientSession
from tandem_transport.errors import ErrorCode, SessionClosed
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.parameters import GO_AWAY_VERSION
from tandem_transport.path.carrier import Carrier
from tandem_transport.wire.packets import PacketType, split_datagram

log = logging.getLogger("tandem.server")

_CLOSE_TIME = 0.2
"""Seconds for which a closing server still answers the packets of its clients."""


def _host_of(source: Hashable) -> Hashable:
    """The host of a source: for IPv6 its /64, because one host can send from all of it."""
    if isinstance(source, Carrier):
        source = source.place
    if not isinstance(source, Source):
        return source
    return host_of(source.remote[0])


def _networks_of(source: Hashable) -> tuple[Hashable, ...]:
    """The host of a source, and for IPv6 the /56 and the /48 around it, which providers assign to one customer."""
    host = _host_of(source)
    return (host, host[:7], host[:6]) if isinstance(host, bytes) else (host,)


def _endpoint(static_private: bytes, lookup: Lookup, terms: ServerTerms, *, now: float) -> ServerEndpoint:
    return ServerEndpoint(
        static_private,
        lookup,
        randomness=os.urandom,
        now=now,
        host_of=_host_of,
        networks_of=_networks_of,
        terms=terms,
    )


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
        on_stray: Callable[[int, Source | Carrier, bytes], None] | None = None,
        on_far_send: Callable[[Carrier, list[bytes]], None] | None = None,
        terms: ServerTerms = DEFAULT_TERMS,
    ) -> None:
        """`accept` takes each stream that a client opens.

        `on_stray` takes an initiation for the worker with a slot (see `Placement`), and any datagram for it that came
        through TLS. `on_far_send` sends datagrams through the TLS connection of another worker.
        """
        super().__init__()
        self.endpoint = _endpoint(static_private, lookup, terms, now=self.now())
        self._accept = accept
        self._on_event, self._on_started, self._on_stray = on_event, on_started, on_stray
        self._on_far_send, self._placement = on_far_send, terms.placement
        self.sockets = ServerSockets(self._receive, self.defer)
        self.tls = TlsServer(self._receive_by_tls, self._on_room)
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

    def open_stream(self, session: ClientSession) -> Stream:
        """Opens a stream to a client.

        Raises SessionClosed where its session has ended, and LocalProtocolError where the client allows no more.
        """
        driven = self._sessions.get(session)
        if driven is None:
            raise SessionClosed(ErrorCode.NO_ERROR, "the session has ended", is_remote=False)
        return driven.open_stream()

    def remove_client(self, public: bytes) -> None:
        """Ends the sessions of a client that is no longer registered."""
        self.wake()
        self.endpoint.remove_client(public, now=self.now())

    def close_client(self, public: bytes, reason: str) -> None:
        """Ends the sessions of a client, and tells it why."""
        self.wake()
        self.endpoint.close_client(public, reason, now=self.now())

    @property
    def has_streams(self) -> bool:
        """Whether any session has an open stream."""
        return any(driven.streams_open for driven in self._sessions.values())

    def go_away(self) -> None:
        """Begins no session any more, and tells all clients to open their next streams elsewhere; streams go on."""
        self.wake()
        self.endpoint.go_away()

    def close_idle(self, reason: str) -> None:
        """Ends the sessions that have no streams, and do not know GO_AWAY: their clients begin others."""
        for session, driven in list(self._sessions.items()):
            if not driven.streams_open and session.connection.version < GO_AWAY_VERSION:
                self.wake()
                self.endpoint.close_session(session, reason, now=self.now())

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
        await self.sockets.close()
        await self.tls.close()

    # --- datagrams ---

    def _on_room(self, connection_id: bytes) -> None:
        """A TLS connection takes data of this session again."""
        self.wake()
        self.endpoint.touch_by_id(connection_id)

    def _receive_by_tls(self, carrier: Carrier, data: bytes) -> None:
        """The kernel steers datagrams to their workers, but TLS connections come to any."""
        packets = split_datagram(data) if self._on_stray is not None else []
        if self._on_stray is not None and packets and packets[0].packet_type is PacketType.TRANSPORT:
            slot = slot_of(packets[0].connection_id, self._placement.slots)
            if slot != self._placement.slot:
                self._on_stray(slot, carrier, data)
                return
        self._receive(carrier, [data])

    def receive_far(self, carrier: Carrier, data: bytes) -> None:
        """A datagram for this worker has come through a TLS connection of another one."""
        packets = split_datagram(data)
        if packets and packets[0].packet_type is PacketType.INITIATION:
            self.receive_stray(carrier, data)
        else:
            self._receive(carrier, [data])

    def _receive(self, source: Source | Carrier, batch: Sequence[bytes]) -> None:
        self.wake()
        receive, now = self.endpoint.receive_datagram, self.now()
        for data in batch:
            receive(data, source=source, now=now)
        if self.endpoint.has_small_data:
            self.wake(hurries=True)
        while (stray := self.endpoint.next_stray()) is not None:
            if self._on_stray is not None and isinstance(stray.source, Source | Carrier):
                self._on_stray(stray.slot, stray.source, stray.data)

    def receive_stray(self, source: Source | Carrier, data: bytes) -> None:
        """Another worker hands over an initiation of one of our clients."""
        self.wake()
        self.endpoint.receive_stray(data, source=source, now=self.now())

    # --- turns ---

    def _handle_timeout(self, now: float) -> None:
        self.endpoint.handle_timeout(now=now)

    def _next_timeout(self) -> float | None:
        return self.endpoint.next_timeout()

    def _transmit(self, now: float) -> int:
        sent = 0
        for first, batch in batches(self.endpoint.datagrams_to_send(now=now)):
            sent += len(batch)
            if isinstance(first.address, Carrier):
                self._send_by_tls(first.address, batch)
            elif isinstance(first.address, Source):
                self._send(first.address, batch)
        return sent

    def _send_by_tls(self, carrier: Carrier, batch: list[bytes]) -> None:
        if self.tls.is_here(carrier) or self._on_far_send is None:
            self.tls.send(carrier, batch)
        else:
            self._on_far_send(carrier, batch)

    def _send(self, source: Source, batch: list[bytes]) -> None:
        if self.send is not None:
            for data in batch:
                self.send(source, data)
        else:
            self.sockets.send(source, batch)

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
        def wake(*, hurries: bool = False) -> None:
            self.endpoint.touch(session)
            self.wake(hurries=hurries)

        self._sessions[session] = SessionStreams(session.connection, wake, lambda stream: self._accept(session, stream))
        self._apply_quantum(session.connection)
        if self._on_started is not None:
            self._on_started(session)

    def _handle_session_event(self, session: ClientSession, event: Event) -> None:
        driven = self._sessions.get(session)
        if driven is None:
            return
        driven.handle(event)
        self._apply_quantum(session.connection)
        self.endpoint.touch(session)
        if self._on_event is not None:
            self._on_event(session, event)
        if isinstance(event, ConnectionTerminated):
            del self._sessions[session]
