"""`tandem connect`: standard input and output through the SOCKS port; ssh's ProxyCommand."""

import os
import re
import socket
import sys
import threading

import socks

from tandem.errors import TandemError

_CHUNK = 64 << 10


def connect(host: str, port: int, proxy_host: str, proxy_port: int) -> None:
    """Returns when the far side has finished. Raises TandemError where it cannot be reached."""
    sock = _dial(host, port, proxy_host, proxy_port)
    threading.Thread(target=_copy_input, args=(sock,), daemon=True).start()
    try:
        while data := sock.recv(_CHUNK):
            _write_all(sys.stdout.fileno(), data)
    except ConnectionResetError as error:
        raise TandemError(f"{host}:{port}: the connection was reset") from error
    except BrokenPipeError:
        pass  # whoever read our output has gone


def _dial(host: str, port: int, proxy_host: str, proxy_port: int) -> socket.socket:
    sock = socks.socksocket()
    sock.set_proxy(socks.SOCKS5, proxy_host, proxy_port, rdns=True)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sock.connect((host, port))
    except socks.ProxyConnectionError as error:
        place = f"{proxy_host}:{proxy_port}"
        raise TandemError(
            f"no SOCKS port at {place}", "start `tandem client`, or name it: --proxy HOST:PORT"
        ) from error
    except (socks.ProxyError, OSError) as error:
        text = re.sub(r"^(Socket error: )?(0x[0-9a-f]{2}: )?", "", str(error))
        raise TandemError(f"{host}:{port}: {text}", "the log of `tandem client` says where and why") from error
    return sock


def _copy_input(sock: socket.socket) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the reading side reports it


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
