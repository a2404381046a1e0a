"""Events that the owner of a session receives, named in the past tense."""

from dataclasses import dataclass
from enum import StrEnum


class PathStatus(StrEnum):
    """The state of a path, in the words of the status JSON and the console."""

    PROBING = "probing"
    USABLE = "usable"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer has opened a stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDataReceived:
    """In-order data of a stream has arrived. Call `Connection.consume` after it is passed on."""

    stream_id: int
    data: bytes
    end_stream: bool
    """True where the peer has finished its direction; no data follows."""


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer has reset its direction of a stream; data that was not delivered is lost."""

    stream_id: int
    code: int


@dataclass(frozen=True, slots=True)
class StopSendingReceived:
    """The peer no longer wants data of this stream; our direction was reset in response."""

    stream_id: int
    code: int


@dataclass(frozen=True, slots=True)
class StreamWritable:
    """A stream whose `Connection.send_capacity` was 0 can take data again."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """A DATAGRAM frame of a flow has arrived; its copies on other paths were dropped."""

    flow_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PathStatusChanged:
    """The status of a path, as an operator sees it, has changed, and why."""

    path_id: int
    status: PathStatus
    reason: str


@dataclass(frozen=True, slots=True)
class OutageChanged:
    """All paths are down, or the first one answers again. Streams stay open during an outage."""

    is_out: bool
    duration: float
    """Seconds that the outage lasted; 0 when it begins."""


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The server will end: streams of this session go on, and new ones should be opened in another session."""


@dataclass(frozen=True, slots=True)
class ConnectionTerminated:
    """The session is over; all its streams are reset."""

    code: int
    reason: str
    is_remote: bool


Event = (
    StreamOpened
    | StreamDataReceived
    | StreamReset
    | StopSendingReceived
    | StreamWritable
    | DatagramReceived
    | PathStatusChanged
    | OutageChanged
    | GoAwayReceived
    | ConnectionTerminated
)
