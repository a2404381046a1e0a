"""HTTP on the SOCKS port: CONNECT, absolute-form requests, the PAC file, and words for the puzzled.

Web pages can make browsers send requests here. So an origin-form request is never routed by
its Host; a CONNECT that a page caused is refused; after an answer of ours nothing more is read;
and whoever rebinds a name of theirs to this address learns nothing. A connection carries further
requests only after an absolute-form one whose body and answer were followed to their ends.
"""

import base64
import ipaddress
import re
from dataclasses import dataclass

from tandem_socks.dialects import http_pages
from tandem_socks.dialects.http_body import BodyMeter
from tandem_socks.dialects.http_head import Head, MalformedRequest, parse_head, split_authority
from tandem_socks.dialects.negotiation import Handshake, State, Terms
from tandem_socks.errors import SocksError
from tandem_socks.request import Command, Request

PAC_PATH = "/proxy.pac"

_ABSOLUTE = re.compile(r"(?:http|ws)://([^/?#]*)([^#]*)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_FROM_A_PAGE = ("origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")


class _Answered(SocksError):
    """The request is answered by a page of ours."""

    def __init__(self, page: bytes, text: str) -> None:
        super().__init__(None, text)
        self.page = page


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request that goes to an origin server."""

    method: str
    body: BodyMeter
    """Follows the request's body."""
    keeps_alive: bool
    """The client may send another one after it."""
    is_upgrade: bool
    """The client wants to go on in another protocol."""


class HttpHandshake(Handshake):
    """One request."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._head: Head | None = None
        self._is_trusted = not terms.needs_password
        self.forwarded: Forwarded | None = None
        """None in a tunnel."""
        self.behind = b""
        """What has come after a forwarded request: the next one, perhaps."""

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
        """Puts the request as its origin server wants it before the body that has come already."""
        match = _ABSOLUTE.fullmatch(head.target)
        if match is None:
            raise _not_served(head.target)
        authority, path = match.groups()
        # A user and a password are for the server, which is told them in a field (RFC 9110 section 4.2.4).
        host, port, authority = _plain(authority.rpartition("@")[2])
        body = BodyMeter(head.body_size())
        # What follows an upgrade may be the other protocol, also where the server declines.
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
        """Someone takes this for a web server. Always raises."""
        terms = self.terms
        if not self._is_for_us(head):
            text = "This is the proxy port of Tandem; it does not serve that name.\n"
            raise _Answered(http_pages.page(421, text), "a request for another host, sent to this port")
        if head.method not in ("GET", "HEAD") or head.has("origin"):
            raise _Answered(http_pages.welcome(400, terms.host, terms.port), "a request for a web server")
        if head.target == PAC_PATH:
            page = http_pages.pac(terms.host, terms.port, has_body=head.method == "GET")
            raise _Answered(page, "the PAC file was given out")
        self.is_misconfigured = True
        raise _Answered(http_pages.welcome(400, terms.host, terms.port), "a browser takes this port for a web site")

    def _is_for_us(self, head: Head) -> bool:
        """A name that someone else can rebind to this address is not."""
        hosts = head.values("host")
        try:
            host, _ = split_authority(hosts[0] if len(hosts) == 1 else "", default_port=80)
        except MalformedRequest:
            return False
        # No page can bind `localhost` to an address of its choice: browsers do not ask anybody for it.
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
    """Host, port, and the authority as its server is told it: names of other scripts are written out (RFC 3490)."""
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
