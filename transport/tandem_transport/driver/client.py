"""The client's driver: links with their sockets, one session after another."""

import asyncio
import os
import time
from collections.abc import Callable

from tandem_transport.driver.batches import batches
from tandem_transport.driver.link import Link
from tandem_transport.driver.link_keeper import LinkKeeper
from tandem_transport.driver.session import SessionStreams
from tandem_transport.driver.sockets import all_unread
from tandem_transport.driver.stream import Stream
from tandem_transport.driver.turns import TurnTaker
from tandem_transport.endpoint.client import (
    ClientEndpoint,
    ClientEvent,
    Connected,
    HandshakeRefused,
    HandshakeUnanswered,
)
from tandem_transport.endpoint.search import ClientIdentity
from tandem_transport.events import ConnectionTerminated
from tandem_transport.wire.frames import Mode, PathPreference
from tandem_transport.wire.transport_parameters import TransportParameters

_CLOSE_TIMEOUT = 2.0
"""Maximum seconds that closing may take: CONNECTION_CLOSE is sent, and its answer is not required."""


def local_identity(
    static_private: bytes,
    server_public: bytes,
    *,
    parameters: TransportParameters | None = None,
    instance_id: bytes | None = None,
) -> ClientIdentity:
    """Makes an identity that uses the clock and the randomness of this machine."""
    return ClientIdentity(
        static_private=static_private,
        server_public=server_public,
        randomness=os.urandom,
        wall_clock=time.time,
        parameters=parameters or TransportParameters(),
        instance_id=instance_id or b"",
    )


class ClientDriver(TurnTaker):
    """Keeps a session with the server over all links."""

    def __init__(
        self,
        identity: ClientIdentity,
        links: list[Link],
        *,
        mode: Mode = Mode.DUPLICATE,
        on_event: Callable[[ClientEvent], None] | None = None,
        accept: Callable[[Stream], None] | None = None,
    ) -> None:
        """`on_event` is called with every event, after the driver has handled it.

        `accept` takes the streams that the server opens; without it they are reset.
        """
        super().__init__()
        self.endpoint = ClientEndpoint(identity, mode=mode, now=self.now())
        self.links = links
        self._keeper = LinkKeeper(self.endpoint, links, self)
        self._on_event, self._accept = on_event, accept
        self._session: SessionStreams | None = None
        self._connected = asyncio.Event()
        self.started_at = self.now()
        self.refused: HandshakeRefused | None = None
        """The server's newest refusal, None once a session has begun."""

    @property
    def session(self) -> SessionStreams | None:
        """The current session, None while there is none."""
        return self._session

    @property
    def unread(self) -> int | None:
        """Datagrams that the kernel dropped because they were not read in time; None where it does not count them."""
        return all_unread(link.sock for link in self.links if link.sock is not None)

    def start(self) -> None:
        """Opens the links; the session then begins without another call."""
        self._keeper.start()
        self.wake()

    async def wait_connected(self) -> SessionStreams:
        """Waits for a session and returns it; checks the links at once, because somebody is about to need them."""
        self._keeper.stop_resting()
        while self._session is None:
            self._connected.clear()
            await self._connected.wait()
        return self._session

    def begin_no_other(self) -> None:
        """Keeps the session to its end, and begins no other: another driver has taken this one's place."""
        self.endpoint.begin_no_other()

    def set_mode(self, mode: Mode) -> None:
        """Changes the mode of this session and those after it, without another handshake."""
        self.wake()
        self.endpoint.set_mode(mode)

    def set_preferences(self, preferences: tuple[PathPreference, ...]) -> None:
        """Sets how both ends use single links, for this session and those after it."""
        self.wake()
        self.endpoint.set_preferences(preferences)

    async def close(self) -> None:
        """Closes the session and the sockets."""
        self.wake()
        self.endpoint.close(now=self.now())
        if self._session is not None:
            await asyncio.wait([self._session.closed], timeout=_CLOSE_TIMEOUT)
            await asyncio.sleep(0)  # lets the turn end that sends CONNECTION_CLOSE
        self.stop_turns()
        await self._keeper.close()

    # --- links ---

    def add_link(self, link: Link) -> None:
        """Adds a link while the driver runs. Raises LocalProtocolError beyond MAX_PATHS."""
        self._keeper.add(link)
        self.wake()

    def replace_link(self, path_id: int, new: Link) -> None:
        """Turns a link that is gone for good into another one, with the same path id: ids are few and never reused."""
        self.links[path_id].take_over(new)
        self._keeper.look_now()

    async def next_beat(self) -> float:
        """Waits until the next beat, the time for periodic checks; returns for how many seconds it meant to wait.

        All periodic checks run at the same moment, because each wake-up costs energy.
        """
        return await self._keeper.next_beat()

    # --- turns ---

    def _handle_timeout(self, now: float) -> None:
        self.endpoint.handle_timeout(now=now)

    def _next_timeout(self) -> float | None:
        return self.endpoint.next_timeout()

    def _transmit(self, now: float) -> int:
        sent = 0
        connection = self.endpoint.connection
        if connection is not None:
            self._apply_quantum(connection)
        for first, batch in batches(self.endpoint.datagrams_to_send(now=now)):
            sent += len(batch)
            link = self.links[first.path_id]
            if self.endpoint.connection is None:
                link.initiation = batch[-1]
            self._keeper.send(link, batch, first.path_id, now=now)
        return sent

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
                self._session = SessionStreams(connection, self.wake, self._accept)
                for path_id, link in enumerate(self.links):
                    if link.error:
                        connection.set_link_error(path_id, link.error, now=self.now())
                self._connected.set()
            case HandshakeRefused():
                self.refused = event
            case HandshakeUnanswered():
                pass
            case _:
                if self._session is not None:
                    self._session.handle(event)
                    if isinstance(event, ConnectionTerminated):
                        self._session = None
