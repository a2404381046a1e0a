"""TCP connections to addresses that access control has already chosen."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import aiohappyeyeballs

from tandem.exchange.failures import Failure, Hop, dial_failure
from tandem_socks import Reply, TcpConnection

T = TypeVar("T")

DIAL_TIMEOUT = 10.0
"""Seconds that resolving and connecting may take together."""

ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried in parallel to the first (RFC 8305 section 5)."""

AddressInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]


@dataclass(frozen=True, slots=True)
class Dialed:
    """A TCP connection to a target, with its address and port at this end (or at the peer, for BIND)."""

    tcp: TcpConnection
    bound_host: str
    bound_port: int


async def within_dial_timeout(target: object, dialing: Awaitable[T]) -> T:
    """The result of resolving and connecting. Raises Failure, which names the target, where it takes too long."""
    try:
        async with asyncio.timeout(DIAL_TIMEOUT):
            return await dialing
    except TimeoutError as error:
        text = f"no answer from {target} within {DIAL_TIMEOUT:.0f} s"
        raise Failure(Reply.HOST_UNREACHABLE, Hop.DIAL, text, "ETIMEDOUT") from error


class Dialer:
    """Races the addresses of a target, each family from the source address that the configuration gives."""

    def __init__(self, sources: Sequence[str] = (), *, place: str = "this server") -> None:
        """`sources`: local addresses to dial from, one per family; with any given, other families are not dialed.

        `place`: whose addresses these are, for people.
        """
        self._place = place
        self._sources = [info for source in sources for info in address_infos(source, 0)]

    async def dial(self, addresses: Sequence[str], port: int) -> Dialed:
        """The first connection that succeeds. Raises Failure."""
        try:
            infos = [info for address in addresses for info in address_infos(address, port)]
        except OSError as error:
            raise dial_failure(error) from error
        if self._sources:
            families = {source[0] for source in self._sources}
            infos = [info for info in infos if info[0] in families]
        if not infos:
            text = f"{addresses[0]} has another address family than {self._place}'s source addresses"
            raise Failure(Reply.NETWORK_UNREACHABLE, Hop.DIAL, text)
        try:
            return await self._connect(infos)
        except OSError as error:
            raise dial_failure(error) from error

    async def _connect(self, infos: list[AddressInfo]) -> Dialed:
        return await dialed(await (self._race(infos) if len(infos) > 1 else self._connect_to(infos[0])))

    async def _race(self, infos: list[AddressInfo]) -> socket.socket:
        return await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType]
            infos, local_addr_infos=self._sources or None, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1
        )

    async def _connect_to(self, info: AddressInfo) -> socket.socket:
        """Connects to a single address, which needs no race."""
        return await connect(info, self._bind)

    def _bind(self, sock: socket.socket) -> None:
        for source in self._sources:
            if source[0] == sock.family:
                sock.bind(source[4])
                return


async def connect(info: AddressInfo, bind: Callable[[socket.socket], None]) -> socket.socket:
    """A socket that is connected to one address; `bind` may bind it before. Raises OSError."""
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        bind(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def dialed(sock: socket.socket) -> Dialed:
    """The connection of a socket that is connected."""
    bound = sock.getsockname()
    _, tcp = await asyncio.get_running_loop().create_connection(TcpConnection, sock=sock)
    return Dialed(tcp, bound[0], bound[1])


def address_infos(host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[AddressInfo]:
    """A literal address in the form of getaddrinfo results."""
    found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    return cast("list[AddressInfo]", found)
