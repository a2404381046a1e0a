"""A proxy front end: SOCKS 5, 4 and 4a, and HTTP, on one port (RFC 1928, RFC 1929, RFC 9110).

All modules in `dialects` are sans-I/O. `SocksFrontend` listens, and asks a `FarSide` for streams, listening
ports and datagrams; it does not know what carries them.
"""

from tandem_socks.dialects.negotiation import State, Terms
from tandem_socks.dialects.protocol import ServerConnection
from tandem_socks.errors import Reply, SocksError, reply_of
from tandem_socks.far_side import Association, Binding, ByteStream, FarReset, FarSide, Opened, Receive
from tandem_socks.frontend.frontend import Authenticate, FrontendOptions, SocksFrontend, admits
from tandem_socks.request import Command, Request
from tandem_socks.tcp.connection import TcpConnection
from tandem_socks.tcp.listener import Listener
from tandem_socks.tcp.relay import Relay, RelayResult
from tandem_socks.tcp.waiting import first_of_two

__all__ = [
    "Association",
    "Authenticate",
    "Binding",
    "ByteStream",
    "Command",
    "FarReset",
    "FarSide",
    "FrontendOptions",
    "Listener",
    "Opened",
    "Receive",
    "Relay",
    "RelayResult",
    "Reply",
    "Request",
    "ServerConnection",
    "SocksError",
    "SocksFrontend",
    "State",
    "TcpConnection",
    "Terms",
    "admits",
    "first_of_two",
    "reply_of",
]
