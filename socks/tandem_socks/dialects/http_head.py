"""The head of an HTTP/1 request to a proxy (RFC 9112), parsed strictly and rewritten.

Parsing is strict, because a difference between two parsers can be used to smuggle a request past one of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tandem_socks.errors import SocksError

MAX_HEAD = 64 << 10
"""Limit of bytes of a request line and its fields together."""

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(r"\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#\s]+)")

_MAX_HOST = 255

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade")
)
"""Fields that apply only to the connection between client and proxy (RFC 9110 section 7.6.1)."""


_FRAMING = frozenset(("content-length", "transfer-encoding"))


class MalformedRequest(SocksError):
    """The bytes are not a request that a proxy can serve; `status` is the HTTP status for the client."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(None, text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request line and its fields."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    minor_version: int = 1
    """1 for HTTP/1.1, 0 for HTTP/1.0."""

    @property
    def keeps_alive(self) -> bool:
        """Whether the client may send another request on the same connection (RFC 9112 section 9.3)."""
        preferences = self._own_fields() | {value.strip().lower() for value in self.values("proxy-connection")}
        return self.minor_version == 1 and "close" not in preferences

    @property
    def is_upgrade(self) -> bool:
        """Whether the client asks to switch to another protocol (RFC 9110 section 7.8)."""
        return self.minor_version == 1 and "upgrade" in self._own_fields() and self.has("upgrade")

    def values(self, name: str) -> list[str]:
        """All values of a field; `name` in lower case."""
        return [value for key, value in self.fields if key.lower() == name]

    def has(self, *names: str) -> bool:
        """Whether the head has any of the fields."""
        return any(self.values(name) for name in names)

    def body_size(self) -> int | None:
        """Bytes of the body, None where it is chunked. Raises MalformedRequest where the fields are ambiguous."""
        if self._own_fields() & _FRAMING:
            raise MalformedRequest("a field that the body's size depends on is said to be for the proxy alone")
        codings = [value.lower() for value in self.values("transfer-encoding")]
        sizes = set(self.values("content-length"))
        if codings:
            if codings != ["chunked"] or sizes:
                raise MalformedRequest("a body whose size cannot be told")
            return None
        if len(sizes) > 1 or not all(size.isascii() and size.isdigit() and len(size) < 19 for size in sizes):
            raise MalformedRequest("Content-Length is not one number")
        return int(sizes.pop()) if sizes else 0

    def forwarded(self, path: str, authority: str) -> bytes:
        """The head for the origin server; it asks the server to close after this request, or to switch protocols."""
        dropped = (_HOP_BY_HOP | self._own_fields() | {"host"}) - ({"upgrade"} if self.is_upgrade else set())
        kept = [item for item in self.fields if item[0].lower() not in dropped]
        lines = [f"{self.method} {path} HTTP/1.{self.minor_version}", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in kept]
        connection = "Connection: Upgrade" if self.is_upgrade else "Connection: close"
        return "\r\n".join([*lines, connection, "", ""]).encode("latin-1")

    def _own_fields(self) -> set[str]:
        """Names of the fields that the client declares hop-by-hop in its Connection field."""
        return {name.strip().lower() for value in self.values("connection") for name in value.split(",")}


def parse_head(buffer: bytes) -> tuple[Head, int] | None:
    """A head and the bytes it takes; None where more are needed. Skips empty lines before it (RFC 9112 section 2.2).

    Raises MalformedRequest.
    """
    begin = len(buffer) - len(buffer.lstrip(b"\r\n"))
    end = buffer.find(b"\r\n\r\n", begin)
    size = len(buffer) if end < 0 else end
    if buffer.find(b"\n\n", begin, min(size, MAX_HEAD)) >= 0:
        raise MalformedRequest("a line ends in LF alone; HTTP wants CR LF")
    if size > MAX_HEAD:
        raise MalformedRequest(f"a head of over {MAX_HEAD} bytes", 431)
    if end < 0:
        return None
    first, *lines = buffer[begin:end].split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise MalformedRequest("not a request of HTTP/1.1")
    method, target, minor_version = (part.decode("latin-1") for part in line.groups())
    return Head(method, target, tuple(_fields(lines)), int(minor_version)), end + 4


def split_authority(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of an authority (RFC 3986 section 3.2). Raises MalformedRequest."""
    host, _, port = text.rpartition(":") if re.search(r":\d*$", text) else (text, "", "")
    match = _HOST.fullmatch(host)
    number = int(port) if port.isdigit() and len(port) < 6 else default_port
    if match is None or number is None or not 0 < number < 65536 or len(host) > _MAX_HOST:
        raise MalformedRequest("the target is not HOST:PORT")
    return match[1] or match[2], number


def _fields(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise MalformedRequest("a malformed field")
        yield name.decode("ascii"), value.strip(b" \t").decode("latin-1")
