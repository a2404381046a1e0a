"""The only part of the transport that uses sockets, clocks and an event loop.

`ClientDriver` and `ServerDriver` run the sans-I/O endpoints under asyncio; `Stream` is what an
application reads and writes.
"""

from tandem_transport.driver.client import ClientDriver, local_identity
from tandem_transport.driver.detour import time_tls
from tandem_transport.driver.fallback import Transport
from tandem_transport.driver.link import Gate, Link, LocalAddress, Resolve
from tandem_transport.driver.names import Names
from tandem_transport.driver.server import ServerDriver
from tandem_transport.driver.server_sockets import Source, source_of_address
from tandem_transport.driver.session import SessionStreams
from tandem_transport.driver.sockets import UdpAddress, family_of, format_address, interface_index, share_port
from tandem_transport.driver.steering import can_steer, empty, open_group, steer
from tandem_transport.driver.stream import Stream
from tandem_transport.driver.targets import Endpoint
from tandem_transport.path.carrier import Carrier

__all__ = [
    "Carrier",
    "ClientDriver",
    "Endpoint",
    "Gate",
    "Link",
    "LocalAddress",
    "Names",
    "Resolve",
    "ServerDriver",
    "SessionStreams",
    "Source",
    "Stream",
    "Transport",
    "UdpAddress",
    "can_steer",
    "empty",
    "family_of",
    "format_address",
    "interface_index",
    "local_identity",
    "open_group",
    "share_port",
    "source_of_address",
    "steer",
    "time_tls",
]
