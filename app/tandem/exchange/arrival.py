"""What stands at the head of a stream that a server opens: who has reached a published port (PROTOCOL.md section 7.2).

arrival: protocol (1 byte, an IP protocol number), flags (1), name of the [[publish]] (text),
         peer's host (text), its port (2), host that it has reached (text), port (2)

The client answers like a server does. The bytes of a TCP connection follow; the datagrams of a UDP peer travel in
DATAGRAM frames, in pieces (`pieces.py`), without addresses.
"""

import socket
from dataclasses import dataclass
from enum import IntEnum

from tandem.base.addresses import format_host_port
from tandem.exchange.request import RequestError, encode_text, read_text
from tandem_transport import printable
from tandem_transport.driver import Stream

HostPort = tuple[str, int]

_WANTS_HEAD = 1


class Protocol(IntEnum):
    """What arrives at a published port, by its IP protocol number."""

    TCP = socket.IPPROTO_TCP
    UDP = socket.IPPROTO_UDP


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection, or the first datagram of a peer, at a published port."""

    protocol: Protocol
    name: str
    """The name of the `[[publish]]`."""
    peer: HostPort
    reached: HostPort
    """The address of the server that the peer has reached."""
    wants_head: bool = False
    """Whether the target is to get the peer's address in a PROXY protocol head."""

    def __str__(self) -> str:
        return f"{self.without_target} from {format_host_port(*self.peer)}"

    @property
    def without_target(self) -> str:
        """The publication, without the peer's address."""
        return f"{self.name} ({self.protocol.name.lower()})"

    def encode(self) -> bytes:
        """The arrival as bytes on the wire."""
        flags = _WANTS_HEAD if self.wants_head else 0
        return bytes([self.protocol, flags]) + encode_text(self.name) + _encode(self.peer) + _encode(self.reached)


async def read_arrival(stream: Stream) -> Arrival:
    """Reads an arrival from its stream. Raises RequestError, and what `Stream.read` raises."""
    try:
        protocol, flags = await stream.read_exactly(2)
        name = printable(await read_text(stream))
        peer, reached = await _read(stream), await _read(stream)
        return Arrival(Protocol(protocol), name, peer, reached, bool(flags & _WANTS_HEAD))
    except (EOFError, ValueError) as error:
        raise RequestError(str(error)) from error


def _encode(place: HostPort) -> bytes:
    return encode_text(place[0]) + place[1].to_bytes(2, "big")


async def _read(stream: Stream) -> HostPort:
    host = printable(await read_text(stream))
    return host, int.from_bytes(await stream.read_exactly(2), "big")
