"""Errors of requests, and the table that maps them to SOCKS replies."""

import errno
from enum import IntEnum


class Reply(IntEnum):
    """The values of REP, the reply to a request (RFC 1928 section 6)."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    CONNECTION_NOT_ALLOWED_BY_RULESET = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


class SocksError(Exception):
    """A request cannot be served.

    Attributes:
        reply: The reply to the client, None to close without one.
        is_timeout: Whether nothing answered in time; HTTP has a status of its own for this.
    """

    def __init__(self, reply: Reply | None, text: str, *, is_timeout: bool = False) -> None:
        super().__init__(text)
        self.reply = reply
        self.is_timeout = is_timeout

    @property
    def without_target(self) -> str:
        """The error in words that do not name the target."""
        return self.reply.name.lower().replace("_", " ") if self.reply is not None else "closed"


_REPLY_OF_ERRNO = {
    errno.ENETUNREACH: Reply.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Reply.NETWORK_UNREACHABLE,
    errno.EAFNOSUPPORT: Reply.NETWORK_UNREACHABLE,
    errno.EADDRNOTAVAIL: Reply.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: Reply.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reply.HOST_UNREACHABLE,
    errno.ETIMEDOUT: Reply.HOST_UNREACHABLE,
    errno.ECONNREFUSED: Reply.CONNECTION_REFUSED,
}


def reply_of(error: OSError) -> Reply:
    """The reply for a failed connection attempt: network 3, host or timeout 4, refused 5, else 1."""
    if isinstance(error, TimeoutError):
        return Reply.HOST_UNREACHABLE
    return _REPLY_OF_ERRNO.get(error.errno or 0, Reply.GENERAL_FAILURE)
