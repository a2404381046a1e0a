"""Tandem's transport: one encrypted session of many streams over several UDP paths at once.

The core is sans-I/O: `ClientEndpoint`, `ServerEndpoint` and `Connection` (the protocol state of one
session) take datagrams and times, and return datagrams and times. Only `tandem_transport.driver` has
sockets and a clock. Read `events`, then the docstring of `Connection`, then PROTOCOL.md beside `frames`.
"""

from tandem_transport.bounded_table import BoundedTable
from tandem_transport.crypto.handshake import Refusal
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.admission import PENDING, Denial, Lookup, Pending
from tandem_transport.endpoint.client import (
    ClientEndpoint,
    ClientEvent,
    Connected,
    HandshakeRefused,
    HandshakeUnanswered,
)
from tandem_transport.endpoint.limits import ServerLimits, ServerTerms
from tandem_transport.endpoint.placement import Placement
from tandem_transport.endpoint.server import ServerEndpoint, ServerEvent, SessionEvent, SessionStarted
from tandem_transport.endpoint.sessions import ClientSession
from tandem_transport.errors import (
    ErrorCode,
    LocalProtocolError,
    SessionClosed,
    StreamReset,
    TransportError,
    error_name,
)
from tandem_transport.events import PathStatus
from tandem_transport.parameters import MAX_PATHS
from tandem_transport.session.connection import Connection
from tandem_transport.session.options import SessionOptions
from tandem_transport.session.stats import ConnectionStats, PathStats
from tandem_transport.text import printable
from tandem_transport.wire.frames import Mode, PathPreference, PathUse
from tandem_transport.wire.packets import Transmit
from tandem_transport.wire.transport_parameters import CipherSuite, TransportParameters

__all__ = [
    "MAX_PATHS",
    "PENDING",
    "BoundedTable",
    "CipherSuite",
    "ClientEndpoint",
    "ClientEvent",
    "ClientSession",
    "Connected",
    "Connection",
    "ConnectionStats",
    "Denial",
    "ErrorCode",
    "HandshakeRefused",
    "HandshakeUnanswered",
    "LocalProtocolError",
    "Lookup",
    "Mode",
    "PathPreference",
    "PathStats",
    "PathStatus",
    "PathUse",
    "Pending",
    "Placement",
    "Refusal",
    "ServerEndpoint",
    "ServerEvent",
    "ServerLimits",
    "ServerTerms",
    "SessionClosed",
    "SessionEvent",
    "SessionOptions",
    "SessionStarted",
    "StreamReset",
    "Transmit",
    "TransportError",
    "TransportParameters",
    "error_name",
    "printable",
    "public_key",
]
