"""Rate limits of a server: for all strangers together, and for each of many."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from tandem_transport.bounded_table import BoundedTable

K = TypeVar("K", bound=Hashable)


class RateLimiter:
    """A token bucket that holds the tokens of one second, or `burst` tokens."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, per_second: float, *, now: float, burst: float | None = None) -> None:
        self._rate = float(per_second)
        self._burst = self._tokens = self._rate if burst is None else burst
        self._updated_at = now

    def allows(self, *, now: float) -> bool:
        """Takes a token; tells whether there was one."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimiters(Generic[K]):
    """A rate limit for each of many keys, all with the same rate; beyond `limit` keys, the oldest are forgotten."""

    __slots__ = ("_limiters", "_per_second")

    def __init__(self, per_second: float, *, limit: int) -> None:
        self._per_second = per_second
        self._limiters: BoundedTable[K, RateLimiter] = BoundedTable(limit)

    def allows(self, key: K, *, now: float) -> bool:
        """Takes a token of this key; tells whether there was one."""
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = RateLimiter(self._per_second, now=now)
            self._limiters.put(key, limiter)
        return limiter.allows(now=now)
