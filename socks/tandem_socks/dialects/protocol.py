"""The server's side of one client's connection until the relay starts, sans-I/O.

SOCKS 5, SOCKS 4 and HTTP share one port; the first byte tells which it is.
"""

from tandem_socks.dialects import messages, socks4
from tandem_socks.dialects.http import Forwarded, HttpNegotiation, not_understood, tls_error
from tandem_socks.dialects.negotiation import Negotiation, State, Terms
from tandem_socks.dialects.socks4 import Socks4Negotiation
from tandem_socks.dialects.socks5 import Socks5Negotiation
from tandem_socks.errors import SocksError
from tandem_socks.request import Request

_TLS_HANDSHAKE = 0x16


class ServerConnection:
    """Negotiates with one client: feed `receive_data`, send what `data_to_send` returns, and act on `state`.

    AUTHENTICATING: check `credentials`, call `decide`. PENDING: serve `request`, then call
    `succeed` or `fail`. RELAYING: relay bytes, `trailing_data` first. CLOSED: send the rest,
    and close.
    """

    def __init__(self, terms: Terms | None = None, *, is_further: bool = False) -> None:
        """`is_further`: the connection has carried an HTTP request before, and can carry only HTTP requests."""
        self._terms = terms or Terms()
        self._negotiation: Negotiation = HttpNegotiation(self._terms) if is_further else Socks5Negotiation(self._terms)
        self._has_begun = is_further

    @property
    def state(self) -> State:
        """The state of the negotiation, which tells the caller what to do next."""
        return self._negotiation.state

    @property
    def request(self) -> Request | None:
        """The client's request, set from PENDING on."""
        return self._negotiation.request

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Name and password of the client, set in AUTHENTICATING."""
        return self._negotiation.credentials

    @property
    def error(self) -> str:
        """Why the negotiation failed, for a log; empty while it has not."""
        return self._negotiation.error

    @property
    def is_misconfigured(self) -> bool:
        """Whether it failed because the client is configured wrongly, which its user should know."""
        return self._negotiation.is_misconfigured

    @property
    def forwarded(self) -> Forwarded | None:
        """The HTTP request to forward; None for requests that open a tunnel."""
        return self._negotiation.forwarded if isinstance(self._negotiation, HttpNegotiation) else None

    @property
    def behind(self) -> bytes:
        """Bytes that the client sent after a forwarded request."""
        return self._negotiation.behind if isinstance(self._negotiation, HttpNegotiation) else b""

    def receive_data(self, data: bytes) -> None:
        """Takes bytes of the client, in any segmentation; never raises."""
        if data and not self._has_begun:
            self._has_begun = True
            self._choose(data[0])
        self._negotiation.receive_data(data)

    def data_to_send(self) -> bytes:
        """The bytes to send to the client now."""
        data, self._negotiation.to_send = bytes(self._negotiation.to_send), bytearray()
        return data

    def decide(self, *, is_accepted: bool) -> None:
        """Takes the decision whether `credentials` are right."""
        self._negotiation.decide(is_accepted=is_accepted)

    def announce(self, host: str, port: int) -> None:
        """Answers that a BIND listens at this address; the request stays pending (RFC 1928 section 6)."""
        self._negotiation.answer_success(host, port)

    def succeed(self, host: str, port: int) -> None:
        """Answers that the request is served; `host` and `port` are BND.ADDR and BND.PORT."""
        self._negotiation.answer_success(host, port)
        self._negotiation.state = State.RELAYING

    def fail(self, error: SocksError) -> None:
        """Answers that the request cannot be served, and ends the negotiation."""
        self._negotiation.close(error)

    def trailing_data(self) -> bytes:
        """The client's bytes after the request, which go to the far side first; each byte is returned once."""
        return self._negotiation.trailing_data()

    def _choose(self, first: int) -> None:
        if first == socks4.VERSION:
            self._negotiation = Socks4Negotiation(self._terms)
        elif first == _TLS_HANDSHAKE:
            self._negotiation = HttpNegotiation(self._terms)
            self._negotiation.close(tls_error())
            self._negotiation.is_misconfigured = True
        elif chr(first).isascii() and (chr(first).isalpha() or chr(first) in "\r\n"):
            self._negotiation = HttpNegotiation(self._terms)
        elif first != messages.VERSION:
            self._negotiation.close(not_understood(first))
