"""Limits on the key exchanges that strangers can make a server do: cookies under load, and a rate limit for each host
(PROTOCOL.md section 3.3)."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from tandem_transport.crypto.handshake import Randomness, cookie_key, cookie_reply, has_mac2, has_valid_mac2
from tandem_transport.endpoint.rate_limits import RateLimiter, RateLimiters
from tandem_transport.endpoint.tokens import TokenIssuer
from tandem_transport.parameters import (
    COOKIE_HOLDERS_PER_SECOND,
    COOKIES_PER_SECOND,
    HANDSHAKE_BURST,
    HANDSHAKES_PER_HOST,
    HANDSHAKES_PER_SECOND,
    MAX_LIMITED_HOSTS,
)
from tandem_transport.wire.packets import PacketView

NetworksOf = Callable[[Hashable], tuple[Hashable, ...]]
"""Returns the host of a source, and the networks around it, narrowest first; as many for all sources of one family."""


@dataclass(slots=True)
class ServerCounters:
    """Counts of the datagrams that did not lead to a session, by reason."""

    malformed: int = 0
    bad_mac1: int = 0
    undecipherable: int = 0
    unknown_connection: int = 0
    refused: int = 0
    challenged: int = 0
    cookies: int = 0
    limited: int = 0
    """Initiations that were dropped because there were too many."""
    resets: int = 0


class HandshakeGuard:
    """Lets initiations through at a rate that does not disturb the sessions.

    Beyond this rate, a source must first return a cookie, which proves its address. Then a small
    rate limit for its host applies, and one for each network around it, so a flood from forged
    addresses keeps nobody out. All sources that return cookies also share one rate limit.
    """

    def __init__(
        self, public: bytes, counters: ServerCounters, *, randomness: Randomness, now: float, networks_of: NetworksOf
    ) -> None:
        """`public`: the server's public key. `networks_of`: a source's host and networks, each with a rate limit."""
        self._cookie_key = cookie_key(public)
        self._counters = counters
        self._randomness = randomness
        self._networks_of = networks_of
        self._cookies = TokenIssuer(randomness, now=now)
        self._everybody = RateLimiter(HANDSHAKES_PER_SECOND, now=now, burst=HANDSHAKE_BURST)
        self._proven = RateLimiter(COOKIE_HOLDERS_PER_SECOND, now=now)
        self._networks: list[RateLimiters[Hashable]] = []
        """The rate limits of hosts, then of the networks around them, narrowest first."""
        self._replies = RateLimiter(COOKIES_PER_SECOND, now=now)

    def allows(self, packet: PacketView, source: Hashable, *, now: float) -> bool:
        """Whether the server may process the initiation."""
        if self._everybody.allows(now=now):
            return True
        if not has_mac2(packet) or not self._has_cookie(packet, source, now):
            return False
        return self._has_measure(source, now) and self._proven.allows(now=now)

    def cookie_reply(self, packet: PacketView, source: Hashable, *, now: float) -> bytes | None:
        """What an initiation gets instead of a response: a cookie, or None if it had one or too many ask for one."""
        if has_mac2(packet) and self._has_cookie(packet, source, now):
            self._counters.limited += 1
            return None
        if not self._replies.allows(now=now):
            self._counters.limited += 1
            return None
        self._counters.cookies += 1
        cookie = self._cookies.issue(repr(source).encode(), now=now)
        return cookie_reply(self._cookie_key, packet, cookie, self._randomness)

    # --- inside ---

    def _has_measure(self, source: Hashable, now: float) -> bool:
        """Whether the rate limits of the host and of each network around it allow one more initiation.

        The networks have limits because an IPv6 customer has thousands of hosts.
        """
        networks = self._networks_of(source)
        for width in range(len(self._networks), len(networks)):
            self._networks.append(RateLimiters(HANDSHAKES_PER_HOST << width, limit=MAX_LIMITED_HOSTS))
        return all(self._networks[width].allows(network, now=now) for width, network in enumerate(networks))

    def _has_cookie(self, packet: PacketView, source: Hashable, now: float) -> bool:
        cookies = self._cookies.valid(repr(source).encode(), now=now)
        return any(has_valid_mac2(cookie, packet) for cookie in cookies)
