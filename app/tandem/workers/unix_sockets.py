"""Pairs of Unix sockets between the processes of a server, and sockets that are passed over them."""

import socket
import sys

from tandem.base.errors import TandemError


def connected_pair(kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep messages whole. Raises TandemError where the system has none (Windows)."""
    if sys.platform == "win32":
        raise _no_workers()
    return socket.socketpair(socket.AF_UNIX, kind)


def pass_socket(way: socket.socket, message: bytes, sock: socket.socket) -> None:
    """Sends a message, and a socket with it. Raises OSError."""
    if sys.platform == "win32":
        raise _no_workers()
    socket.send_fds(way, [message], [sock.fileno()])


def take_socket(way: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Receives a message, and the descriptor of the socket that came with it, if any. Raises OSError."""
    if sys.platform == "win32":
        raise _no_workers()
    message, descriptors, _, _ = socket.recv_fds(way, size, 1)
    return message, descriptors


def _no_workers() -> TandemError:
    return TandemError("a server of several processes is not available on this system", "it needs Linux 4.5")
