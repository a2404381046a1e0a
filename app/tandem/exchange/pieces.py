"""UDP datagrams that may be larger than a packet of the session: cut into pieces, and reassembled.

    piece:   number of the datagram (2 bytes), index of the piece (1), index of the last (1), bytes
    datagram: host (text), port (2 bytes), content

A datagram arrives whole or not at all: one lost piece drops all of it, as with IP fragments.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, field

HEAD_SIZE = 4

MAX_PIECES = 256
MAX_UNFINISHED = 16
"""The maximum number of datagrams that wait for pieces; beyond it, the oldest are dropped."""

MAX_DATAGRAM = 66_000
"""The maximum size of a datagram in bytes, with its host and port."""

MAX_UNFINISHED_SIZE = 256 << 10
"""The maximum size of all unfinished datagrams together, in bytes; beyond it, the oldest are dropped."""

PIECE_LIFETIME = 5.0
"""Seconds after which an unfinished datagram is dropped."""


def encode_datagram(host: str, port: int, data: bytes) -> bytes:
    """A datagram with its host and port. Raises ValueError for a host of over 255 bytes."""
    name = host.encode()
    return bytes([len(name)]) + name + port.to_bytes(2, "big") + data


def decode_datagram(datagram: bytes) -> tuple[str, int, bytes] | None:
    """Host, port and content of a datagram, None where it is malformed."""
    end = 1 + datagram[0] if datagram else 1
    if len(datagram) < end + 2:
        return None
    try:
        host = datagram[1:end].decode()
    except UnicodeDecodeError:
        return None
    if not host.isprintable():
        return None
    return host, int.from_bytes(datagram[end : end + 2], "big"), datagram[end + 2 :]


class Cutter:
    """Cuts datagrams and numbers them."""

    def __init__(self) -> None:
        self._number = -1

    def cut(self, datagram: bytes, room: int) -> list[bytes]:
        """The pieces of a datagram, of at most `room` bytes each; none where there would be more than MAX_PIECES."""
        size = room - HEAD_SIZE
        count = max(1, -(-len(datagram) // size))
        if count > MAX_PIECES:
            return []
        self._number = (self._number + 1) & 0xFFFF
        head = self._number.to_bytes(2, "big")
        return [head + bytes([i, count - 1]) + datagram[i * size : (i + 1) * size] for i in range(count)]


@dataclass(slots=True)
class _Unfinished:
    began_at: float
    last: int
    size: int = 0
    pieces: dict[int, bytes] = field(default_factory=dict[int, bytes])


class Joiner:
    """Reassembles datagrams from pieces that arrive in any order."""

    def __init__(self) -> None:
        self._unfinished: OrderedDict[int, _Unfinished] = OrderedDict()
        """The unfinished datagrams by number, the oldest first."""
        self._size = 0
        self.dropped = 0
        """The number of datagrams that were dropped unfinished."""

    @property
    def buffered(self) -> int:
        """Bytes of unfinished datagrams."""
        return self._size

    def join(self, piece: bytes) -> bytes | None:
        """The datagram that this piece completes, None where there is none yet."""
        if len(piece) < HEAD_SIZE or piece[2] > piece[3]:
            return None
        if piece[3] == 0:
            return piece[HEAD_SIZE:]
        now = time.monotonic()
        number = int.from_bytes(piece[:2], "big")
        self._make_room(now)
        unfinished = self._unfinished.get(number)
        if unfinished is None or unfinished.last != piece[3]:
            self._drop(number)
            unfinished = self._unfinished[number] = _Unfinished(now, piece[3])
        return self._add(number, unfinished, piece[2], piece[HEAD_SIZE:])

    def _add(self, number: int, unfinished: _Unfinished, index: int, data: bytes) -> bytes | None:
        if index not in unfinished.pieces:
            unfinished.pieces[index] = data
            unfinished.size += len(data)
            self._size += len(data)
        if unfinished.size > MAX_DATAGRAM:
            self._drop(number)
        if len(unfinished.pieces) <= unfinished.last or number not in self._unfinished:
            return None
        self._size -= self._unfinished.pop(number).size
        return b"".join(unfinished.pieces[i] for i in range(unfinished.last + 1))

    def _make_room(self, now: float) -> None:
        """Drops unfinished datagrams that are too old, and the oldest where there are too many."""
        while self._unfinished:
            number, oldest = next(iter(self._unfinished.items()))
            is_young = now - oldest.began_at < PIECE_LIFETIME
            if is_young and len(self._unfinished) < MAX_UNFINISHED and self._size < MAX_UNFINISHED_SIZE:
                return
            self._drop(number)

    def _drop(self, number: int) -> None:
        unfinished = self._unfinished.pop(number, None)
        if unfinished is not None:
            self.dropped += 1
            self._size -= unfinished.size
