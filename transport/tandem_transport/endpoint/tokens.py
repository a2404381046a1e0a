"""Tokens that prove something for a limited time, without a table of them: cookies and challenges."""

import hmac
from collections.abc import Iterable
from hashlib import blake2s

from tandem_transport.crypto.handshake import MAC_SIZE, Randomness
from tandem_transport.parameters import COOKIE_LIFETIME


class TokenIssuer:
    """Makes tokens that prove something for a limited time, without remembering any of them.

    The secret changes every COOKIE_LIFETIME; tokens of the previous secret are still valid.
    """

    __slots__ = ("_changed_at", "_previous", "_randomness", "_secret")

    def __init__(self, randomness: Randomness, *, now: float) -> None:
        self._randomness = randomness
        self._secret = self._previous = randomness(32)
        self._changed_at = now

    def issue(self, about: bytes, *, now: float) -> bytes:
        """A token for the subject that `about` describes."""
        self._rotate(now)
        return _token(self._secret, about)

    def valid(self, about: bytes, *, now: float) -> tuple[bytes, bytes]:
        """The tokens that are valid now for the subject `about`."""
        self._rotate(now)
        return _token(self._secret, about), _token(self._previous, about)

    def _rotate(self, now: float) -> None:
        if now - self._changed_at >= COOKIE_LIFETIME:
            stale = now - self._changed_at >= 2 * COOKIE_LIFETIME
            self._previous = self._randomness(32) if stale else self._secret
            self._secret = self._randomness(32)
            self._changed_at = now


def is_among(token: bytes, valid: Iterable[bytes]) -> bool:
    """Whether a token is one of the valid ones, compared in a time that reveals nothing about them."""
    matches = [hmac.compare_digest(token, other) for other in valid]
    return any(matches)


def _token(secret: bytes, about: bytes) -> bytes:
    return blake2s(about, key=secret, digest_size=MAC_SIZE).digest()
