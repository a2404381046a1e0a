"""Who may ask the admin endpoint for what.

A web page can make a browser send requests here. So every request needs a literal address, a configured name, or
`localhost` as its Host: this refuses a name that the owner of a page has bound to this address (DNS rebinding).
And what a page of another origin asks for is refused: a browser says so in Origin and Sec-Fetch-Site.
"""

import ipaddress
import time
from collections.abc import Collection

from tandem.base.addresses import is_loopback
from tandem.web.logins import Logins
from tandem.web.messages import Answer, Request, refusal

KEY_HEADER = "x-tandem-key"
"""The header with a login's key, in lower case."""

_OWN_SITES = ("same-origin", "none")
"""What Sec-Fetch-Site says of our own page, and of an address that a person has typed."""


class Admission:
    """The rules for requests to one endpoint."""

    def __init__(self, listen_host: str, names: Collection[str], logins: Logins) -> None:
        """`listen_host`: the address that the endpoint listens on. `names`: host names that requests may use."""
        self._is_local = is_loopback(listen_host)
        self._names = frozenset(name.lower() for name in names)
        self._logins = logins

    def refuses(self, request: Request) -> Answer | None:
        """The refusal of a request that a page of another origin may have caused; None where there is no such doubt."""
        host = request.headers.get("host", "")
        if not self._is_called(host):
            return refusal(403, "call it by its address, or by one of the `names` in the [admin] section")
        if request.headers.get("origin", f"http://{host}") not in (f"http://{host}", f"https://{host}"):
            return refusal(403, "no other web page may use this")
        is_link = request.method == "GET" and request.path == "/"
        if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES and not is_link:
            return refusal(403, "no other web page may use this")
        return None

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the endpoint."""
        return self._is_local

    def has_token(self, request: Request) -> bool:
        """Whether a request has the token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and self._logins.is_token(token)

    def may_read(self, request: Request) -> bool:
        """Whether a request may see everything: it has the token, or comes from a browser that has logged in."""
        return self.has_token(request) or self._logins.may_read(request.headers.get("cookie", ""), today=time.time())

    def may_change(self, request: Request) -> bool:
        """Whether a request may change something: it has the token, or is one of the page in a browser that has."""
        cookies, key = request.headers.get("cookie", ""), request.headers.get(KEY_HEADER, "")
        return self.has_token(request) or self._logins.may_change(cookies, key, today=time.time())

    def _is_called(self, host: str) -> bool:
        """Whether a request's Host is ours. A literal address is safe: unlike a name, nobody can bind it elsewhere."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in self._names or name.lower() == "localhost":
            return True
        literal = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        try:
            address = ipaddress.ip_address(literal)
        except ValueError:
            return False
        return address.is_loopback or not self._is_local
