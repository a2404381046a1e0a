"""The server's side of a SOCKS 5 handshake, sans-I/O.

    GREETING --methods--> REQUEST --request--> PENDING --succeed--> RELAYING
        |                    |                    |
        +----- error --------+------- error ------+--- fail ------> CLOSED

Feed `receive_data`, send what `data_to_send` returns, close once `is_closed`. In PENDING the
owner dials, then calls `succeed` or `fail`. Bytes that came after the request are the first
of the relayed data (`trailing_data`).
"""

from enum import Enum

from tandem_socks.errors import Reply, SocksError
from tandem_socks.messages import (
    Command,
    Method,
    Request,
    encode_method,
    encode_reply,
    parse_greeting,
    parse_request,
)


class State(Enum):
    """Where a handshake is."""

    GREETING = "greeting"
    REQUEST = "request"
    PENDING = "pending"
    RELAYING = "relaying"
    CLOSED = "closed"


class ServerConnection:
    """One client's handshake."""

    def __init__(self) -> None:
        self.state = State.GREETING
        self.request: Request | None = None
        """What the client wants, from PENDING on."""
        self.error = ""
        """Why it was closed, for a log."""
        self._received = bytearray()
        self._to_send = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Bytes of the client, in any segmentation; never raises."""
        self._received += data
        try:
            while self._advance():
                pass
        except SocksError as error:
            self._close(error)

    def data_to_send(self) -> bytes:
        """What the client is to get now."""
        data, self._to_send = bytes(self._to_send), bytearray()
        return data

    @property
    def is_closed(self) -> bool:
        """Nothing follows but what `data_to_send` still has."""
        return self.state is State.CLOSED

    def succeed(self, host: str, port: int) -> None:
        """The far end is connected; `host` and `port` are its local address (BND.ADDR)."""
        self._to_send += encode_reply(Reply.SUCCEEDED, host, port)
        self.state = State.RELAYING

    def fail(self, error: SocksError) -> None:
        """The request cannot be served."""
        self._close(error)

    def trailing_data(self) -> bytes:
        """What the client has sent after its request; each byte is returned once."""
        data, self._received = bytes(self._received), bytearray()
        return data

    # --- transitions ---

    def _advance(self) -> bool:
        """Takes one message; tells whether there was one."""
        if self.state is State.GREETING:
            return self._greet()
        if self.state is State.REQUEST:
            return self._take_request()
        return False

    def _greet(self) -> bool:
        found = parse_greeting(bytes(self._received))
        if found is None:
            return False
        methods, size = found
        del self._received[:size]
        if Method.NO_AUTHENTICATION_REQUIRED not in methods:
            self._to_send += encode_method(Method.NO_ACCEPTABLE_METHODS)
            raise SocksError(None, f"no acceptable method among {list(methods)}")
        self._to_send += encode_method(Method.NO_AUTHENTICATION_REQUIRED)
        self.state = State.REQUEST
        return True

    def _take_request(self) -> bool:
        found = parse_request(bytes(self._received))
        if found is None:
            return False
        request, size = found
        del self._received[:size]
        if request.command is not Command.CONNECT:
            raise SocksError(Reply.COMMAND_NOT_SUPPORTED, f"{request.command.name} is not supported")
        self.request = request
        self.state = State.PENDING
        return True

    def _close(self, error: SocksError) -> None:
        if error.reply is not None:
            self._to_send += encode_reply(error.reply)
        self.error = str(error)
        self.state = State.CLOSED
