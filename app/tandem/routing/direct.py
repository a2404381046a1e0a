"""The far side of what passes the session by: names are resolved here, and connections begin at this machine."""

from collections.abc import Awaitable
from typing import TypeVar

from tandem.base.addresses import address_forms, is_loopback
from tandem.config.patterns import canonical_name
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.dialer import Dialed, within_dial_timeout
from tandem.dialing.resolver import Resolver
from tandem.dialing.tcp_stream import TcpStream
from tandem.dialing.udp_outlet import UdpOutlet
from tandem.exchange.failures import Failure, Hop
from tandem.routing.ways_out import WayOut
from tandem_socks import Opened, Receive, Reply, Request

T = TypeVar("T")


class Direct:
    """Reaches hosts from this machine.

    A client of the SOCKS port on another machine must not get into this machine's networks: it reaches the addresses
    that `guard` allows.
    """

    def __init__(self, way: WayOut, resolver: Resolver, guard: AddressGuard) -> None:
        self._way, self._resolver, self._guard = way, resolver, guard

    async def connect(self, request: Request, first: bytes) -> Opened:
        """Connects, and sends the first bytes. Raises Failure."""
        dialed = await _in_time(request, self._dial(request))
        stream = TcpStream(dialed.tcp, self._way.carried)
        if first:
            try:
                await stream.write(first)
            except ConnectionError as error:
                raise Failure(Reply.CONNECTION_REFUSED, Hop.LOCAL, str(error)) from error
        return Opened(stream, dialed.bound_host, dialed.bound_port)

    async def resolve(self, request: Request) -> str:
        """An address of the host. Raises Failure."""
        return (await _in_time(request, self.addresses(request)))[0]

    async def addresses(self, request: Request) -> tuple[str, ...]:
        """The addresses that this client may reach, at least one. Raises Failure."""
        try:
            host = canonical_name(request.host)
        except ValueError as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.LOCAL, str(error)) from error
        resolved = await self._resolver.resolve_target(host, request.user or request.peer)
        found = tuple(dict.fromkeys(map(_as_the_system_spells, resolved)))
        if not is_loopback(request.peer):
            found = tuple(address for address in found if self._guard.is_allowed(address))
        if found:
            return found
        text = f"{request.host} is in a network of this machine; `allow` in [socks] opens it to other machines"
        raise Failure(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, Hop.LOCAL, text)

    def outlet(self, request: Request, receive: Receive) -> UdpOutlet:
        """UDP sockets for one client."""

        async def resolve(host: str, port: int) -> tuple[str, ...]:
            return await self.addresses(Request(request.command, host, port, request.user, request.peer))

        def deliver(host: str, port: int, data: bytes) -> bool:
            receive(host, port, data)
            return True

        return UdpOutlet(resolve, self._way.bind, deliver, carried=self._way.carried, owner=request.peer)

    async def _dial(self, request: Request) -> Dialed:
        return await self._way.dial(await self.addresses(request), request.port)


def _as_the_system_spells(address: str) -> str:
    """A literal address as a socket tells it, so that an answer from there is known as one."""
    return address if "%" in address else str(address_forms(address)[0])


async def _in_time(request: Request, work: Awaitable[T]) -> T:
    """The result. Raises Failure, which names this machine as the place, also where it takes too long."""
    try:
        return await within_dial_timeout(request, work)
    except Failure as failure:
        raise Failure(failure.reply or Reply.GENERAL_FAILURE, Hop.LOCAL, failure.detail, failure.error) from failure
