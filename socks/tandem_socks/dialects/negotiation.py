"""The server's side of a negotiation, sans-I/O, whatever the client speaks.

    READING ---request---> PENDING --succeed--> RELAYING
     |  ^                     |
     v  | decide(True)        +------fail-----> CLOSED
    AUTHENTICATING --decide(False)------------> CLOSED

`protocol.ServerConnection` chooses the dialect by the first byte; each is a subclass that turns
bytes into a `Request`, and the outcome into bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tandem_socks.errors import SocksError
from tandem_socks.request import Request


class State(Enum):
    """The state of a negotiation."""

    READING = "reading"
    AUTHENTICATING = "authenticating"
    PENDING = "pending"
    RELAYING = "relaying"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a listener requires of clients, and what it tells them about itself."""

    needs_password: bool = False
    host: str = "127.0.0.1"
    """The host by which clients reach this listener; the PAC file contains it."""
    port: int = 1080
    pac_rules: Callable[[], str] = lambda: ""
    """Makes the statements of the PAC file about what a browser should not send to this listener."""
    names: frozenset[str] = frozenset()
    """Further values of the Host field for which the PAC file is served, besides `host`, localhost and loopback."""


class Negotiation(ABC):
    """The negotiation with one client in one dialect."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.state = State.READING
        self.request: Request | None = None
        """The client's request, set from PENDING on."""
        self.credentials: tuple[str, str] | None = None
        """Name and password of the client, set in AUTHENTICATING."""
        self.error = ""
        """Why the negotiation failed, for a log; empty while it has not."""
        self.is_misconfigured = False
        """Whether it failed because the client is configured wrongly, which its user should know."""
        self.received = bytearray()
        self.to_send = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Takes bytes of the client, in any segmentation; never raises."""
        if self.state is State.CLOSED:
            return  # after an error answer nothing more is read
        self.received += data
        self._run()

    def decide(self, *, is_accepted: bool) -> None:
        """Takes the decision whether `credentials` are right, and goes on."""
        self.credentials = None
        self.state = State.READING
        try:
            self.on_decided(is_accepted=is_accepted)
        except SocksError as error:
            self.close(error)
        self._run()

    def close(self, error: SocksError) -> None:
        """Answers with an error, and ends the negotiation."""
        self.answer_error(error)
        self.error = str(error)
        self.received.clear()
        self.state = State.CLOSED

    def trailing_data(self) -> bytes:
        """The client's bytes after the request, which go to the far side first; each byte is returned once."""
        data, self.received = bytes(self.received), bytearray()
        return data

    # --- what dialects do ---

    @abstractmethod
    def advance(self) -> bool:
        """Parses one message from `received`; tells whether there was one. Raises SocksError."""

    @abstractmethod
    def on_decided(self, *, is_accepted: bool) -> None:
        """Handles the result of the password check. Raises SocksError where it is wrong."""

    @abstractmethod
    def answer_success(self, host: str, port: int) -> None:
        """Appends the success answer to `to_send`; `host` and `port` are the bound address, or the peer of a BIND."""

    @abstractmethod
    def answer_error(self, error: SocksError) -> None:
        """Appends the answer for an error to `to_send`."""

    # --- inside ---

    def _run(self) -> None:
        try:
            while self.state is State.READING and self.advance():
                pass
        except SocksError as error:
            self.close(error)
