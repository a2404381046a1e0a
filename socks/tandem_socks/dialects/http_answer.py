"""Filters the answer of an origin server: finds its end, and rewrites its connection fields.

The client's connection to this proxy and the proxy's to the origin are separate (RFC 9110 section 7.6.1). The fields
about the origin's connection are removed from the head, and fields about the client's are added; the rest stays.
"""

import re
from enum import Enum

from tandem_socks.dialects.http_body import BodyMeter
from tandem_socks.dialects.http_head import MAX_HEAD

_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_FIELD = re.compile(rb"[^\s:]+:[^\r\n]*")
_OURS = frozenset((b"connection", b"keep-alive", b"proxy-connection"))
_SWITCHING = 101
_RESET_CONTENT = 205
_INTERIM = frozenset((100, 102, 103))
_MAX_INTERIM = 32
"""Limit of interim (1xx) heads before the final one."""

_WITHOUT_BODY = frozenset((204, 304))


class _Part(Enum):
    HEAD = "head"
    BODY = "body"
    REST = "rest"
    """Everything until the end of data: a body without a size, a tunnel, or bytes that are not HTTP/1."""


class AnswerFilter:
    """Turns the bytes of the origin, in any segmentation, into the bytes for the client. Never raises."""

    def __init__(self, method: str, *, keeps_alive: bool, may_upgrade: bool = False) -> None:
        """`keeps_alive`: the client may send another request. `may_upgrade`: it has asked for another protocol."""
        self._has_body = method != "HEAD"
        self._may_upgrade = may_upgrade
        self._part = _Part.HEAD
        self._head = bytearray()
        self._body: BodyMeter | None = None
        self.keeps_alive = keeps_alive
        """Whether the connection can carry another request after this answer."""
        self.is_over = False
        """Whether the whole answer has passed; bytes after it are ignored."""
        self.is_raw = False
        """The answer is not HTTP/1, or cannot be parsed: the client may find another end of it than this proxy."""
        self._interim = 0
        self.is_upgraded = False
        """Whether both directions now carry another protocol."""

    def take(self, data: bytes) -> bytes:
        """The bytes for the client that some bytes of the origin result in."""
        out = bytearray()
        while data and not self.is_over:
            match self._part:
                case _Part.HEAD:
                    taken, data = self._take_head(data)
                    out += taken
                case _Part.BODY:
                    assert self._body is not None
                    size = self._body.take(data)
                    out += data[:size]
                    data = data[size:]
                    self.is_over = self._body.is_over
                    if self._body.is_malformed:
                        self.is_over = False
                        self._pass_all()
                case _Part.REST:
                    out += data
                    data = b""
        return bytes(out)

    def end(self) -> bytes:
        """Handles the end of the origin's data: returns the rest of an incomplete head; no request may follow."""
        if not self.is_over:
            self.keeps_alive = False
        out, self._head = bytes(self._head), bytearray()
        return out

    # --- heads ---

    def _take_head(self, data: bytes) -> tuple[bytes, bytes]:
        """The bytes for the client, and the bytes after the head."""
        known = len(self._head)
        self._head += data
        end = self._head.find(b"\r\n\r\n", max(0, known - 3))
        size = len(self._head) if end < 0 else end
        is_odd = self._head.find(b"\n\n", max(0, known - 1), size) >= 0 or not _may_begin(self._head)
        if is_odd or size > MAX_HEAD or self._interim > _MAX_INTERIM:
            return self._pass_all(), b""
        if end < 0:
            return b"", b""
        first, *lines = bytes(self._head[:end]).split(b"\r\n")
        line = _LINE.fullmatch(first)
        if line is None or not all(_FIELD.fullmatch(field) for field in lines):
            return self._pass_all(), b""
        self._head.clear()
        return self._on_head(int(line[2]), first, lines, is_old=line[1] == b"0"), data[end + 4 - known :]

    def _on_head(self, status: int, first: bytes, lines: list[bytes], *, is_old: bool) -> bytes:
        if status == _SWITCHING and self._may_upgrade:
            self.is_upgraded, self.keeps_alive = True, False
            self._part = _Part.REST
            return b"\r\n".join([first, *lines, b"", b""])
        if status in _INTERIM:
            self._interim += 1
            return b"\r\n".join([first, *lines, b"", b""])  # the final head is still to come
        # Parsers differ on where answers of these kinds end.
        self.keeps_alive = self.keeps_alive and not is_old and status >= 200 and status != _RESET_CONTENT
        self._measure(status, lines, is_old=is_old)
        dropped = _OURS | _named(lines)
        kept = [field for field in lines if _name(field) not in dropped]
        if not self.keeps_alive:
            kept.append(b"Connection: close")
        return b"\r\n".join([first, *kept, b"", b""])

    def _measure(self, status: int, lines: list[bytes], *, is_old: bool) -> None:
        """Finds out how the body ends (RFC 9112 section 6.3)."""
        codings = [_value(field).lower() for field in lines if _name(field) == b"transfer-encoding"]
        sizes = {_value(field) for field in lines if _name(field) == b"content-length"}
        self._part = _Part.BODY
        if not self._has_body or status in _WITHOUT_BODY:
            self.is_over = True
        elif codings == [b"chunked"] and not sizes and not is_old:
            self._body = BodyMeter(None)
        elif not codings and status >= 200 and len(sizes) == 1 and (size := sizes.pop()).isdigit() and len(size) < 19:
            self._body = BodyMeter(int(size))
            self.is_over = self._body.is_over
        else:
            self._part, self.keeps_alive = _Part.REST, False

    def _pass_all(self) -> bytes:
        """The answer is not HTTP/1: passes it on unchanged, and ends the reuse of the connection."""
        self._part, self.keeps_alive, self.is_raw = _Part.REST, False, True
        out, self._head = bytes(self._head), bytearray()
        return out


def _may_begin(head: bytearray) -> bool:
    return bytes(head[:7]) == b"HTTP/1."[: len(head)]


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()


def _value(field: bytes) -> bytes:
    return field.partition(b":")[2].strip()


def _named(lines: list[bytes]) -> frozenset[bytes]:
    """The fields that the origin's Connection field names as hop-by-hop, except those that give the body's size."""
    values = b",".join(_value(field) for field in lines if _name(field) == b"connection")
    framing = {b"content-length", b"transfer-encoding"}
    return frozenset(name.strip().lower() for name in values.split(b",")) - framing
