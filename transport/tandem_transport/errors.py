"""Errors: the peer's fault, our caller's fault, or the end of a session."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Codes of CONNECTION_CLOSE and RESET_STREAM (the names of RFC 9000 section 20 where it has them)."""

    NO_ERROR = 0x0
    INTERNAL_ERROR = 0x1
    FLOW_CONTROL_ERROR = 0x3
    STREAM_LIMIT_ERROR = 0x4
    STREAM_STATE_ERROR = 0x5
    FINAL_SIZE_ERROR = 0x6
    FRAME_ENCODING_ERROR = 0x7
    PROTOCOL_VIOLATION = 0xA
    SHUTTING_DOWN = 0x20
    """The process ends because its user stopped it."""
    REPLACED = 0x21
    """A newer session of the same client instance, or of another one with the same key, takes the place of this one."""
    REVOKED = 0x22
    """The client's key is no longer registered."""
    TIMED_OUT = 0x23
    """Nothing was received for longer than the timeout of a session."""
    FORGOTTEN = 0x24
    """The peer no longer knows the session (a stateless reset)."""
    STREAM_CANCELLED = 0x30
    """RESET_STREAM: the application gave up the stream; it becomes a TCP reset at the far end."""


class TransportError(Exception):
    """Base class of every error that the transport raises. It is never raised itself."""


class LocalProtocolError(TransportError):
    """The caller asked for what the protocol does not allow, such as data on a finished stream."""


class DecodeError(TransportError):
    """Bytes from the peer that cannot be decoded. Always caught inside the transport."""


class PeerError(TransportError):
    """An authenticated peer broke the protocol; the session is closed with this code.

    Always caught inside the transport.
    """

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


class SessionClosed(TransportError, ConnectionResetError):
    """The session is over. `is_remote` tells whether the other side ended it."""

    def __init__(self, code: int, reason: str, *, is_remote: bool) -> None:
        who = "the other side" if is_remote else "this side"
        super().__init__(f"session closed by {who}: {reason or error_name(code)}")
        self.code = code
        self.reason = reason
        self.is_remote = is_remote


class StreamReset(TransportError, ConnectionResetError):
    """The stream was reset, by either side or with its session; data may be missing."""

    def __init__(self, code: int) -> None:
        super().__init__(f"stream reset: {error_name(code)}")
        self.code = code


def error_name(code: int) -> str:
    """The name of an error code in lower case with spaces, or its number if it has no name."""
    try:
        return ErrorCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"code {code}"
