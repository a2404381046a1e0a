"""Caught datagrams: each device's port has a far port of its own, and answers come from where it has sent to.

It needs `tproxy`, for only a transparent socket can answer from an address of somebody else.
"""

import asyncio
import contextlib
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence

from tandem.ports.flows import Flow, FlowTable
from tandem.ports.udp_listener import receive_datagram
from tandem.transparent.destination import (
    HostPort,
    destination_of_datagram,
    make_transparent,
    tell_destination,
)
from tandem.transparent.tcp_port import Name
from tandem_socks import Association, Command, FarSide, Request, SocksError
from tandem_transport import BoundedTable
from tandem_transport.driver import family_of

log = logging.getLogger("tandem.client")

MAX_FLOWS = 240
"""Ports of devices at the same time; a further one takes the place of the one that was silent for longest. A server
gives each client 256 UDP ports."""

MAX_EARLY = 32
"""Datagrams of a port that wait until its far port is open."""

MAX_EARLY_BYTES = 4 << 20
"""Bytes of all datagrams that wait so."""

MAX_PLACES = 256
"""Places that one port of a device has sent to, and that are remembered."""

MAX_ANSWERING = 512
"""Sockets that answer in others' names; a further one takes the place of the one that was not used for longest."""

_BATCH = 64


class _Flow(Flow):
    """One port of a device."""

    def __init__(self, device: HostPort) -> None:
        super().__init__()
        self.device = device
        self.association: Association | None = None
        self.early: list[tuple[str, int, bytes]] = []
        self.real: BoundedTable[str, None] = BoundedTable(MAX_PLACES)
        """Real addresses that the device has sent to."""
        self.by_port: BoundedTable[int, HostPort] = BoundedTable(MAX_PLACES)
        """The fake address that was used last with a port: the server's answer has the real one."""


class TransparentUdp:
    """The UDP ports."""

    def __init__(self, far_side: FarSide, name: Name, admits: Callable[[str], bool]) -> None:
        """`admits` tells from its address whether a device is served."""
        self._far_side, self._name, self._admits = far_side, name, admits
        self._sockets: list[socket.socket] = []
        self._flows = FlowTable[HostPort, _Flow](MAX_FLOWS)
        self._early_bytes = 0
        """Bytes of all datagrams that wait."""
        self._answering: OrderedDict[HostPort, socket.socket] = OrderedDict()

    def listen(self, places: Sequence[HostPort]) -> None:
        """Listens on literal addresses. Raises OSError where it may not take what is meant for others."""
        for host, port in places:
            sock = _transparent_socket((host, port))
            self._sockets.append(sock)
            tell_destination(sock)
            asyncio.get_running_loop().add_reader(sock, self._read, sock)

    async def close(self) -> None:
        """Closes all sockets and flows."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        await self._flows.close()
        for sock in self._answering.values():
            sock.close()

    # --- from the devices ---

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                data, control, source = receive_datagram(sock)
            except OSError:
                return
            meant = destination_of_datagram(control)
            if meant is not None and self._admits(source[0]):
                self._take((source[0], source[1]), meant, data)

    def _take(self, device: HostPort, meant: HostPort, data: bytes) -> None:
        host = self._name(meant[0])
        if host is None:
            return
        flow = self._flows.get(device) or self._begin(device)
        flow.touch()
        if host != meant[0]:
            flow.by_port.put(meant[1], meant)
        else:
            flow.real.put(meant[0], None)
        if flow.association is not None:
            flow.association.send(host, meant[1], data)
        elif len(flow.early) < MAX_EARLY and self._early_bytes + len(data) <= MAX_EARLY_BYTES:
            flow.early.append((host, meant[1], data))
            self._early_bytes += len(data)

    def _begin(self, device: HostPort) -> _Flow:
        flow = _Flow(device)
        return self._flows.begin(device, flow, self._carry(flow), self._forget_early)

    def _forget_early(self, flow: _Flow) -> None:
        """What has waited for the far port has left, or never will."""
        self._early_bytes -= sum(len(data) for *_, data in flow.early)
        flow.early.clear()

    async def _carry(self, flow: _Flow) -> None:
        def receive(host: str, port: int, data: bytes) -> None:
            self._answer(flow, host, port, data)

        association: Association | None = None
        try:
            request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=flow.device[0])
            association = flow.association = await self._far_side.associate(request, receive)
            for host, port, data in flow.early:
                association.send(host, port, data)
            self._forget_early(flow)
            await association.wait_closed()
        except SocksError as error:
            log.debug("udp of %s: %s", flow.device[0], error)
        finally:
            if association is not None:
                association.close()

    # --- to the devices ---

    def _answer(self, flow: _Flow, host: str, port: int, data: bytes) -> None:
        """Passes an answer on, from the address that the device has sent to."""
        flow.touch()
        place = (host, port) if host in flow.real else flow.by_port.get(port)
        if place is None or family_of(place[0]) != family_of(flow.device[0]):
            return  # nobody else may speak to the device
        with contextlib.suppress(OSError):
            self._answering_socket(place).sendto(data, flow.device)

    def _answering_socket(self, place: HostPort) -> socket.socket:
        """A socket with the address of somebody else. Raises OSError."""
        sock = self._answering.get(place)
        if sock is None:
            if len(self._answering) >= MAX_ANSWERING:
                self._answering.popitem(last=False)[1].close()
            sock = self._answering[place] = _transparent_socket(place)
        self._answering.move_to_end(place)
        return sock


def _transparent_socket(place: HostPort) -> socket.socket:
    sock = socket.socket(family_of(place[0]), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        make_transparent(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
    except OSError:
        sock.close()
        raise
    return sock
