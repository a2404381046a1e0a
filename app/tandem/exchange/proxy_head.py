"""The head of the PROXY protocol, version 2: it tells a target who the peer is that a proxy connects to it.

Source: haproxy's proxy-protocol.txt, section 2.2.
"""

import ipaddress

from tandem.exchange.arrival import Arrival, Protocol

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY = 0x21
"""Version 2, on behalf of another host."""

_KINDS = {Protocol.TCP: 1, Protocol.UDP: 2}


def proxy_head(arrival: Arrival) -> bytes:
    """The head with the addresses of an arrival: at the beginning of a connection, or of each datagram.

    Where the addresses are of two families, or no addresses, it says that they are not known.
    """
    try:
        peer, reached = ipaddress.ip_address(arrival.peer[0]), ipaddress.ip_address(arrival.reached[0])
    except ValueError:
        return _head(0, b"")
    if peer.version != reached.version:
        return _head(0, b"")
    family = 0x10 if peer.version == 4 else 0x20
    ports = arrival.peer[1].to_bytes(2, "big") + arrival.reached[1].to_bytes(2, "big")
    return _head(family | _KINDS[arrival.protocol], peer.packed + reached.packed + ports)


def _head(kind: int, addresses: bytes) -> bytes:
    return _SIGNATURE + bytes([_PROXY, kind]) + len(addresses).to_bytes(2, "big") + addresses
