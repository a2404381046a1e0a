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
from typing import NamedTuple

from tandem_transport.parameters import MAX_PACKETS_PER_DATAGRAM, TAG_SIZE

_PREFIX = Struct(">B16sBH")
_TRANSPORT = Struct(">B16sBHHI")
_NUMBER = Struct(">HI")

PREFIX_SIZE = _PREFIX.size
HEADER_SIZE = _TRANSPORT.size
OVERHEAD = HEADER_SIZE + TAG_SIZE
"""Bytes of a transport packet that are not payload."""

_KEY_PHASE = 0x01
_RESERVED = 0x0E


class PacketType(IntEnum):
    """The type of a packet: the upper four bits of the flags byte."""

    INITIATION = 1
    RESPONSE = 2
    COOKIE = 3
    CHALLENGE = 4
    REFUSED = 5
    TRANSPORT = 6
    STATELESS_RESET = 7


class PacketView(NamedTuple):
    """One packet as it is in a datagram; nothing of it is authenticated yet."""

    packet_type: PacketType
    key_phase: int
    connection_id: bytes
    path_id: int
    data: bytes
    """The whole packet, header included."""
    packet_number: int
    """The packet number of a TRANSPORT packet; 0 in other packets."""

    @property
    def body(self) -> bytes:
        """What follows the prefix in a handshake message."""
        return self.data[PREFIX_SIZE:]


class Transmit(NamedTuple):
    """A datagram to send."""

    path_id: int
    data: bytes
    address: Hashable
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
    if len(datagram) - position < PREFIX_SIZE:
        return None
    flags, connection_id, path_id, length = _PREFIX.unpack_from(datagram, position)
    packet_type = _TYPES.get(flags >> 4)
    if packet_type is None or flags & _RESERVED or position + length > len(datagram):
        return None
    number = 0
    if packet_type is PacketType.TRANSPORT:
        if length < OVERHEAD:
            return None
        high, low = _NUMBER.unpack_from(datagram, position + PREFIX_SIZE)
        number = high << 32 | low
    elif length < PREFIX_SIZE:
        return None
    whole = position == 0 and length == len(datagram)
    data = datagram if whole else datagram[position : position + length]
    return PacketView(packet_type, flags & _KEY_PHASE, connection_id, path_id, data, number)


def transport_header(key_phase: int, connection_id: bytes, path_id: int, size: int, number: int) -> bytes:
    """The header of a TRANSPORT packet with `size` bytes of payload."""
    flags = PacketType.TRANSPORT << 4 | key_phase
    return _TRANSPORT.pack(flags, connection_id, path_id, size + OVERHEAD, number >> 32, number & 0xFFFF_FFFF)


def message(packet_type: PacketType, connection_id: bytes, body: bytes) -> bytes:
    """A packet of any type but TRANSPORT."""
    return _PREFIX.pack(packet_type << 4, connection_id, 0, PREFIX_SIZE + len(body)) + body


_TYPES = {int(packet_type): packet_type for packet_type in PacketType}
