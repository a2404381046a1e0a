"""Small guards of a server: rates, secrets that change, tables that forget their oldest."""

import hmac
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from hashlib import blake2s
from typing import Generic, TypeVar

from tandem_transport.crypto.handshake import MAC_SIZE, Randomness
from tandem_transport.parameters import COOKIE_LIFETIME

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RateLimiter:
    """A token bucket that holds one second's worth, or `burst`."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, per_second: float, *, now: float, burst: float | None = None) -> None:
        self._rate = float(per_second)
        self._burst = self._tokens = self._rate if burst is None else burst
        self._updated_at = now

    def allows(self, *, now: float) -> bool:
        """Takes a token, where there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimiters(Generic[K]):
    """A measure for each of many keys, all of the same rate; the oldest of them are forgotten."""

    __slots__ = ("_limiters", "_per_second")

    def __init__(self, per_second: float, *, limit: int) -> None:
        self._per_second = per_second
        self._limiters: BoundedTable[K, RateLimiter] = BoundedTable(limit)

    def allows(self, key: K, *, now: float) -> bool:
        """Takes a token of the key's, where there is one."""
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = RateLimiter(self._per_second, now=now)
            self._limiters.put(key, limiter)
        return limiter.allows(now=now)


class TokenIssuer:
    """Makes tokens that prove something for a while, without remembering any of them.

    The secret changes every COOKIE_LIFETIME; tokens of the last one are still good.
    """

    __slots__ = ("_changed_at", "_previous", "_randomness", "_secret")

    def __init__(self, randomness: Randomness, *, now: float) -> None:
        self._randomness = randomness
        self._secret = self._previous = randomness(32)
        self._changed_at = now

    def issue(self, about: bytes, *, now: float) -> bytes:
        """A token for whatever is described by `about`."""
        self._rotate(now)
        return _token(self._secret, about)

    def valid(self, about: bytes, *, now: float) -> tuple[bytes, bytes]:
        """The tokens that are good for it."""
        self._rotate(now)
        return _token(self._secret, about), _token(self._previous, about)

    def _rotate(self, now: float) -> None:
        if now - self._changed_at >= COOKIE_LIFETIME:
            stale = now - self._changed_at >= 2 * COOKIE_LIFETIME
            self._previous = self._randomness(32) if stale else self._secret
            self._secret = self._randomness(32)
            self._changed_at = now


class BoundedTable(Generic[K, V]):
    """A mapping that forgets its oldest entry when it is full."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        return self._entries.get(key)

    def pop(self, key: K) -> V | None:
        return self._entries.pop(key, None)

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def forget_while(self, is_stale: Callable[[V], bool]) -> None:
        """Forgets entries from the oldest on, up to the first that is not stale."""
        while self._entries and is_stale(next(iter(self._entries.values()))):
            self._entries.popitem(last=False)


def is_among(token: bytes, valid: Iterable[bytes]) -> bool:
    """Whether a token is one of those, in a time that says nothing of them."""
    matches = [hmac.compare_digest(token, other) for other in valid]
    return any(matches)


def _token(secret: bytes, about: bytes) -> bytes:
    return blake2s(about, key=secret, digest_size=MAC_SIZE).digest()
