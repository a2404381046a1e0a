"""Caught TCP connections: each is made where it was meant to lead, by the far side, and relayed."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence

from tandem.base.tasks import TaskSet
from tandem.ports.tcp_listener import serving_listener
from tandem.transparent.destination import HostPort, OwnAddresses, destination_of_connection, make_transparent
from tandem_socks import Command, FarSide, Listener, Relay, RelayResult, Request, SocksError, TcpConnection

log = logging.getLogger("tandem.client")

Name = Callable[[str], str | None]
"""The host that an address stands for: itself, or a name; None for a fake address that stands for nothing."""

OnChange = Callable[[object, RelayResult, str], None]


class TransparentTcp:
    """The TCP ports, and the connections that they have accepted."""

    def __init__(
        self, far_side: FarSide, name: Name, admits: Callable[[str], bool], *, on_opened: OnChange, on_closed: OnChange
    ) -> None:
        """`admits` tells from its address whether a device is served."""
        self._far_side, self._name, self._admits = far_side, name, admits
        self._on_opened, self._on_closed = on_opened, on_closed
        self._listeners: list[Listener] = []
        self._tasks, self._own = TaskSet(), OwnAddresses()

    async def listen(self, places: Sequence[HostPort]) -> None:
        """Listens on all places. Raises OSError."""
        for host, port in places:
            listener = serving_listener(self._tasks, self._serve, admits=self._admits, prepare=_prepare)
            self._listeners.append(listener)
            await listener.listen(host, port)

    @property
    def free_places(self) -> list[int]:
        """How many more connections each port accepts now."""
        return [listener.free_places for listener in self._listeners]

    async def close(self) -> None:
        """Stops listening, and ends the connections."""
        for listener in self._listeners:
            await listener.close()
        await self._tasks.cancel()

    # --- inside ---

    async def _serve(self, tcp: TcpConnection) -> None:
        found = destination_of_connection(tcp.socket, self._own)
        host = self._name(found[0]) if found is not None else None
        if found is None or host is None:
            log.info("a connection from %s was meant for nobody else; it is reset", tcp.peer_address[0])
            tcp.reset()
            return
        request = Request(Command.CONNECT, host, found[1], peer=tcp.peer_address[0])
        try:
            opened = await self._far_side.connect(request, b"", is_told=True)
        except SocksError as error:
            log.info("%s: %s", request, error)
            tcp.reset()
            return
        except asyncio.CancelledError:
            tcp.reset()
            raise
        relay = Relay(tcp, opened.stream)
        self._on_opened(request, relay.result, opened.via)
        try:
            await relay.run()
        finally:
            self._on_closed(request, relay.result, opened.via)


def _prepare(sock: socket.socket) -> None:
    """Lets a socket take what is meant for others (`tproxy`), where the system allows it; `redirect` needs no right."""
    with contextlib.suppress(OSError):
        make_transparent(sock)
