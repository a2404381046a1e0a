"""The ways out of this machine that pass the session by: any of its routes, or one of its links."""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tandem.dialing.dialer import AddressInfo, Dialed, Dialer, address_infos, connect, dialed
from tandem.exchange.failures import Failure, Hop, dial_failure
from tandem_socks import Reply
from tandem_transport.driver import Gate, LocalAddress

_ATTEMPT_TIMEOUT = 3.0
"""Seconds that an address has to answer where there is another one."""


class WayOut(Protocol):
    """Connects, and binds UDP sockets."""

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        """A connection to the first of these literal addresses that answers. Raises Failure."""
        ...

    def bind(self, sock: socket.socket) -> None:
        """Binds a UDP socket. Raises OSError."""
        ...

    def carried(self, size: int) -> None:
        """Counts bytes that have gone this way. Raises OSError where no more may."""
        ...


class AnyWay:
    """As the machine's routes say."""

    def __init__(self) -> None:
        self._dialer = Dialer(place="this machine")

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        return await self._dialer.dial(addresses, port)

    def bind(self, sock: socket.socket) -> None:
        sock.bind(("0.0.0.0" if sock.family == socket.AF_INET else "::", 0))

    def carried(self, size: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """Where a link is now, and its cap."""

    name: str
    local: Callable[[], list[LocalAddress]]
    """Finds the link's present addresses, and raises OSError where it has none."""
    gate: Gate


class OverLink:
    """From the address and the interface of one link, under its cap; its maximum rate is for the session alone."""

    def __init__(self, link: LinkPlace) -> None:
        self._link = link

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        if problem := self._link.gate.problem():
            raise Failure(Reply.NETWORK_UNREACHABLE, Hop.LOCAL, f"link {self._link.name}: {problem}")
        try:
            families = {local.family for local in self._link.local()}
            infos = [info for address in addresses for info in address_infos(address, port) if info[0] in families]
            return await self._dial(infos)
        except OSError as error:
            raise dial_failure(error) from error

    async def _dial(self, infos: list[AddressInfo]) -> Dialed:
        """Tries one address after the other; each but the last has a limited time. Raises OSError."""
        for number, info in enumerate(infos, 1):
            try:
                async with asyncio.timeout(_ATTEMPT_TIMEOUT if number < len(infos) else None):
                    return await dialed(await connect(info, self.bind))
            except OSError:
                if number == len(infos):
                    raise
        raise OSError(errno.ENETUNREACH, f"link {self._link.name} has no address of that family")

    def bind(self, sock: socket.socket) -> None:
        """Binds a socket to the link's address of the same family, and to its interface."""
        for local in self._link.local():
            if local.family == sock.family:
                local.bind(sock)
                return
        family = "IPv6" if sock.family == socket.AF_INET6 else "IPv4"
        raise OSError(errno.EADDRNOTAVAIL, f"link {self._link.name} has no {family} address")

    def carried(self, size: int) -> None:
        gate = self._link.gate
        if gate.on_carried(size) and (problem := gate.problem()):
            raise ConnectionAbortedError(f"link {self._link.name}: {problem}")


def no_link(name: str) -> Failure:
    """The failure of a route over a link that is not there."""
    return Failure(Reply.NETWORK_UNREACHABLE, Hop.LOCAL, f"there is no link {name} now")
