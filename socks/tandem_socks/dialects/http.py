"""HTTP on the SOCKS port: CONNECT, absolute-form requests, the PAC file, and help pages for misconfigured clients.

Web pages can make browsers send requests to this port. Therefore an origin-form request is never routed by
its Host field; a CONNECT that a page caused is refused; after an answer by this proxy itself nothing more is read;
and a site that rebinds its DNS name to this address learns nothing. A connection carries another
request only after an absolute-form request whose body and answer both ended at a known point.
"""

import base64
import ipaddress
import re
from dataclasses import dataclass

from tandem_socks.dialects import http_pages
from tandem_socks.dialects.http_body import BodyMeter
from tandem_socks.dialects.http_head import Head, MalformedRequest, parse_head, split_authority
from tandem_socks.dialects.negotiation import Negotiation, State, Terms
from tandem_socks.errors import SocksError
from tandem_socks.request import Command, Request

PAC_PATH = "/proxy.pac"

_ABSOLUTE = re.compile(r"(?:http|ws)://([^/?#]*)([^#]*)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_FROM_A_PAGE = ("origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")


class _Answered(SocksError):
    """The request is answered by a page of this proxy."""

    def __init__(self, page: bytes, text: str) -> None:
        super().__init__(None, text)
        self.page = page


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request that is forwarded to an origin server."""

    method: str
    body: BodyMeter
    """Finds the end of the request's body."""
    keeps_alive: bool
    """Whether the client may send another request on the connection."""
    is_upgrade: bool
    """Whether the client asks to switch to another protocol."""


class HttpNegotiation(Negotiation):
    """The negotiation of one HTTP request."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._head: Head | None = None
        self._is_trusted = not terms.needs_password
        self.forwarded: Forwarded | None = None
        """The forwarded request; None for a tunnel (CONNECT)."""
        self.behind = b""
        """Bytes after a forwarded request: perhaps the next request."""

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
        if self.forwarded is None:
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
        """Puts the head for the origin server in front of the received part of the body. Returns host and port."""
        match = _ABSOLUTE.fullmatch(head.target)
        if match is None:
            raise _not_served(head.target)
        authority, path = match.groups()
        # The origin server gets user and password in a field; userinfo in the URI is dropped (RFC 9110 section 4.2.4).
        host, port, authority = _plain(authority.rpartition("@")[2])
        body = BodyMeter(head.body_size())
        # Bytes after an upgrade request may be in the other protocol, even where the server declines.
        self.forwarded = Forwarded(head.method, body, head.keeps_alive and not head.is_upgrade, head.is_upgrade)
        belonging = body.take(bytes(self.received))
        if body.is_malformed:
            raise MalformedRequest("a body whose end cannot be told")
        self.behind = bytes(self.received[belonging:])
        del self.received[belonging:]
        path = path if path.startswith("/") else "/" + path
        self.received[:0] = head.forwarded(path, authority)
        return host, port

    def _answer_origin_form(self, head: Head) -> None:
        """Answers a client that takes this proxy for a web server. Always raises."""
        terms = self.terms
        if not self._is_for_us(head):
            text = "This is the proxy port of Tandem; it does not serve that name.\n"
            raise _Answered(http_pages.page(421, text), "a request for another host, sent to this port")
        if head.method not in ("GET", "HEAD") or head.has("origin"):
            raise _Answered(http_pages.welcome(400, terms.host, terms.port), "a request for a web server")
        if head.target == PAC_PATH:
            page = http_pages.pac(terms.host, terms.port, terms.pac_rules(), has_body=head.method == "GET")
            raise _Answered(page, "the PAC file was given out")
        self.is_misconfigured = True
        raise _Answered(http_pages.welcome(400, terms.host, terms.port), "a browser takes this port for a web site")

    def _is_for_us(self, head: Head) -> bool:
        """Whether the Host field names this proxy. A name that an attacker can rebind to this address does not."""
        hosts = head.values("host")
        try:
            host, _ = split_authority(hosts[0] if len(hosts) == 1 else "", default_port=80)
        except MalformedRequest:
            return False
        # A page cannot bind `localhost` to an address of its choice: browsers do not resolve it by DNS.
        return _is_loopback(host) or host.lower() in self.terms.names | {self.terms.host.lower(), "localhost"}

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


def _plain(authority: str) -> tuple[str, int, str]:
    """Host, port, and the authority for the Host field, with non-ASCII names in IDNA form (RFC 3490)."""
    try:
        readable = authority.encode("latin-1").decode()
        host, port = split_authority(readable, default_port=80)
        return host, port, readable.replace(host, host if host.isascii() else host.encode("idna").decode("ascii"))
    except UnicodeError as error:
        raise MalformedRequest("the target's host is no name") from error


def _not_served(target: str) -> MalformedRequest:
    scheme = _SCHEME.match(target)
    if scheme is None or scheme[1].lower() in ("http", "https", "wss"):
        return MalformedRequest("the target must be http://HOST/PATH; for https a proxy is asked with CONNECT")
    text = f"this proxy does not speak {scheme[1].lower()} itself; set the program to SOCKS, or to CONNECT (curl: -p)"
    return MalformedRequest(text, 501)


def tls_error() -> SocksError:
    """The error for a client that begins with a TLS ClientHello."""
    return _Answered(http_pages.page(400, http_pages.TLS), "a client spoke TLS to this port; it is set up wrongly")


def not_understood(first: int) -> SocksError:
    """The error for a first byte with which no supported protocol begins."""
    return SocksError(None, f"first byte {first:#04x} is neither SOCKS nor HTTP")


def _basic(value: str) -> tuple[str, str] | None:
    """Name and password of a Basic field (RFC 7617); None where it has none."""
    scheme, _, text = value.partition(" ")
    try:
        decoded = base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:  # binascii.Error is a ValueError
        return None
    name, found, password = decoded.partition(":")
    return (name, password) if scheme.lower() == "basic" and found else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
