"""`tandem connect`: standard input and output through the client's port; ssh's ProxyCommand.

It asks by HTTP CONNECT, because a refusal then gives the reason in words. The parent process may have closed the
standard streams, or made them non-blocking for its own purposes: descriptors 0 and 1 are used as they are.
"""

import base64
import contextlib
import os
import select
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tandem.base.errors import TandemError, UsageError
from tandem.base.private_files import read_private

_CHUNK = 64 << 10
_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_MAX_ANSWER = 64 << 10
_TIMEOUT = 60.0
"""Seconds to wait for the port's answer: the client delays a request for a while when there is no session."""

_NO_PORT_HINT = "start `tandem client`, or name its port: --proxy HOST:PORT"


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and password for the client's port."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, user: str, file: Path) -> "Login":
        """Reads the password from the file's first line. Raises UsageError."""
        text = read_private(file, "password", "--password-file names a file with a password in it")
        return cls(user, text.partition("\n")[0].removesuffix("\r"))


def connect(host: str, port: int, proxy_host: str, proxy_port: int, login: Login | None = None) -> None:
    """Copies bytes in both directions until the far side ends. Raises TandemError where it cannot be reached."""
    _occupy_standard_streams()
    sock, first = _dial(host, port, proxy_host, proxy_port, login)
    threading.Thread(target=_copy_input, args=(sock,), daemon=True).start()
    try:
        data = first or sock.recv(_CHUNK)
        while data:
            _write_all(_OUTPUT, data)
            data = sock.recv(_CHUNK)
    except ConnectionResetError as error:
        raise TandemError(f"{host}:{port}: the connection was reset") from error
    except BrokenPipeError:
        pass  # the reader of our output has gone
    except OSError as error:
        raise TandemError(f"standard output: {error.strerror}", "it must be open for writing") from error


def _occupy_standard_streams() -> None:
    """Fills closed descriptors: the socket could get the number of one, and be copied into itself."""
    for descriptor in (_INPUT, _OUTPUT, _ERRORS):
        try:
            os.fstat(descriptor)
        except OSError:  # open takes the lowest free number, this one; reads then return b"", and writes fail
            os.open(os.devnull, os.O_RDONLY)


def _dial(host: str, port: int, proxy_host: str, proxy_port: int, login: Login | None) -> tuple[socket.socket, bytes]:
    """An established connection through the port, and the bytes that have already arrived on it."""
    request = _request(host, port, login)
    place = f"{proxy_host}:{proxy_port}"
    try:
        sock = socket.create_connection((proxy_host, proxy_port), timeout=_TIMEOUT)
    except (OSError, UnicodeError) as error:
        raise TandemError(f"no SOCKS port at {place}", _NO_PORT_HINT) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request)
        head, rest = _read_head(sock)
        status = _status(head)
        if status != 200:
            raise _refusal(host, port, place, status, rest + _rest(sock))
        sock.settimeout(None)
    except TimeoutError as error:
        raise TandemError(f"the port at {place} does not answer", _NO_PORT_HINT) from error
    except OSError as error:
        raise TandemError(f"{host}:{port}: {error.strerror or error}", "see the log of `tandem client`") from error
    return sock, rest


def _request(host: str, port: int, login: Login | None) -> bytes:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        name = bare if bare.isascii() else bare.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise UsageError(f"{host!r} is not a host name") from error
    if not name or not name.isprintable() or " " in name:
        raise UsageError(f"{host!r} is not a host name")
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if login is not None:
        pair = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    return "\r\n".join([*lines, "", ""]).encode()


def _read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """The head of the answer, and the bytes after it. Raises OSError."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _MAX_ANSWER:
        more = sock.recv(_CHUNK)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _status(head: bytes) -> int:
    """The HTTP status of an answer; 0 where it is not HTTP."""
    parts = head.split(b" ", 2)
    return int(parts[1]) if parts[0].startswith(b"HTTP/1.") and len(parts) > 1 and parts[1].isdigit() else 0


def _rest(sock: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(OSError):
        while len(data) < _MAX_ANSWER and (more := sock.recv(_CHUNK)):
            data += more
    return data


def _refusal(host: str, port: int, place: str, status: int, body: bytes) -> TandemError:
    if status == 407:
        hint = "[[socks.user]] of the client says who may use it; --user NAME --password-file FILE"
        return TandemError(f"the port at {place} wants a name and its password", hint)
    if status == 0:
        return TandemError(f"{place} is no port of Tandem", _NO_PORT_HINT)
    from tandem_transport.text import printable

    lines = body.decode(errors="replace").strip().splitlines()
    return TandemError(f"{host}:{port}: {printable(lines[0]) if lines else f'refused ({status})'}")


def _copy_input(sock: socket.socket) -> None:
    """Copies standard input to the socket; a closed standard input counts as one at its end."""
    with contextlib.suppress(OSError):
        while data := _read(_INPUT):
            sock.sendall(data)
    with contextlib.suppress(OSError):  # the main thread, which reads, reports the error
        sock.shutdown(socket.SHUT_WR)


def _read(descriptor: int) -> bytes:
    """Some bytes, b"" at the end of data; waits even if the descriptor is non-blocking."""
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            select.select([descriptor], [], [])


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
