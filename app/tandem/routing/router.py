"""The far side of the SOCKS port: sends each request the way that the routes say."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tandem.config.client_sections import BLOCK, DIRECT, LINK, SERVER, SESSION
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.resolver import Resolver
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.tally import Tally
from tandem.routing.association import RoutedAssociation
from tandem.routing.direct import Direct
from tandem.routing.routes import Decision, Routes
from tandem.routing.ways_out import AnyWay, LinkPlace, OverLink, no_link
from tandem_socks import Association, Binding, FarSide, Opened, Receive, Reply, Request


@dataclass(frozen=True, slots=True)
class Ways:
    """What finds the ways that routes name; None where there is none of a name."""

    find_server: Callable[[str], FarSide | None]
    """The far side that a further server reaches."""
    find_link: Callable[[str], LinkPlace | None]


class Router:
    """A `FarSide` of tandem_socks."""

    def __init__(
        self,
        session: FarSide,
        routes: Routes,
        ways: Ways,
        guard: AddressGuard,
        *,
        tally: Tally,
        is_out: Callable[[], bool],
    ) -> None:
        """`session`: the far side that the session reaches. `guard`: what clients on other machines reach past it.

        `is_out`: the server has not answered for so long that new connections pass it by.
        """
        self._session, self.routes = session, routes
        self._ways, self._guard = ways, guard
        self._tally = tally
        self._is_out = is_out
        self._resolver = Resolver()
        self._any_way = Direct(AnyWay(), self._resolver, guard)

    def decide(self, request: Request) -> Decision:
        """The way that a request takes now."""
        decision = self.routes.decide(request.host, request.port, request.user)
        if decision.via == SESSION and not decision.is_fixed and self._is_out():
            return Decision(DIRECT, decision.route)
        return decision

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        """Connects the way that the routes say. Raises SocksError."""
        decision = self.decide(request)
        far_side = self.far_side(decision)
        if far_side is not None:
            opened = await far_side.connect(request, first, is_told=is_told)
        else:
            opened = await self._past(decision, request, first)
        return replace(opened, via=decision.via)

    async def resolve(self, request: Request) -> str:
        """An address of the host, looked up where connections to it are made. Raises SocksError."""
        decision = self.decide(request)
        far_side = self.far_side(decision)
        if far_side is not None:
            return await far_side.resolve(request)
        return await self.direct(decision).resolve(request)

    async def bind(self, request: Request) -> Binding:
        """Opens a port at a server: peers outside cannot reach this machine. Raises SocksError."""
        decision = self.decide(request)
        if decision.via == BLOCK:
            raise blocked(decision)
        return await (self.far_side(decision) or self._session).bind(request)

    async def associate(self, request: Request, receive: Receive) -> Association:
        """Opens UDP ports. Where nothing is routed, that is one port at the server. Raises SocksError."""
        if not self.routes.all and not self._is_out():
            return await self._session.associate(request, receive)
        return RoutedAssociation(self, request, receive)

    def far_side(self, decision: Decision) -> FarSide | None:
        """The server that serves a request, None where it passes all servers by. Raises Failure."""
        if decision.via == SESSION:
            return self._session
        if not decision.via.startswith(SERVER):
            return None
        name = decision.via.removeprefix(SERVER)
        found = self._ways.find_server(name)
        if found is None:
            raise Failure(Reply.NETWORK_UNREACHABLE, Hop.LOCAL, f"there is no [[exit]] {name}")
        return found

    def direct(self, decision: Decision) -> Direct:
        """What reaches hosts past the session. Raises Failure where they are blocked, or the link is not there."""
        if decision.via == BLOCK:
            raise blocked(decision)
        if not decision.via.startswith(LINK):
            return self._any_way
        name = decision.via.removeprefix(LINK)
        link = self._ways.find_link(name)
        if link is None:
            raise no_link(name)
        return Direct(OverLink(link), self._resolver, self._guard)

    async def _past(self, decision: Decision, request: Request, first: bytes) -> Opened:
        try:
            return await self.direct(decision).connect(request, first)
        except Failure as failure:
            self._tally.add(failure)
            raise


def blocked(decision: Decision) -> Failure:
    """The failure of a request that a route blocks."""
    return Failure(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, Hop.LOCAL, f"{decision.route} blocks it")
