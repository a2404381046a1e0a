"""The far side of BIND: a server's TCP port that waits for one connection from one host."""

import asyncio
import contextlib
import socket

from tandem.dialer import Dialed
from tandem.failures import Failure, Hop, dial_failure
from tandem_socks import Reply, TcpConnection

BIND_TIMEOUT = 120.0
"""Seconds for which it waits."""

_ANYWHERE = "192.0.2.1"
"""Only asked for the way there; nothing is sent."""


class BoundPort:
    """Listens where that host would reach this server."""

    def __init__(self, sock: socket.socket, peers: tuple[str, ...]) -> None:
        self._socket = sock
        self._peers = peers
        self.host, self.port = sock.getsockname()[:2]

    @classmethod
    def open(cls, peers: tuple[str, ...], sources: tuple[str, ...]) -> "BoundPort":
        """`peers`: who may connect, none for everybody; `sources`: local addresses, one of a family. Raises Failure."""
        toward = peers[0] if peers else _ANYWHERE
        family = socket.AF_INET6 if ":" in toward else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.bind((_local_address(toward, family, sources), 0))
            sock.listen(4)
        except OSError as error:
            sock.close()
            raise dial_failure(error) from error
        return cls(sock, peers)

    async def accepted(self) -> Dialed:
        """The connection, with its peer as the bound address. Raises Failure where none comes."""
        try:
            async with asyncio.timeout(BIND_TIMEOUT):
                return await self._accept()
        except TimeoutError as error:
            text = f"nobody connected to {self.host}:{self.port} within {BIND_TIMEOUT:.0f} s"
            raise Failure(Reply.HOST_UNREACHABLE, Hop.DIAL, text, "ETIMEDOUT") from error
        except OSError as error:
            raise dial_failure(error) from error

    def close(self) -> None:
        """Stops waiting."""
        self._socket.close()

    async def _accept(self) -> Dialed:
        loop = asyncio.get_running_loop()
        while True:
            accepted, address = await loop.sock_accept(self._socket)
            if self._peers and address[0] not in self._peers:
                with contextlib.suppress(OSError):
                    accepted.close()
                continue
            _, tcp = await loop.connect_accepted_socket(TcpConnection, accepted)
            return Dialed(tcp, address[0], address[1])


def _local_address(toward: str, family: int, sources: tuple[str, ...]) -> str:
    for source in sources:
        if (":" in source) == (family == socket.AF_INET6):
            return source
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((toward, 9))
        return str(probe.getsockname()[0])
