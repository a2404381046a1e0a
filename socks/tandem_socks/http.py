"""HTTP on the SOCKS port: CONNECT, absolute-form requests, the PAC file, and words for the puzzled.

Web pages can make browsers send requests here. So an origin-form request is never routed by
its Host; a CONNECT that a page caused is refused; after an answer of ours nothing more is read;
and whoever rebinds a name of theirs to this address learns nothing.
"""

import base64
import ipaddress
import re

from tandem_socks import http_pages
from tandem_socks.errors import SocksError
from tandem_socks.handshake import Handshake, State, Terms
from tandem_socks.http_body import BodyMeter
from tandem_socks.http_head import Head, MalformedRequest, parse_head, split_authority
from tandem_socks.messages import Command, Request

PAC_PATH = "/proxy.pac"

_ABSOLUTE = re.compile(r"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_FROM_A_PAGE = ("origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")


class _Answered(SocksError):
    """The request is answered by a page of ours."""

    def __init__(self, page: bytes, text: str) -> None:
        super().__init__(None, text)
        self.page = page


class HttpHandshake(Handshake):
    """One request."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._head: Head | None = None
        self._is_trusted = not terms.needs_password
        self.body: BodyMeter | None = None
        """Follows the body of a forwarded request; None in a tunnel."""

    def advance(self) -> bool:
        if self._head is None:
            found = parse_head(bytes(self.received))
            if found is None:
                return False
            self._head, size = found
            del self.received[:size]
        head = self._head
        if head.target.startswith("/") or head.target == "*":
            self._answer_origin_form(head)
        if not self._is_trusted:
            self._ask_password(head)
            return True
        self._route(head)
        self.state = State.PENDING
        return False

    def on_decided(self, *, is_accepted: bool) -> None:
        if not is_accepted:
            raise self._password_needed("wrong name or password")
        self._is_trusted = True

    def answer_success(self, host: str, port: int) -> None:
        if self.body is None:
            self.to_send += b"HTTP/1.1 200 Connection established\r\n\r\n"

    def answer_error(self, error: SocksError) -> None:
        self.to_send += error.page if isinstance(error, _Answered) else http_pages.failure(error)

    # --- kinds of requests ---

    def _route(self, head: Head) -> None:
        if head.method == "CONNECT":
            if head.has(*_FROM_A_PAGE):
                raise _Answered(http_pages.page(403, http_pages.CROSS_SITE), "a CONNECT that a web page caused")
            host, port = split_authority(head.target)
        else:
            host, port = self._rewrite(head)
        self.request = Request(Command.CONNECT, host, port)

    def _rewrite(self, head: Head) -> tuple[str, int]:
        """Puts the request as its origin server wants it before the body that has come already."""
        match = _ABSOLUTE.fullmatch(head.target)
        if match is None:
            raise MalformedRequest("the target must be http://HOST/PATH; for https a proxy is asked with CONNECT")
        authority, path = match.groups()
        host, port = split_authority(authority, default_port=80)
        self.body = BodyMeter(head.body_size())
        belonging = self.body.take(bytes(self.received))
        del self.received[belonging:]
        path = path if path.startswith("/") else "/" + path
        self.received[:0] = head.forwarded(path, authority)
        return host, port

    def _answer_origin_form(self, head: Head) -> None:
        """Someone takes this for a web server. Always raises."""
        terms = self.terms
        if not self._is_for_us(head):
            text = "This is the proxy port of Tandem; it does not serve that name.\n"
            raise _Answered(http_pages.page(421, text), "a request for another host, sent to this port")
        if head.method != "GET" or head.has("origin"):
            raise _Answered(http_pages.welcome(400, terms.host, terms.port), "a request for a web server")
        if head.target == PAC_PATH:
            raise _Answered(http_pages.pac(terms.host, terms.port), "the PAC file was given out")
        self.is_puzzled = True
        raise _Answered(http_pages.welcome(400, terms.host, terms.port), "a browser takes this port for a web site")

    def _is_for_us(self, head: Head) -> bool:
        """A name that someone else can rebind to this address is not."""
        hosts = head.values("host")
        try:
            host, _ = split_authority(hosts[0] if len(hosts) == 1 else "", default_port=80)
        except MalformedRequest:
            return False
        return _is_loopback(host) or host.lower() in self.terms.names | {self.terms.host.lower()}

    # --- passwords ---

    def _ask_password(self, head: Head) -> None:
        credentials = _basic(next(iter(head.values("proxy-authorization")), ""))
        if credentials is None:
            raise self._password_needed("a password is needed")
        self.credentials = credentials
        self.state = State.AUTHENTICATING

    def _password_needed(self, text: str) -> SocksError:
        field = 'Proxy-Authenticate: Basic realm="Tandem", charset="UTF-8"'
        return _Answered(http_pages.page(407, http_pages.PASSWORD, field), text)


def tls_error() -> SocksError:
    """For a client that begins with a TLS ClientHello."""
    return _Answered(http_pages.page(400, http_pages.TLS), "a client spoke TLS to this port; it is set up wrongly")


def not_understood(first: int) -> SocksError:
    """For a first byte that no protocol here begins with."""
    return SocksError(None, f"first byte {first:#04x} is neither SOCKS nor HTTP")


def _basic(value: str) -> tuple[str, str] | None:
    """Name and password (RFC 7617), None where there are none."""
    scheme, _, text = value.partition(" ")
    try:
        decoded = base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:  # binascii.Error is one
        return None
    name, found, password = decoded.partition(":")
    return (name, password) if scheme.lower() == "basic" and found else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
