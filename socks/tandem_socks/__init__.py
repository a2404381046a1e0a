"""A SOCKS 5 front end (RFC 1928): CONNECT without authentication, exact replies, half-close, resets.

`messages` and `protocol` are sans-I/O. `SocksFrontend` listens, and asks its owner for a far
stream through the small `OpenStream` and `ByteStream`; it knows nothing of what carries them.
"""

from tandem_socks.errors import Reply, SocksError, reply_of
from tandem_socks.frontend import Opened, SocksFrontend
from tandem_socks.messages import Command, Request
from tandem_socks.protocol import ServerConnection, State
from tandem_socks.relay import ByteStream, FarReset, Relay, RelayResult
from tandem_socks.tcp import TcpConnection

__all__ = [
    "ByteStream",
    "Command",
    "FarReset",
    "Opened",
    "Relay",
    "RelayResult",
    "Reply",
    "Request",
    "ServerConnection",
    "SocksError",
    "SocksFrontend",
    "State",
    "TcpConnection",
    "reply_of",
]
