"""Datagrams in a byte stream: each with its length before it (PROTOCOL.md section 8)."""

from collections.abc import Iterable, Iterator

from tandem_transport.parameters import MAX_FRAME_SIZE

_LENGTH = 2


def framed(batch: Iterable[bytes]) -> bytes:
    """Datagrams as bytes of a stream."""
    return b"".join(len(data).to_bytes(_LENGTH, "big") + data for data in batch)


class FrameReader:
    """Takes the bytes of a stream as they come, and gives the datagrams."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.is_broken = False
        """A length was no length of a datagram: whoever speaks there speaks something else."""

    def datagrams(self, data: bytes) -> Iterator[bytes]:
        """Adds bytes; gives the datagrams that are complete now."""
        buffer, position = self._buffer, 0
        buffer += data
        while not self.is_broken and len(buffer) - position >= _LENGTH:
            size = int.from_bytes(buffer[position : position + _LENGTH], "big")
            if not 0 < size <= MAX_FRAME_SIZE:
                self.is_broken = True
            elif len(buffer) - position < _LENGTH + size:
                break
            else:
                position += _LENGTH
                yield bytes(buffer[position : position + size])
                position += size
        del buffer[:position]
