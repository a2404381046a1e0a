"""A UDP port that knows which of the machine's addresses each datagram has reached, and answers from there."""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from tandem_transport.driver import share_port

BATCH = 64
"""Datagrams that are read before other things have their turn."""

_SIZE = 65_535
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_V4 = struct.Struct("=I4s4s")
"""struct in_pktinfo: interface, this machine's address, the datagram's destination."""

_V6 = struct.Struct("=16sI")
"""struct in6_pktinfo: the datagram's destination, interface."""


class Caller(NamedTuple):
    """Who has sent a datagram, and which address of this machine it has reached."""

    host: str
    port: int
    reached: str
    """"" where the system does not tell."""
    sock: socket.socket
    address: tuple[Any, ...]
    """The peer's address as the system writes it."""
    interface: int
    """Number of the interface for link-local addresses, 0 for others."""


class UdpListener:
    """The sockets of one port."""

    def __init__(
        self, on_datagram: Callable[[Caller, bytes], None], *, admits: Callable[[str], bool] = lambda host: True
    ) -> None:
        """`admits` tells from an address whether its datagrams are accepted."""
        self._on_datagram, self._admits = on_datagram, admits
        self._sockets: list[socket.socket] = []

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Listens on all addresses of a host. `reuse_port`: other processes may share it. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((item[0], item[4]) for item in found):
            sock = _open(family, address, reuse_port=reuse_port)
            self._sockets.append(sock)
            loop.add_reader(sock, self._read, sock)

    @property
    def port(self) -> int:
        """The port number that it listens on."""
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Closes the sockets."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _read(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, control, address = receive_datagram(sock)
            except OSError:  # nothing more, or the error of a datagram that was sent
                return
            if not self._admits(address[0]):
                continue
            reached, interface = _reached(control)
            self._on_datagram(Caller(address[0], address[1], reached, sock, address, interface), data)
            if sock.fileno() < 0:
                return


def answer(caller: Caller, data: bytes) -> bool:
    """Sends a datagram to a caller, from the address that it has reached; tells whether the kernel has taken it."""
    control = _control(caller)
    with contextlib.suppress(OSError):
        if control and sys.platform != "win32":
            caller.sock.sendmsg([data], control, 0, caller.address)
        else:
            caller.sock.sendto(data, caller.address)
        return True
    return False


def _open(family: int, address: tuple[str | int, ...] | tuple[int, bytes], *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if reuse_port:
            share_port(sock)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with contextlib.suppress(OSError):  # without it, the system chooses the address of answers
            if family == socket.AF_INET6 and sys.platform != "win32":
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            elif family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def receive_datagram(sock: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], Any]:
    """A datagram, its control messages, and where it comes from. Raises OSError."""
    if sys.platform == "win32":  # it has no control messages
        data, address = sock.recvfrom(_SIZE)
        return data, [], address
    data, control, _, address = sock.recvmsg(_SIZE, 128)
    return data, control, address


def _reached(control: list[tuple[int, int, bytes]]) -> tuple[str, int]:
    """The address that a datagram has reached, and its interface."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _V4.size:
            _, own, _ = _V4.unpack_from(data)
            return socket.inet_ntop(socket.AF_INET, own), 0
        if (level, kind) == (socket.IPPROTO_IPV6, getattr(socket, "IPV6_PKTINFO", -1)) and len(data) >= _V6.size:
            address, interface = _V6.unpack_from(data)
            host = socket.inet_ntop(socket.AF_INET6, address)
            return host, interface if host.startswith("fe80:") else 0
    return "", 0


def _control(caller: Caller) -> list[tuple[int, int, bytes]]:
    if not caller.reached:
        return []
    if ":" in caller.reached:
        data = _V6.pack(socket.inet_pton(socket.AF_INET6, caller.reached), caller.interface)
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, data)]
    data = _V4.pack(0, socket.inet_pton(socket.AF_INET, caller.reached), bytes(4))
    return [(socket.IPPROTO_IP, _IP_PKTINFO, data)]
