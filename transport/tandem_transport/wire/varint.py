"""Variable-length integers (RFC 9000 section 16), and the reader that decodes everything received."""

from tandem_transport.errors import DecodeError
from tandem_transport.parameters import MAX_VARINT


def encode_varint(value: int) -> bytes:
    """Encodes an integer in 1, 2, 4 or 8 bytes, for values below 2^6, 2^14, 2^30 and 2^62."""
    if value < 0x40:
        return value.to_bytes(1, "big")
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value < 0x4000_0000:
        return (value | 0x8000_0000).to_bytes(4, "big")
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def varint_size(value: int) -> int:
    """Number of bytes that `encode_varint` needs for a value."""
    if value < 0x40:
        return 1
    if value < 0x4000:
        return 2
    return 4 if value < 0x4000_0000 else 8


class Reader:
    """Reads bytes from the front. Every method raises DecodeError where too few are left."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._end = len(data)

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return self._end - self._position

    def varint(self) -> int:
        """The next integer, 0 to 2^62 - 1."""
        position = self._position
        if position >= self._end:
            raise DecodeError("an integer is missing")
        data = self._data
        first = data[position]
        if first < 0x40:
            self._position = position + 1
            return first
        size = 1 << (first >> 6)
        end = position + size
        if end > self._end:
            raise DecodeError("an integer is cut short")
        self._position = end
        if size == 2:
            return (first & 0x3F) << 8 | data[position + 1]
        if size == 4:
            high = (first & 0x3F) << 8 | data[position + 1]
            return high << 16 | data[position + 2] << 8 | data[position + 3]
        return int.from_bytes(data[position:end], "big") & MAX_VARINT

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self._position
        end = start + size
        if end > self._end:
            raise DecodeError(f"{size} bytes announced, {self._end - start} left")
        self._position = end
        return self._data[start:end]

    def rest(self) -> bytes:
        """All bytes that are left."""
        start, self._position = self._position, self._end
        return self._data[start:]

    def skip_zeros(self) -> None:
        """Skips the zero bytes that come next (PADDING frames)."""
        left = len(self._data[self._position :].lstrip(b"\0"))
        self._position = self._end - left
