"""The server's side of one client's connection until bytes flow, sans-I/O.

SOCKS 5, SOCKS 4 and HTTP share one port; the first byte tells which it is.
"""

from tandem_socks.dialects import messages, socks4
from tandem_socks.dialects.http import Forwarded, HttpHandshake, not_understood, tls_error
from tandem_socks.dialects.negotiation import Handshake, State, Terms
from tandem_socks.dialects.socks4 import Socks4Handshake
from tandem_socks.dialects.socks5 import Socks5Handshake
from tandem_socks.errors import SocksError
from tandem_socks.request import Request

_TLS_HANDSHAKE = 0x16


class ServerConnection:
    """Feed `receive_data`, send what `data_to_send` returns, and look at `state`.

    AUTHENTICATING: check `credentials`, call `decide`. PENDING: serve `request`, then call
    `succeed` or `fail`. RELAYING: bytes flow, `trailing_data` first. CLOSED: send what is left,
    and close.
    """

    def __init__(self, terms: Terms | None = None, *, is_further: bool = False) -> None:
        """`is_further`: the connection has carried an HTTP request already, and can only carry another."""
        self._terms = terms or Terms()
        self._negotiation: Handshake = HttpHandshake(self._terms) if is_further else Socks5Handshake(self._terms)
        self._has_begun = is_further

    @property
    def state(self) -> State:
        """What the owner should do next."""
        return self._negotiation.state

    @property
    def request(self) -> Request | None:
        """What the client wants, from PENDING on."""
        return self._negotiation.request

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Name and password, in AUTHENTICATING."""
        return self._negotiation.credentials

    @property
    def error(self) -> str:
        """Why it was closed, for a log."""
        return self._negotiation.error

    @property
    def is_misconfigured(self) -> bool:
        """The client is set up wrongly, and whoever runs it should hear of it."""
        return self._negotiation.is_misconfigured

    @property
    def forwarded(self) -> Forwarded | None:
        """The HTTP request that is forwarded; None for all that opens a tunnel."""
        return self._negotiation.forwarded if isinstance(self._negotiation, HttpHandshake) else None

    @property
    def behind(self) -> bytes:
        """What has come after a forwarded request."""
        return self._negotiation.behind if isinstance(self._negotiation, HttpHandshake) else b""

    def receive_data(self, data: bytes) -> None:
        """Bytes of the client, in any segmentation; never raises."""
        if data and not self._has_begun:
            self._has_begun = True
            self._choose(data[0])
        self._negotiation.receive_data(data)

    def data_to_send(self) -> bytes:
        """What the client is to get now."""
        data, self._negotiation.to_send = bytes(self._negotiation.to_send), bytearray()
        return data

    def decide(self, *, is_accepted: bool) -> None:
        """Whether the credentials are right."""
        self._negotiation.decide(is_accepted=is_accepted)

    def announce(self, host: str, port: int) -> None:
        """A BIND listens at this address; the request is still pending (RFC 1928 section 6)."""
        self._negotiation.answer_success(host, port)

    def succeed(self, host: str, port: int) -> None:
        """The request is served; `host` and `port` are BND.ADDR and BND.PORT."""
        self._negotiation.answer_success(host, port)
        self._negotiation.state = State.RELAYING

    def fail(self, error: SocksError) -> None:
        """The request cannot be served."""
        self._negotiation.close(error)

    def trailing_data(self) -> bytes:
        """What goes to the far side first; each byte is returned once."""
        return self._negotiation.trailing_data()

    def _choose(self, first: int) -> None:
        if first == socks4.VERSION:
            self._negotiation = Socks4Handshake(self._terms)
        elif first == _TLS_HANDSHAKE:
            self._negotiation = HttpHandshake(self._terms)
            self._negotiation.close(tls_error())
            self._negotiation.is_misconfigured = True
        elif chr(first).isascii() and (chr(first).isalpha() or chr(first) in "\r\n"):
            self._negotiation = HttpHandshake(self._terms)
        elif first != messages.VERSION:
            self._negotiation.close(not_understood(first))
