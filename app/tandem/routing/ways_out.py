"""The ways out of this machine that pass the session by: any of its routes, or one of its links."""

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from tandem.dialing.dialer import Dialed, Dialer, address_infos, connect, dialed
from tandem.exchange.failures import Failure, Hop, dial_failure
from tandem_socks import Reply
from tandem_transport.driver import LocalAddress


class WayOut(Protocol):
    """Connects, and binds UDP sockets."""

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        """A connection to the first of these literal addresses that answers. Raises Failure."""
        ...

    def bind(self, sock: socket.socket) -> None:
        """Binds a UDP socket. Raises OSError."""
        ...


class AnyWay:
    """As the machine's routes say."""

    def __init__(self) -> None:
        self._dialer = Dialer(place="this machine")

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        return await self._dialer.dial(addresses, port)

    def bind(self, sock: socket.socket) -> None:
        sock.bind(("0.0.0.0" if sock.family == socket.AF_INET else "::", 0))


class OverLink:
    """From the address and the interface of one link."""

    def __init__(self, name: str, local: Callable[[], list[LocalAddress]]) -> None:
        """`local` finds the link's present addresses, and raises OSError where it has none."""
        self._name = name
        self._local = local

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        problem: OSError | None = None
        for info in [info for address in addresses for info in address_infos(address, port)]:
            try:
                return await dialed(await connect(info, self.bind))
            except OSError as error:
                problem = problem or error
        raise dial_failure(problem or OSError(f"link {self._name}: no address"))

    def bind(self, sock: socket.socket) -> None:
        """Binds a socket to the link's address of the same family, and to its interface."""
        for local in self._local():
            if local.family == sock.family:
                local.bind(sock)
                return
        family = "IPv6" if sock.family == socket.AF_INET6 else "IPv4"
        raise OSError(f"link {self._name} has no {family} address")


def no_link(name: str) -> Failure:
    """The failure of a route over a link that is not there."""
    return Failure(Reply.NETWORK_UNREACHABLE, Hop.LOCAL, f"there is no link {name} now")
