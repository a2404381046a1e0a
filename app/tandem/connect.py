"""`tandem connect`: standard input and output through the SOCKS port; ssh's ProxyCommand."""

import os
import re
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import socks

from tandem.errors import TandemError
from tandem.private_files import read_private

_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody's name and password at the SOCKS port."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, user: str, file: Path) -> "Login":
        """The password is the file's first line. Raises UsageError."""
        text = read_private(file, "password", "--password-file names a file with a password in it")
        return cls(user, text.partition("\n")[0])


def connect(host: str, port: int, proxy_host: str, proxy_port: int, login: Login | None = None) -> None:
    """Returns when the far side has finished. Raises TandemError where it cannot be reached."""
    sock = _dial(host, port, proxy_host, proxy_port, login)
    threading.Thread(target=_copy_input, args=(sock,), daemon=True).start()
    try:
        while data := sock.recv(_CHUNK):
            _write_all(sys.stdout.fileno(), data)
    except ConnectionResetError as error:
        raise TandemError(f"{host}:{port}: the connection was reset") from error
    except BrokenPipeError:
        pass  # whoever read our output has gone


def _dial(host: str, port: int, proxy_host: str, proxy_port: int, login: Login | None) -> socket.socket:
    sock = socks.socksocket()
    user, password = (login.user, login.password) if login is not None else (None, None)
    sock.set_proxy(socks.SOCKS5, proxy_host, proxy_port, rdns=True, username=user, password=password)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sock.connect((host, port))
    except socks.ProxyConnectionError as error:
        place = f"{proxy_host}:{proxy_port}"
        raise TandemError(
            f"no SOCKS port at {place}", "start `tandem client`, or name it: --proxy HOST:PORT"
        ) from error
    except (socks.ProxyError, OSError) as error:
        if isinstance(getattr(error, "socket_err", error), socks.SOCKS5AuthError):
            place = f"the SOCKS port at {proxy_host}:{proxy_port}"
            hint = "[[socks.user]] of the client says who may use it; --user NAME --password-file FILE"
            raise TandemError(f"{place} wants a name and its password", hint) from error
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
