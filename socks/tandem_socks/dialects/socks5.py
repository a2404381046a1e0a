"""SOCKS 5 (RFC 1928), with and without a password (RFC 1929)."""

from tandem_socks.dialects.messages import (
    Method,
    encode_credentials_status,
    encode_method,
    encode_reply,
    parse_credentials,
    parse_greeting,
    parse_request,
)
from tandem_socks.dialects.negotiation import Negotiation, State, Terms
from tandem_socks.errors import Reply, SocksError


class Socks5Negotiation(Negotiation):
    """The negotiation of SOCKS 5: greeting, perhaps a password, request."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._method: Method | None = None
        self._is_trusted = False

    def advance(self) -> bool:
        if self._method is None:
            return self._take_greeting()
        if not self._is_trusted:
            return self._take_credentials()
        return self._take_request()

    def on_decided(self, *, is_accepted: bool) -> None:
        self.to_send += encode_credentials_status(is_accepted=is_accepted)
        if not is_accepted:
            raise SocksError(None, "wrong name or password")
        self._is_trusted = True

    def answer_success(self, host: str, port: int) -> None:
        self.to_send += encode_reply(Reply.SUCCEEDED, host, port)

    def answer_error(self, error: SocksError) -> None:
        if error.reply is not None:
            self.to_send += encode_reply(error.reply)

    def _take_greeting(self) -> bool:
        found = parse_greeting(bytes(self.received))
        if found is None:
            return False
        methods, size = found
        del self.received[:size]
        self._method = self._choose(methods)
        self._is_trusted = self._method is Method.NO_AUTHENTICATION_REQUIRED
        self.to_send += encode_method(self._method)
        if self._method is Method.NO_ACCEPTABLE_METHODS:
            needed = "a password" if self.terms.needs_password else "no authentication"
            raise SocksError(None, f"the client offers methods {list(methods)}, here it takes {needed}")
        return True

    def _choose(self, methods: tuple[int, ...]) -> Method:
        """The method for this client. If no password is needed, a client that insists on sending one may send any."""
        if Method.NO_AUTHENTICATION_REQUIRED in methods and not self.terms.needs_password:
            return Method.NO_AUTHENTICATION_REQUIRED
        if Method.USERNAME_PASSWORD in methods:
            return Method.USERNAME_PASSWORD
        return Method.NO_ACCEPTABLE_METHODS

    def _take_credentials(self) -> bool:
        found = parse_credentials(bytes(self.received))
        if found is None:
            return False
        self.credentials, size = found
        del self.received[:size]
        self.state = State.AUTHENTICATING
        return True

    def _take_request(self) -> bool:
        found = parse_request(bytes(self.received))
        if found is None:
            return False
        self.request, size = found
        del self.received[:size]
        self.state = State.PENDING
        return True
