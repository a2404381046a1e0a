"""The messages of SOCKS version 5 (RFC 1928, RFC 1929): values, parsing, serialising.

Parsers look at the front of a buffer and return the message and its size, or None where more
bytes are needed, so that any segmentation of the input gives the same result.
"""

import ipaddress
from enum import IntEnum

from tandem_socks.errors import Reply, SocksError
from tandem_socks.request import Command, Request

VERSION = 5

_CREDENTIALS_VERSION = 1


class Method(IntEnum):
    """Authentication methods (RFC 1928 section 3)."""

    NO_AUTHENTICATION_REQUIRED = 0x00
    USERNAME_PASSWORD = 0x02
    NO_ACCEPTABLE_METHODS = 0xFF


class AddressType(IntEnum):
    """ATYP (RFC 1928 section 5)."""

    IPV4 = 1
    DOMAIN_NAME = 3
    IPV6 = 4


def parse_greeting(buffer: bytes) -> tuple[tuple[int, ...], int] | None:
    """The methods that a client offers, and the message's size. Raises SocksError where it does not speak SOCKS 5."""
    if buffer and buffer[0] != VERSION:
        raise SocksError(None, f"first byte is {buffer[0]:#04x}, SOCKS 5 begins with 0x05")
    if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
        return None
    size = 2 + buffer[1]
    return tuple(buffer[2:size]), size


def parse_request(buffer: bytes) -> tuple[Request, int] | None:
    """A request and its size. Raises SocksError with the reply for the client."""
    if buffer and buffer[0] != VERSION:
        raise SocksError(Reply.GENERAL_FAILURE, f"version {buffer[0]} in a request")
    if len(buffer) < 4:
        return None
    found = _parse_host(buffer)
    if found is None or len(buffer) < found[1] + 2:
        return None
    host, end = found
    if buffer[1] not in Command.__members__.values():
        raise SocksError(Reply.COMMAND_NOT_SUPPORTED, f"command {buffer[1]}")
    port = int.from_bytes(buffer[end : end + 2], "big")
    return Request(Command(buffer[1]), host, port), end + 2


def parse_credentials(buffer: bytes) -> tuple[tuple[str, str], int] | None:
    """Name and password, and the message's size (RFC 1929 section 2). Raises SocksError for another version."""
    if buffer and buffer[0] != _CREDENTIALS_VERSION:
        raise SocksError(None, f"version {buffer[0]} of the password negotiation")
    if len(buffer) < 2 or len(buffer) < 3 + buffer[1]:
        return None
    name_end = 2 + buffer[1]
    end = name_end + 1 + buffer[name_end]
    if len(buffer) < end:
        return None
    name, password = buffer[2:name_end], buffer[name_end + 1 : end]
    return (name.decode(errors="replace"), password.decode(errors="replace")), end


def encode_credentials_status(*, is_accepted: bool) -> bytes:
    """The server's answer to a password; after a failure it closes the connection (RFC 1929 section 2)."""
    return bytes([_CREDENTIALS_VERSION, 0 if is_accepted else 1])


def encode_method(method: Method) -> bytes:
    """The message that tells the method that the server has chosen."""
    return bytes([VERSION, method])


def encode_reply(reply: Reply, host: str = "0.0.0.0", port: int = 0) -> bytes:
    """A whole reply; `host` is the bound address, all zeros where it is not known."""
    return bytes([VERSION, reply, 0]) + _encode_address(host, port)


def parse_datagram(data: bytes) -> tuple[str, int, bytes]:
    """Destination and content of a UDP request (RFC 1928 section 7). Raises SocksError where it must be dropped."""
    if len(data) < 4:
        raise SocksError(None, "shorter than its header")
    if data[2] != 0:
        raise SocksError(None, "a fragment")
    found = _parse_host(data)
    if found is None or len(data) < found[1] + 2:
        raise SocksError(None, "shorter than its header")
    host, end = found
    return host, int.from_bytes(data[end : end + 2], "big"), data[end + 2 :]


def encode_datagram(host: str, port: int, data: bytes) -> bytes:
    """The UDP datagram for a client: the sender's literal address and port, and the content."""
    return bytes([0, 0, 0]) + _encode_address(host, port) + data


def _encode_address(host: str, port: int) -> bytes:
    """ATYP, address and port; zeros for what is not a literal address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = ipaddress.IPv4Address(0)
    address_type = AddressType.IPV4 if address.version == 4 else AddressType.IPV6
    return bytes([address_type]) + address.packed + port.to_bytes(2, "big")


def _parse_host(buffer: bytes) -> tuple[str, int] | None:
    """DST.ADDR and the position after it."""
    match buffer[3]:
        case AddressType.IPV4:
            end = 4 + 4
            return None if len(buffer) < end else (str(ipaddress.IPv4Address(buffer[4:end])), end)
        case AddressType.IPV6:
            end = 4 + 16
            return None if len(buffer) < end else (str(ipaddress.IPv6Address(buffer[4:end])), end)
        case AddressType.DOMAIN_NAME:
            if len(buffer) < 5 or len(buffer) < 5 + buffer[4]:
                return None
            end = 5 + buffer[4]
            return host_name(buffer[5:end]), end
        case other:
            raise SocksError(Reply.ADDRESS_TYPE_NOT_SUPPORTED, f"address type {other}")


def host_name(data: bytes) -> str:
    """A host name that a client sent, in UTF-8. Raises SocksError where it cannot be one."""
    try:
        name = data.decode()
    except UnicodeDecodeError:
        name = ""
    if not name or not name.isprintable() or " " in name:
        raise SocksError(Reply.HOST_UNREACHABLE, f"{data!r} is not a host name")
    return name
