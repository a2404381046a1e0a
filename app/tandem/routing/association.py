"""UDP ASSOCIATE where datagrams take several ways: each by its destination."""

import asyncio
import logging
from collections import deque
from typing import Protocol

from tandem.dialing.udp_outlet import UdpOutlet
from tandem.exchange.failures import Failure
from tandem.routing.direct import Direct
from tandem.routing.routes import SESSION, Decision
from tandem_socks import Association, FarSide, Receive, Request, SocksError

log = logging.getLogger("tandem.client")

_MAX_EARLY = 64
"""Datagrams that wait for the port at the server; the oldest are dropped."""


class Decider(Protocol):
    """Says which way a datagram takes."""

    def decide(self, request: Request) -> Decision: ...

    def direct(self, decision: Decision) -> Direct:
        """What reaches hosts past the session. Raises Failure."""
        ...


class RoutedAssociation:
    """The ports of one client: one at the server, and sockets here, each opened by the first datagram that needs it."""

    def __init__(self, session: FarSide, decider: Decider, request: Request, receive: Receive) -> None:
        self._session, self._decider = session, decider
        self._request, self._receive = request, receive
        self._far: Association | None = None
        self._opening: asyncio.Task[None] | None = None
        self._early: deque[tuple[str, int, bytes]] = deque(maxlen=_MAX_EARLY)
        self._outlets: dict[str, UdpOutlet] = {}
        """The sockets here, by way."""
        self._closed = asyncio.Event()

    def send(self, host: str, port: int, data: bytes) -> None:
        """Sends a datagram the way that the routes say; drops one that is blocked."""
        request = self._request
        decision = self._decider.decide(Request(request.command, host, port, request.user, request.peer))
        if decision.via == SESSION:
            self._send_far(host, port, data)
        elif (outlet := self._outlet(decision)) is not None:
            outlet.send(host, port, data)

    async def wait_closed(self) -> None:
        """Returns when the port at the server is closed, so that the client asks for another one."""
        await self._closed.wait()

    def close(self) -> None:
        """Closes all ports."""
        if self._far is not None:
            self._far.close()
        if self._opening is not None:
            self._opening.cancel()
        for outlet in self._outlets.values():
            outlet.close()

    # --- inside ---

    def _outlet(self, decision: Decision) -> UdpOutlet | None:
        outlet = self._outlets.get(decision.via)
        if outlet is None:
            try:
                outlet = self._decider.direct(decision).outlet(self._request, self._receive)
            except Failure as failure:
                log.debug("udp: %s", failure)
                return None
            self._outlets[decision.via] = outlet
        return outlet

    def _send_far(self, host: str, port: int, data: bytes) -> None:
        if self._far is not None:
            self._far.send(host, port, data)
            return
        self._early.append((host, port, data))
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_far())

    async def _open_far(self) -> None:
        try:
            self._far = await self._session.associate(self._request, self._receive)
        except SocksError as error:
            log.info("udp: %s", error)
            self._closed.set()
            return
        while self._early:
            self._far.send(*self._early.popleft())
        await self._far.wait_closed()
        self._closed.set()
