"""The sockets of a server: one for each local address and port, opened here or by another process.

A wildcard socket would answer from the wrong address on a host with several addresses, so none
is used: the owner gives the list of addresses, and gives it again when they change.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from tandem_transport.driver.sockets import Defer, UdpAddress, UdpSocket, all_unread, format_address
from tandem_transport.path.carrier import Carrier

log = logging.getLogger("tandem.server")


class Source(NamedTuple):
    """Where a client's datagram came from, and the local address on which it arrived."""

    local: tuple[str, int]
    remote: UdpAddress

    def __str__(self) -> str:
        return format_address(self.remote)


def source_of_address(address: Hashable) -> Source | None:
    """Where the packets of a path come from, by datagrams or through a byte stream; None where it is not known."""
    place = address.place if isinstance(address, Carrier) else address
    return place if isinstance(place, Source) else None


class ServerSockets:
    """The sockets of one server process."""

    def __init__(self, handle: Callable[[Source, Sequence[bytes]], None], defer: Defer) -> None:
        """`handle` takes what arrives from one source. `defer` may read the sockets later."""
        self._handle, self._defer = handle, defer
        self._sockets: dict[tuple[str, int], tuple[UdpSocket, asyncio.Task[None]]] = {}

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The local addresses and ports on which the server listens."""
        return list(self._sockets)

    @property
    def unread(self) -> int | None:
        """Datagrams that the kernel dropped because they were not read in time; None where it does not count them."""
        return all_unread(sock for sock, _ in self._sockets.values())

    async def listen(self, addresses: list[tuple[str, int]]) -> None:
        """Opens and closes sockets so that the server listens on exactly these addresses.

        Raises OSError where one of them cannot be listened on, after all others.
        """
        errors: list[OSError] = []
        for address in [unknown for unknown in addresses if unknown not in self._sockets]:
            try:
                sock = await UdpSocket.open(*address)
            except OSError as error:
                errors.append(error)
                continue
            log.info("listening on udp %s", format_address(sock.local))
            self._serve(address, sock)
        for address in [known for known in self._sockets if known not in addresses]:
            log.info("no longer listening on %s", format_address(address))
            self.leave(address)
        if errors:
            raise errors[0]

    async def adopt(self, address: tuple[str, int], udp: socket.socket) -> None:
        """Listens on an address with a socket that another process has opened."""
        if address in self._sockets:
            udp.close()
        else:
            self._serve(address, await UdpSocket.adopt(udp))

    def leave(self, address: tuple[str, int]) -> None:
        """No longer listens on an address."""
        if address in self._sockets:
            sock, task = self._sockets.pop(address)
            task.cancel()
            sock.close()

    def send(self, source: Source, batch: Sequence[bytes]) -> None:
        """Answers a source from the address on which it was heard; drops the datagrams where that is gone."""
        if source.local in self._sockets:
            self._sockets[source.local][0].send_batch(batch, source.remote)

    async def close(self) -> None:
        """Closes all sockets."""
        tasks = [task for _, task in self._sockets.values()]
        for address in self.addresses:
            self.leave(address)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _serve(self, address: tuple[str, int], sock: UdpSocket) -> None:
        def handle(batch: Sequence[bytes], remote: UdpAddress) -> None:
            self._handle(Source(address, remote), batch)

        self._sockets[address] = (sock, asyncio.create_task(sock.receive(handle, self._defer)))
