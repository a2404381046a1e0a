"""Finds the end of one message body, so that the bytes after it are not sent to the origin of this request."""

from enum import Enum

_MAX_LINE = 1024
"""Limit of bytes of a chunk's size line, or of a trailer field."""


class _Part(Enum):
    SIZE = "size"
    DATA = "data"
    DATA_END = "end of data"
    TRAILER = "trailer"


class BodyMeter:
    """Counts how many of the received bytes belong to the body (RFC 9112 sections 6 and 7.1)."""

    def __init__(self, size: int | None) -> None:
        """`size` in bytes, None for a chunked body."""
        self._is_chunked = size is None
        self._left = size or 0
        self._part = _Part.SIZE
        self._line = bytearray()
        self.is_over = size == 0
        self.is_malformed = False
        """The body is over because of malformed chunks: its end is not known."""

    def take(self, data: bytes) -> int:
        """How many bytes of `data` belong to the body; the others come after it. Malformed chunks end the body."""
        if not self._is_chunked:
            size = min(self._left, len(data))
            self._left -= size
            self.is_over = self._left == 0
            return size
        position = 0
        while position < len(data) and not self.is_over:
            position += self._take_part(data, position)
        return position

    def _take_part(self, data: bytes, position: int) -> int:
        if self._part is _Part.DATA:
            size = min(self._left, len(data) - position)
            self._left -= size
            if self._left == 0:
                self._part = _Part.DATA_END
            return size
        end = data.find(b"\n", position) + 1 or len(data)
        self._line += data[position:end]
        if self._line.endswith(b"\n"):
            line, self._line = bytes(self._line).strip(), bytearray()
            self._on_line(line)
        elif len(self._line) > _MAX_LINE:
            self._give_up()
        return end - position

    def _on_line(self, line: bytes) -> None:
        match self._part:
            case _Part.SIZE:
                self._on_size(line.partition(b";")[0].strip())
            case _Part.TRAILER:
                self.is_over = not line
            case _:
                self._part = _Part.SIZE
                if line:  # data where only CR LF may stand
                    self._give_up()

    def _on_size(self, text: bytes) -> None:
        digits = b"0123456789abcdefABCDEF"
        if not text or len(text) > 15 or text.strip(digits):
            self._give_up()
            return
        self._left = int(text, 16)
        self._part = _Part.DATA if self._left else _Part.TRAILER

    def _give_up(self) -> None:
        self.is_over = self.is_malformed = True
