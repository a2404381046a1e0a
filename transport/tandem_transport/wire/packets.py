"""The header that every packet begins with (PROTOCOL.md section 2).

     0       1                 17      18       20              26
    +-------+-----------------+-------+--------+---------------+----------
    | flags |  connection id  | path  | length | packet number | payload ...
    +-------+-----------------+-------+--------+---------------+----------

Handshake messages have no packet number. The length is that of the whole packet, so that
one datagram may hold several packets, and UDP_GRO may merge datagrams.
"""

from collections.abc import Hashable
from enum import IntEnum
from struct import Struct
from typing import Final, final

from tandem_transport.parameters import MAX_PACKETS_PER_DATAGRAM, TAG_SIZE

_PREFIX: Final = Struct(">B16sBH")
_TRANSPORT: Final = Struct(">B16sBHHI")

PREFIX_SIZE: Final = 20
HEADER_SIZE: Final = 26
OVERHEAD: Final = HEADER_SIZE + TAG_SIZE
"""Bytes of a transport packet that are not payload."""

_Header = tuple[int, bytes, int, int, int, int]
"""Flags, connection id, path id, length, and the upper 16 and lower 32 bits of the packet number."""

_KEY_PHASE: Final = 0x01
_RESERVED: Final = 0x0E


class PacketType(IntEnum):
    """The type of a packet: the upper four bits of the flags byte."""

    INITIATION = 1
    RESPONSE = 2
    COOKIE = 3
    CHALLENGE = 4
    REFUSED = 5
    TRANSPORT = 6
    STATELESS_RESET = 7


@final
class PacketView:
    """One packet as it is in a datagram; nothing of it is authenticated yet."""

    # There is one for each packet: the compiled core makes an object with slots five times as fast as a NamedTuple.
    __slots__ = ("connection_id", "data", "key_phase", "packet_number", "packet_type", "path_id")

    def __init__(
        self, packet_type: PacketType, key_phase: int, connection_id: bytes, path_id: int, data: bytes, number: int
    ) -> None:
        self.packet_type = packet_type
        self.key_phase = key_phase
        self.connection_id = connection_id
        self.path_id = path_id
        self.data = data
        """The whole packet, header included."""
        self.packet_number = number
        """The packet number of a TRANSPORT packet; 0 in other packets."""

    @property
    def body(self) -> bytes:
        """What follows the prefix in a handshake message."""
        return self.data[PREFIX_SIZE:]


@final
class Transmit:
    """A datagram to send."""

    __slots__ = ("address", "data", "path_id")

    def __init__(self, path_id: int, data: bytes, address: Hashable) -> None:
        self.path_id = path_id
        self.data = data
        self.address = address
        """Destination, as the driver named it in `receive_datagram`; None for the path's own endpoint."""


def split_datagram(datagram: bytes) -> list[PacketView]:
    """The packets of a datagram up to the first malformed one, at most MAX_PACKETS_PER_DATAGRAM."""
    views: list[PacketView] = []
    position, end = 0, len(datagram)
    while position < end and len(views) < MAX_PACKETS_PER_DATAGRAM:
        view = _view(datagram, position)
        if view is None:
            break
        views.append(view)
        position += len(view.data)
    return views


def _view(datagram: bytes, position: int) -> PacketView | None:
    if len(datagram) - position < HEADER_SIZE:  # messages are longer, too: none has so short a body
        return None
    header: _Header = _TRANSPORT.unpack_from(datagram, position)
    flags, connection_id, path_id, length, high, low = header
    packet_type = _TYPES.get(flags >> 4)
    if packet_type is None or flags & _RESERVED or length < HEADER_SIZE or position + length > len(datagram):
        return None
    is_transport = flags >> 4 == _TRANSPORT_TYPE
    if is_transport and length < OVERHEAD:
        return None
    number = high << 32 | low if is_transport else 0
    whole = position == 0 and length == len(datagram)
    data = datagram if whole else datagram[position : position + length]
    return PacketView(packet_type, flags & _KEY_PHASE, connection_id, path_id, data, number)


def transport_header(key_phase: int, connection_id: bytes, path_id: int, size: int, number: int) -> bytes:
    """The header of a TRANSPORT packet with `size` bytes of payload."""
    flags = _TRANSPORT_TYPE << 4 | key_phase
    return _TRANSPORT.pack(flags, connection_id, path_id, size + OVERHEAD, number >> 32, number & 0xFFFF_FFFF)


def message(packet_type: PacketType, connection_id: bytes, body: bytes) -> bytes:
    """A packet of any type but TRANSPORT."""
    return _PREFIX.pack(packet_type << 4, connection_id, 0, PREFIX_SIZE + len(body)) + body


_TRANSPORT_TYPE: Final = int(PacketType.TRANSPORT)
_TYPES: Final = {int(packet_type): packet_type for packet_type in PacketType}
