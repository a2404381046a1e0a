"""Registrations of release 0.1, a file for each client in the state directory, move into the registry."""

import base64
import json
import logging
from itertools import chain, count
from pathlib import Path

from tandem.base.errors import TandemError
from tandem.registry.registration import Registration
from tandem.registry.registry import Registry

log = logging.getLogger("tandem.state")

TAKEN_OVER = "clients.taken-over"
"""Name of the directory of these files afterwards. It is kept for a return to the earlier release."""

_KEY_SIZE = 32


def has_files(state: Path) -> bool:
    """Whether a state directory has clients of release 0.1."""
    return (state / "clients").is_dir()


def take_over_files(registry: Registry, state: Path) -> None:
    """Moves the clients of a state directory into the registry, if it has any. The keys of their invites stay good.

    A file that cannot be used is logged, and the others count. Raises TandemError where nothing can be moved; then
    nothing has changed.
    """
    if not has_files(state):
        return
    old = state / "clients"
    if old.is_symlink():
        raise TandemError(f"{old}: it is a link", "put the directory itself there")
    found: list[Registration] = []
    try:
        for path in sorted(old.glob("[!.]*.json")):
            try:
                found.append(_read(path, state / "seen"))
            except TandemError as error:
                log.error("%s; all other clients are as they should be", error)
        taken = registry.take_over(found)
        old.rename(_unused(state / TAKEN_OVER))
    except OSError as error:
        raise TandemError(f"{old}: {error.strerror}", "it must be this user's: sudo -u USER") from error
    for name in taken:
        log.error("%s: another client of this name, or with this key, is registered already", old / f"{name}.json")
    log.info("%d clients are in %s now; their files are in %s", len(found) - len(taken), registry.place, TAKEN_OVER)


def _unused(path: Path) -> Path:
    """The path, or one with a number where there is a directory of that name from an earlier time."""
    names = (path.with_name(f"{path.name}.{number}") for number in count(2))
    return next(name for name in chain([path], names) if not name.exists())


def _read(path: Path, seen: Path) -> Registration:
    """The registration in a file; it is named after its file. Raises TandemError."""
    try:
        record = json.loads(path.read_text())
        public = base64.b64decode(record["public_key"], validate=True)
        if len(public) != _KEY_SIZE:
            raise ValueError(f"a key of {len(public)} bytes")
        return Registration(path.stem, public, str(record["created"])[:20], seen_at=_seen_at(seen / path.stem))
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}: it must be readable for the server's user") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TandemError(f"{path}: not a client file ({error}); invite that client again") from error


def _seen_at(path: Path) -> int | None:
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return None
