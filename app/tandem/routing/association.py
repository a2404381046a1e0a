"""UDP ASSOCIATE where datagrams take several ways: each by its destination."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from tandem.dialing.udp_outlet import MAX_PEERS, UdpOutlet
from tandem.exchange.failures import Failure
from tandem.routing.direct import Direct
from tandem.routing.routes import Decision
from tandem_socks import Association, FarSide, Receive, Request, SocksError
from tandem_transport import BoundedTable

log = logging.getLogger("tandem.client")

_MAX_EARLY = 64
"""Datagrams that wait for a port at a server; the oldest are dropped."""


class Decider(Protocol):
    """Says which way a datagram takes."""

    def decide(self, request: Request) -> Decision: ...

    def far_side(self, decision: Decision) -> FarSide | None:
        """The server that serves a request, None where it passes all servers by. Raises Failure."""
        ...

    def direct(self, decision: Decision) -> Direct:
        """What reaches hosts past the session. Raises Failure."""
        ...


class RoutedAssociation:
    """The ports of one client, at servers and here, each opened by the first datagram that needs it."""

    def __init__(self, decider: Decider, request: Request, receive: Receive) -> None:
        self._decider = decider
        self._request, self._receive = request, receive
        self._ports: dict[str, _FarPort | UdpOutlet] = {}
        """The ports, by way."""
        self._decisions: BoundedTable[tuple[str, int], Decision] = BoundedTable(MAX_PEERS)
        self._closed = asyncio.Event()

    def send(self, host: str, port: int, data: bytes) -> None:
        """Sends a datagram the way that the routes say; drops one that is blocked."""
        decision = self._decision(host, port)
        found = self._ports.get(decision.via)
        if found is None:
            try:
                found = self._ports[decision.via] = self._open(decision)
            except Failure as failure:
                log.debug("udp: %s", failure)
                return
        found.send(host, port, data)

    async def wait_closed(self) -> None:
        """Returns when a port at a server is closed, so that the client asks for another one."""
        await self._closed.wait()

    def close(self) -> None:
        """Closes all ports."""
        for port in self._ports.values():
            port.close()

    def _decision(self, host: str, port: int) -> Decision:
        """The way to a destination: the same for as long as this association lives, whatever happens to the server."""
        known = self._decisions.get((host, port))
        if known is None:
            request = self._request
            known = self._decider.decide(Request(request.command, host, port, request.user, request.peer))
            self._decisions.put((host, port), known)
        return known

    def _open(self, decision: Decision) -> "_FarPort | UdpOutlet":
        far_side = self._decider.far_side(decision)
        if far_side is None:
            return self._decider.direct(decision).outlet(self._request, self._receive)
        return _FarPort(
            far_side, self._request, self._receive, self._closed, lambda: self._ports.pop(decision.via, None)
        )


class _FarPort:
    """A port at a server; what is sent before it is open waits."""

    def __init__(
        self,
        far_side: FarSide,
        request: Request,
        receive: Receive,
        closed: asyncio.Event,
        on_failed: Callable[[], object],
    ) -> None:
        """`closed` is set when the server has closed the port. `on_failed` is called where it cannot be opened."""
        self._on_failed = on_failed
        self._association: Association | None = None
        self._early: deque[tuple[str, int, bytes]] = deque(maxlen=_MAX_EARLY)
        self._closed = closed
        self._opening = asyncio.get_running_loop().create_task(self._run(far_side, request, receive))

    def send(self, host: str, port: int, data: bytes) -> None:
        if self._association is not None:
            self._association.send(host, port, data)
        else:
            self._early.append((host, port, data))

    def close(self) -> None:
        if self._association is not None:
            self._association.close()
        self._opening.cancel()

    async def _run(self, far_side: FarSide, request: Request, receive: Receive) -> None:
        try:
            self._association = association = await far_side.associate(request, receive)
        except SocksError as error:
            log.debug("udp: %s", error)
            self._on_failed()  # the next datagram tries again
            return
        while self._early:
            association.send(*self._early.popleft())
        await association.wait_closed()
        self._closed.set()
