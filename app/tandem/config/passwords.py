"""Passwords of the SOCKS port: hashed in the file, checked without slowing down those who are known.

scrypt$N$r$p$SALT$HASH     the last two in base64 (RFC 7914)
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Mapping

_N, _R, _P = 1 << 14, 8, 1
_SIZE = 32
_MAX_MEMORY = 64 << 20

MAX_CHECKS = 2
"""Passwords that are hashed at the same time; it takes a moment each, and 16 MB."""


def hash_password(password: str) -> str:
    """For the configuration file."""
    salt = os.urandom(16)
    digest = _scrypt(password, salt, _N, _R, _P)
    return "$".join(["scrypt", str(_N), str(_R), str(_P), _text(salt), _text(digest)])


def is_hash(text: str) -> bool:
    """Whether it is one that can be checked."""
    try:
        _, n, r, p, _, digest = _parse(text)
    except ValueError:
        return False
    return n > 1 and n & (n - 1) == 0 and 128 * n * r * p <= _MAX_MEMORY // 2 and len(digest) == _SIZE


def verify(password: str, hashed: str) -> bool:
    """Takes some 50 ms, on purpose."""
    _, n, r, p, salt, digest = _parse(hashed)
    return hmac.compare_digest(_scrypt(password, salt, n, r, p), digest)


MAX_CHECKS_OF_ONE = 8
"""Those that one host may have waiting."""


class PasswordBook:
    """Who may come in."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """`hashes` by name."""
        self._hashes = dict(hashes)
        self._key = os.urandom(32)
        self._proven: dict[str, bytes] = {}
        """What each name has proven already: a browser opens many connections."""
        self._checks = asyncio.Semaphore(MAX_CHECKS)
        self._nobody = hash_password("")
        self._waiting: Counter[str] = Counter()
        """Checks that are under way, by host."""
        self._checking: dict[tuple[str, bytes], asyncio.Task[bool]] = {}
        """And by what is checked: a browser that begins opens sixty connections at once."""

    async def check(self, name: str, password: str, host: str) -> bool:
        """Whether the password is that of the name; an unknown name takes as long as a wrong password.

        `host` is whom it comes from: one that tries many at a time is refused, and holds nobody else up.
        """
        mark = hmac.digest(self._key, password.encode(), "sha256")
        if hmac.compare_digest(self._proven.get(name, b""), mark):
            return True
        checking = self._checking.get((name, mark))
        if checking is None:
            if self._waiting[host] >= MAX_CHECKS_OF_ONE:
                return False
            checking = self._begin(name, password, mark, host)
        return await asyncio.shield(checking)

    def _begin(self, name: str, password: str, mark: bytes, host: str) -> "asyncio.Task[bool]":
        checking = asyncio.get_running_loop().create_task(self._check(name, password, mark))
        self._checking[(name, mark)] = checking
        self._waiting[host] += 1

        def end(_: object) -> None:
            del self._checking[(name, mark)]
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host]

        checking.add_done_callback(end)
        return checking

    async def _check(self, name: str, password: str, mark: bytes) -> bool:
        hashed = self._hashes.get(name)
        async with self._checks:
            is_right = await asyncio.to_thread(verify, password, hashed or self._nobody)
        if not is_right or hashed is None:
            return False
        self._proven[name] = mark
        return True


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=_SIZE)


def _parse(text: str) -> tuple[str, int, int, int, bytes, bytes]:
    """Raises ValueError."""
    name, *numbers, salt, digest = text.split("$")
    if name != "scrypt" or len(numbers) != 3:
        raise ValueError("not a hash of `tandem password`")
    n, r, p = (int(number) for number in numbers)
    try:
        return name, n, r, p, base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
