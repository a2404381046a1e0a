"""Why a request was not served, and which part of the way failed."""

import errno
from enum import IntEnum

from tandem.base.errors import os_error_text
from tandem_socks import Reply, SocksError, reply_of


class Hop(IntEnum):
    """The part of the way that failed; the numbers are on the wire (PROTOCOL.md section 7)."""

    NONE = 0
    RULE = 1
    """The server's rules or limits do not allow the request."""
    NAME = 2
    """The name could not be resolved at the server."""
    DIAL = 3
    """The server could not connect to the target."""
    SESSION = 4
    """There is no session with the server, or it has ended."""
    LOCAL = 5
    """The client's machine could not send the request."""


_LABELS = {
    Hop.NONE: "unknown",
    Hop.RULE: "server's rules",
    Hop.NAME: "name at the server",
    Hop.DIAL: "dial at the server",
    Hop.SESSION: "session",
    Hop.LOCAL: "local",
}


class Failure(SocksError):
    """A request cannot be served.

    Attributes:
        hop: The part of the way that failed.
        error: The name of the system's error there, such as ECONNREFUSED; "" where there was none.
        detail: What happened, in words.
    """

    def __init__(self, reply: Reply, hop: Hop, detail: str, error: str = "") -> None:
        text = f"{_LABELS[hop]}: {detail}" + (f" ({error})" if error else "")
        super().__init__(reply, text, is_timeout=error == "ETIMEDOUT")
        self.hop, self.error, self.detail = hop, error, detail

    @property
    def without_target(self) -> str:
        """Where and how the request failed, without `detail`, which may name the target."""
        return f"{_LABELS[self.hop]}: {self.error or super().without_target}"


def session_failure(error: Exception | str) -> Failure:
    """The failure of a request that the server did not receive or did not answer."""
    return Failure(Reply.GENERAL_FAILURE, Hop.SESSION, str(error))


def rule_failure(text: str) -> Failure:
    """The failure of a request that the server does not allow."""
    return Failure(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, Hop.RULE, text)


def dial_failure(error: OSError) -> Failure:
    """The failure of a connection attempt, from the system's error."""
    name = errno.errorcode.get(error.errno or 0, "").removeprefix("WSA")  # WSAETIMEDOUT is ETIMEDOUT, on Windows
    return Failure(reply_of(error), Hop.DIAL, os_error_text(error), name)
