"""For whom a caught connection or datagram was meant, and sockets that take the place of others (Linux)."""

import socket
import struct
import time
from typing import cast

from tandem.base.addresses import interface_addresses

HostPort = tuple[str, int]

_LOOK_INTERVAL = 5.0

_SO_ORIGINAL_DST = 80
"""From <linux/netfilter_ipv4.h>; IPv6 has the same number at its own level."""

_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75
_IP_RECVORIGDSTADDR, _IPV6_RECVORIGDSTADDR = 20, 74
_IN, _IN6 = struct.Struct("!2xH4s"), struct.Struct("!2xH4x16s")


def make_transparent(sock: socket.socket) -> None:
    """Lets a socket take what is meant for other hosts, and use their addresses. Raises OSError without the right."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)


def tell_destination(sock: socket.socket) -> None:
    """Lets a UDP socket tell for whom each datagram was meant. Raises OSError."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)


def destination_of_datagram(control: list[tuple[int, int, bytes]]) -> HostPort | None:
    """The host and port that a datagram was meant for, from its control messages."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_RECVORIGDSTADDR):
            return _parsed(socket.AF_INET, data)
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR):
            return _parsed(socket.AF_INET6, data)
    return None


class OwnAddresses:
    """The addresses of this machine, as of the last few seconds: finding them takes longer than a connection should."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._looked_at = float("-inf")

    def __contains__(self, host: str) -> bool:
        now = time.monotonic()
        if now - self._looked_at > _LOOK_INTERVAL:
            self._looked_at = now
            self._known = frozenset(host for hosts in interface_addresses().values() for host in hosts)
        return host in self._known


def destination_of_connection(sock: socket.socket, own: OwnAddresses) -> HostPort | None:
    """The host and port that a connection was meant for; None where it was meant for this machine itself."""
    reached = cast("HostPort", sock.getsockname()[:2])
    found = _before_redirect(sock) or reached
    return None if found == reached and found[0] in own else found


def _before_redirect(sock: socket.socket) -> HostPort | None:
    is_v6 = sock.family == socket.AF_INET6
    level, size = (socket.IPPROTO_IPV6, 28) if is_v6 else (socket.IPPROTO_IP, 16)
    try:
        return _parsed(sock.family, sock.getsockopt(level, _SO_ORIGINAL_DST, size))
    except OSError:  # the firewall has not changed the destination
        return None


def _parsed(family: int, data: bytes) -> HostPort | None:
    """A sockaddr_in or sockaddr_in6."""
    layout = _IN6 if family == socket.AF_INET6 else _IN
    if len(data) < layout.size:
        return None
    port, host = layout.unpack_from(data)
    return socket.inet_ntop(family, host), port
