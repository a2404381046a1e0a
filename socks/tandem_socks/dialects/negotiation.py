"""The server's side of a negotiation, sans-I/O, whatever the client speaks.

    READING ---request---> PENDING --succeed--> RELAYING
     |  ^                     |
     v  | decide(True)        +------fail-----> CLOSED
    AUTHENTICATING --decide(False)------------> CLOSED

`protocol.ServerConnection` chooses the dialect by the first byte; each is a subclass that turns
bytes into a `Request`, and the outcome into bytes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

from tandem_socks.errors import SocksError
from tandem_socks.request import Request


class State(Enum):
    """Where a negotiation is."""

    READING = "reading"
    AUTHENTICATING = "authenticating"
    PENDING = "pending"
    RELAYING = "relaying"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a listener demands, and what it says of itself."""

    needs_password: bool = False
    host: str = "127.0.0.1"
    """How clients reach this listener; told in the PAC file."""
    port: int = 1080
    names: frozenset[str] = frozenset()
    """Hosts under which, beside loopback literals, the PAC file is given out."""


class Handshake(ABC):
    """One client's negotiation in one dialect."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.state = State.READING
        self.request: Request | None = None
        """What the client wants, from PENDING on."""
        self.credentials: tuple[str, str] | None = None
        """Name and password, in AUTHENTICATING."""
        self.error = ""
        """Why it was closed, for a log."""
        self.is_misconfigured = False
        """It was closed because the client is set up wrongly: its owner should hear of it."""
        self.received = bytearray()
        self.to_send = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Bytes of the client, in any segmentation; never raises."""
        if self.state is State.CLOSED:
            return  # after an error answer nothing is read again
        self.received += data
        self._run()

    def decide(self, *, is_accepted: bool) -> None:
        """Whether `credentials` are right."""
        self.credentials = None
        self.state = State.READING
        try:
            self.on_decided(is_accepted=is_accepted)
        except SocksError as error:
            self.close(error)
        self._run()

    def close(self, error: SocksError) -> None:
        """Answers an error, and ends."""
        self.answer_error(error)
        self.error = str(error)
        self.received.clear()
        self.state = State.CLOSED

    def trailing_data(self) -> bytes:
        """What goes to the far side first; each byte is returned once."""
        data, self.received = bytes(self.received), bytearray()
        return data

    # --- what dialects do ---

    @abstractmethod
    def advance(self) -> bool:
        """Takes one message off `received`; tells whether there was one. Raises SocksError."""

    @abstractmethod
    def on_decided(self, *, is_accepted: bool) -> None:
        """The password was checked. Raises SocksError where it is wrong."""

    @abstractmethod
    def answer_success(self, host: str, port: int) -> None:
        """The far end is connected, bound, or the peer of a BIND has come; `host` and `port` are its address."""

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
