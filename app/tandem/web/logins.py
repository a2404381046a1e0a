"""Logins of browsers: a token is shown once, a cookie says from then on who was let in.

Nothing is kept for a login: its cookie has its end and a MAC under the token, and holds for as long as the token does.
A cookie is sent to every port of a host, and another program may own one of them. So a cookie alone reads;
to change anything, a request also needs the login's key, which the page keeps where only its own origin reads it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

LOGIN_LIFETIME = 30 * 86400
"""Seconds for which a browser stays logged in."""

TICKET_LIFETIME = 120.0
"""Seconds in which a ticket must be used."""

MAX_TICKETS = 16
"""Tickets that may be unused at a time; the oldest is forgotten for another."""


class Login(NamedTuple):
    """What a browser gets when it logs in."""

    cookie: str
    """The whole Set-Cookie header."""
    key: str
    """What its requests must carry to change something."""


class Logins:
    """Who may read, and who may change: checks tokens, tickets, cookies and keys."""

    def __init__(self, tokens: Callable[[], Sequence[str]], name: str) -> None:
        """`tokens`: those of the endpoint; logins end with the first. `name`: the cookie's, which tells ports apart."""
        self._tokens, self._name = tokens, name
        self._tickets: dict[str, float] = {}
        """When each ticket ends, in seconds of the caller's clock, the oldest first."""

    def is_token(self, given: str) -> bool:
        """Whether this is a token."""
        return any(_is_same(given, token) for token in self._tokens())

    def ticket(self, *, now: float) -> str:
        """Makes a ticket: it logs in one browser, once, and soon. Unlike the token it may stand in a command line."""
        while len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(18)
        self._tickets[ticket] = now + TICKET_LIFETIME
        return ticket

    def log_in(self, secret: str, *, now: float, today: float) -> Login | None:
        """Logs in a browser that has the token or a ticket; None where it has neither.

        `now`: a clock that never goes back; `today`: seconds since 1970, which the end of the login is counted from.
        """
        if not (self._tickets.pop(secret, 0.0) > now or self.is_token(secret)):
            return None
        end = str(int(today) + LOGIN_LIFETIME)
        attributes = f"Path=/; Max-Age={LOGIN_LIFETIME}; HttpOnly; SameSite=Strict"
        return Login(f"{self._name}={end}.{self._mac('cookie', end)}; {attributes}", self._mac("key", end))

    def log_out(self) -> str:
        """The Set-Cookie header that makes a browser forget its login."""
        return f"{self._name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"

    def may_read(self, cookies: str, *, today: float) -> bool:
        """Whether the Cookie header of a request is that of a login."""
        return self._end(cookies, today) is not None

    def may_change(self, cookies: str, key: str, *, today: float) -> bool:
        """Whether a request is one of a page that has logged in: its cookie and its key belong together."""
        end = self._end(cookies, today)
        return end is not None and _is_same(key, self._mac("key", end))

    def _end(self, cookies: str, today: float) -> str | None:
        """The end of the login that a Cookie header has; None where it has none that holds."""
        end, _, mac = _cookie(cookies, self._name).partition(".")
        if not self._tokens() or not _is_same(mac, self._mac("cookie", end)):
            return None
        return end if today < int(end) else None

    def _mac(self, what: str, end: str) -> str:
        secret = self._tokens()[0].encode()
        return hmac.new(secret, f"{what} {end}".encode(errors="replace"), hashlib.sha256).hexdigest()


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _cookie(header: str, name: str) -> str:
    """The value of a cookie, "" where there is none of this name. Others may be of any form: all ports share them."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return next((value for known, _, value in pairs if known == name), "")
