"""What the owner of a connection can learn, as facts in the past tense."""

from dataclasses import dataclass
from enum import StrEnum


class PathStatus(StrEnum):
    """The words of the status JSON and the console."""

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
    """In-order data of a stream. Call `Connection.consume` once it has been passed on."""

    stream_id: int
    data: bytes
    end_stream: bool
    """True where the peer has finished its direction; no data follows."""


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer has abandoned its direction; what has not been delivered never will be."""

    stream_id: int
    code: int


@dataclass(frozen=True, slots=True)
class StopSendingReceived:
    """The peer no longer wants data of this stream; our direction was reset in answer."""

    stream_id: int
    code: int


@dataclass(frozen=True, slots=True)
class StreamWritable:
    """A stream that could take nothing can take data again (`Connection.send_capacity`)."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """An unreliable message of a flow; its twins on other paths were dropped."""

    flow_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PathStatusChanged:
    """A path's state as an operator sees it, and why it changed."""

    path_id: int
    status: PathStatus
    reason: str


@dataclass(frozen=True, slots=True)
class OutageChanged:
    """All paths are down, or the first one has answered again. Streams are held meanwhile."""

    is_out: bool
    duration: float
    """Seconds that the outage lasted; 0 at its beginning."""


@dataclass(frozen=True, slots=True)
class ConnectionTerminated:
    """The session is over; every stream of it is reset."""

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
    | ConnectionTerminated
)
