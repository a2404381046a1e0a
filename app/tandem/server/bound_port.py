"""The far side of BIND: a server's TCP port that waits for one connection from one host."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from tandem.base.addresses import source_of
from tandem.dialing.dialer import Dialed
from tandem.exchange.failures import Failure, Hop, dial_failure
from tandem_socks import Reply, TcpConnection
from tandem_transport.driver import family_of

BIND_TIMEOUT = 120.0
"""Seconds that a BIND port waits for its connection."""

Admits = Callable[[str, int], Awaitable[bool]]
"""Whether a peer may connect, by its address and port."""


class BoundPort:
    """A listening TCP port on the local address that the expected host can reach."""

    def __init__(self, sock: socket.socket, admits: Admits) -> None:
        self._socket = sock
        self._admits = admits
        self.host, self.port = sock.getsockname()[:2]

    @classmethod
    def open(cls, toward: str, sources: tuple[str, ...], admits: Admits) -> "BoundPort":
        """`toward`: an address that must reach the port; `sources`: local addresses, one per family. Raises Failure."""
        family = family_of(toward)
        try:
            return cls(_listen(family, _local_address(toward, family, sources)), admits)
        except OSError as error:
            raise dial_failure(error) from error

    async def accepted(self) -> Dialed:
        """Waits for the connection; its peer is the bound address. Raises Failure where none comes in time."""
        try:
            async with asyncio.timeout(BIND_TIMEOUT):
                return await self._accept()
        except TimeoutError as error:
            text = f"nobody connected to {self.host}:{self.port} within {BIND_TIMEOUT:.0f} s"
            raise Failure(Reply.HOST_UNREACHABLE, Hop.DIAL, text, "ETIMEDOUT") from error
        except OSError as error:
            raise dial_failure(error) from error

    def close(self) -> None:
        """Closes the listening socket."""
        self._socket.close()

    async def _accept(self) -> Dialed:
        loop = asyncio.get_running_loop()
        while True:
            accepted, address = await loop.sock_accept(self._socket)
            if not await self._admits(address[0], address[1]):
                accepted.close()
                continue
            _, tcp = await loop.connect_accepted_socket(TcpConnection, accepted)
            return Dialed(tcp, address[0], address[1])


def _listen(family: socket.AddressFamily, host: str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind((host, 0))
        sock.listen(4)
    except OSError:
        sock.close()
        raise
    return sock


def _local_address(toward: str, family: socket.AddressFamily, sources: tuple[str, ...]) -> str:
    source = source_of(family, sources)
    if source is not None:
        return source
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((toward, 9))
        return str(probe.getsockname()[0])
