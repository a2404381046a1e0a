"""Connects to what clients ask for: resolve once, check every address, race what is left."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import aiohappyeyeballs

from tandem.errors import os_error_text
from tandem_socks import Reply, SocksError, TcpConnection, reply_of

DIAL_TIMEOUT = 10.0
"""Seconds for resolving and connecting together."""

ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried beside the first (RFC 8305 section 5)."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "64:ff9b::/96",  # NAT64: it would lead to any of the above
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)

AddressInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]


@dataclass(frozen=True, slots=True)
class Dialed:
    """A connection to a target."""

    tcp: TcpConnection
    bound_host: str
    bound_port: int


class Dialer:
    """Dials ordinary destinations, and forward targets past the deny list."""

    def __init__(self, allow: Iterable[IPNetwork] = ()) -> None:
        """`allow` takes networks off the deny list; it is never a list of all that is allowed."""
        self._allow = tuple(allow)

    async def dial(self, host: str, port: int) -> Dialed:
        """Raises SocksError with the reply for the client."""
        return await self._within_limit(host, port, is_checked=True)

    async def dial_target(self, host: str, port: int) -> Dialed:
        """The same for a target that the server's owner has named."""
        return await self._within_limit(host, port, is_checked=False)

    async def _within_limit(self, host: str, port: int, *, is_checked: bool) -> Dialed:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                return await self._dial(host, port, is_checked=is_checked)
        except TimeoutError as error:
            text = f"no answer from {host}:{port} within {DIAL_TIMEOUT:.0f} s"
            raise SocksError(Reply.HOST_UNREACHABLE, text) from error
        except OSError as error:
            text = os_error_text(error)
            raise SocksError(reply_of(error), text) from error

    async def _dial(self, host: str, port: int, *, is_checked: bool) -> Dialed:
        addresses = await self._resolve(host, port)
        if is_checked:
            # The checked addresses are the ones that are dialed: a name cannot change its mind.
            allowed = [info for info in addresses if self.is_allowed(info[4][0])]
            if not allowed:
                text = f"{addresses[0][4][0]} is a private address; the server's owner can --allow it"
                raise SocksError(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, text)
            addresses = allowed
        sock = await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType]
            addresses, happy_eyeballs_delay=ATTEMPT_DELAY
        )
        bound = sock.getsockname()
        _, tcp = await asyncio.get_running_loop().create_connection(TcpConnection, sock=sock)
        return Dialed(tcp, bound[0], bound[1])

    async def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            text = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
            raise SocksError(Reply.HOST_UNREACHABLE, f"cannot resolve {host}: {text}") from error
        return cast("list[AddressInfo]", found)

    def is_allowed(self, host: str) -> bool:
        """Whether clients may reach an address."""
        address: IPAddress = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address.sixtofour or address
        if any(address in network for network in self._allow if network.version == address.version):
            return True
        return not any(address in network for network in _DENIED if network.version == address.version)
