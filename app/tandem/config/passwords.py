"""Passwords of the SOCKS port: hashed in the file, and checked without a delay for users who have proven theirs.

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
"""The maximum number of passwords that are hashed at the same time; each takes some 50 ms and 16 MB."""


def hash_password(password: str) -> str:
    """The hash of a password, for the configuration file."""
    salt = os.urandom(16)
    digest = _scrypt(password, salt, _N, _R, _P)
    return "$".join(["scrypt", str(_N), str(_R), str(_P), _text(salt), _text(digest)])


def is_hash(text: str) -> bool:
    """Whether the text is a hash that `verify` can check."""
    try:
        _, n, r, p, _, digest = _parse(text)
    except ValueError:
        return False
    return n > 1 and n & (n - 1) == 0 and 128 * n * r * p <= _MAX_MEMORY // 2 and len(digest) == _SIZE


def verify(password: str, hashed: str) -> bool:
    """Whether a password matches a hash. Takes some 50 ms, on purpose."""
    _, n, r, p, salt, digest = _parse(hashed)
    return hmac.compare_digest(_scrypt(password, salt, n, r, p), digest)


MAX_CHECKS_OF_ONE = 8
"""The maximum number of password checks that one host may have under way."""


class PasswordBook:
    """The names and passwords that may use the SOCKS port."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """`hashes`: the password hash of each name."""
        self._hashes = dict(hashes)
        self._key = os.urandom(32)
        self._proven: dict[str, bytes] = {}
        """A keyed digest of the password that each name has proven, because a browser opens many connections."""
        self._checks = asyncio.Semaphore(MAX_CHECKS)
        self._nobody = hash_password("")
        self._waiting: Counter[str] = Counter()
        """The number of checks that are under way, by host."""
        self._checking: dict[tuple[str, bytes], asyncio.Task[bool]] = {}
        """The checks under way, by name and password digest: the sixty connections of a starting browser share one."""

    async def check(self, name: str, password: str, host: str) -> bool:
        """Whether the password is that of the name; an unknown name takes as long as a wrong password.

        `host`: where the request comes from. A host with too many checks under way is refused, so that it does
        not delay others.
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
    """The parts of a hash. Raises ValueError where it is malformed."""
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
