"""The far side of the SOCKS port: sends each request the way that the routes say."""

import logging
from collections.abc import Callable
from dataclasses import replace

from tandem.config.client_sections import LINK
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.resolver import Resolver
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.request import SUFFIX
from tandem.exchange.tally import Tally
from tandem.routing.association import RoutedAssociation
from tandem.routing.direct import Direct
from tandem.routing.routes import BLOCK, DIRECT, SESSION, Decision, Routes
from tandem.routing.ways_out import AnyWay, OverLink, no_link
from tandem_socks import Association, Binding, FarSide, Opened, Receive, Reply, Request
from tandem_transport.driver import LocalAddress

log = logging.getLogger("tandem.client")

FindLink = Callable[[str], Callable[[], list[LocalAddress]] | None]
"""What finds the local addresses of the link with a name; None where there is no such link."""


class Router:
    """A `FarSide` of tandem_socks."""

    def __init__(
        self,
        session: FarSide,
        routes: Routes,
        find_link: FindLink,
        guard: AddressGuard,
        *,
        tally: Tally,
        is_out: Callable[[], bool],
    ) -> None:
        """`session`: the far side that the session reaches. `guard`: what clients on other machines reach past it.

        `is_out`: the server has not answered for so long that new connections pass it by.
        """
        self._session, self.routes = session, routes
        self._find_link, self._guard = find_link, guard
        self._tally = tally
        self._is_out = is_out
        self._resolver = Resolver()
        self._any_way = Direct(AnyWay(), self._resolver, guard)

    def decide(self, request: Request) -> Decision:
        """The way that a request takes now. A forward is reached through the session alone."""
        if request.host.lower().rstrip(".").endswith(SUFFIX):
            return Decision(SESSION)
        decision = self.routes.decide(request.host, request.port, request.user)
        if decision.via == SESSION and self._is_out():
            return Decision(DIRECT, decision.route)
        return decision

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        """Connects the way that the routes say. Raises SocksError."""
        decision = self.decide(request)
        if decision.via == SESSION:
            opened = await self._session.connect(request, first, is_told=is_told)
        else:
            opened = await self._past(decision, request, first)
        return replace(opened, via=decision.via)

    async def resolve(self, request: Request) -> str:
        """An address of the host, looked up where connections to it are made. Raises SocksError."""
        decision = self.decide(request)
        if decision.via == SESSION:
            return await self._session.resolve(request)
        return await self.direct(decision).resolve(request)

    async def bind(self, request: Request) -> Binding:
        """Opens a port at the server, whose peers cannot reach this machine. Raises SocksError."""
        decision = self.decide(request)
        if decision.via == BLOCK:
            raise blocked(decision)
        return await self._session.bind(request)

    async def associate(self, request: Request, receive: Receive) -> Association:
        """Opens UDP ports. Where nothing is routed, that is one port at the server. Raises SocksError."""
        if not self.routes.all and not self._is_out():
            return await self._session.associate(request, receive)
        return RoutedAssociation(self._session, self, request, receive)

    def direct(self, decision: Decision) -> Direct:
        """What reaches hosts past the session. Raises Failure where they are blocked, or the link is not there."""
        if decision.via == BLOCK:
            raise blocked(decision)
        if not decision.via.startswith(LINK):
            return self._any_way
        name = decision.via.removeprefix(LINK)
        local = self._find_link(name)
        if local is None:
            raise no_link(name)
        return Direct(OverLink(name, local), self._resolver, self._guard)

    async def _past(self, decision: Decision, request: Request, first: bytes) -> Opened:
        try:
            return await self.direct(decision).connect(request, first)
        except Failure as failure:
            self._tally.add(failure)
            raise


def blocked(decision: Decision) -> Failure:
    """The failure of a request that a route blocks."""
    return Failure(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, Hop.LOCAL, f"{decision.route} blocks it")
