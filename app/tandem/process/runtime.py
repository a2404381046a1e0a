"""The runtime directory: where a running Tandem leaves the admin token for its command line.

The last fallback is a directory in /tmp, which another user may have created before us. So it is used only if no
other user can write in it, and symbolic links in it are not followed.
"""

import contextlib
import os
import re
import secrets
import stat
import sys
import tempfile
from pathlib import Path

from tandem.base.errors import TandemError
from tandem.base.private_files import write_private

_OF_ROOT = Path("/run/tandem")
_OF_SERVICES = (Path("/run/tandem/server"), Path("/run/tandem/client"))
"""The runtime directories of the units in deploy/systemd."""

_TOKEN = re.compile(r"[!-~]{16,256}")


def directory() -> Path:
    """The runtime directory. It is private to this user, and created on first use."""
    if base := os.environ.get("RUNTIME_DIRECTORY"):  # systemd sets it
        return Path(base.split(":")[0])
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "tandem"
    if sys.platform == "win32":
        return Path(tempfile.gettempdir()) / "tandem"
    if os.geteuid() == 0:
        return _OF_ROOT
    return Path(tempfile.gettempdir()) / f"tandem-{os.geteuid()}"


def new_token() -> str:
    """A random admin token."""
    return secrets.token_urlsafe(24)


def publish_token(port: int, token: str) -> None:
    """Stores an admin token for the command line. Raises TandemError where that is not possible."""
    path = _token_file(port)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent == _OF_ROOT:
            path.parent.chmod(0o755)  # services have their directories in it; a token file is 0600 anyway
        if not _is_ours(path.parent):
            raise TandemError(
                f"{path.parent}: it is not this user's alone", "XDG_RUNTIME_DIR names a directory of yours"
            )
        write_private(path, token.encode())
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}", "XDG_RUNTIME_DIR names a directory of yours") from error


def withdraw_token(port: int) -> None:
    """Deletes the token of the admin endpoint with this port, which is closed."""
    with contextlib.suppress(OSError):
        _token_file(port).unlink()


def find_token(port: int) -> str | None:
    """The token of the Tandem whose admin endpoint has this port, None where there is none that can be trusted."""
    found = (_read_token(place / _name(port)) for place in [directory(), *_OF_SERVICES])
    return next((token for token in found if token is not None), None)


def _read_token(path: Path) -> str | None:
    try:
        if not _is_ours(path.parent):
            return None
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle) as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or not _is_owner(status.st_uid):
                return None
            token = file.read(256)
    except (OSError, UnicodeDecodeError):
        return None
    return token if _TOKEN.fullmatch(token) else None


def _is_ours(place: Path) -> bool:
    """Whether `place` is a directory, not a link, and no other user can write in it. Raises OSError."""
    status = os.lstat(place)
    if sys.platform == "win32":
        return stat.S_ISDIR(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and _is_owner(status.st_uid) and not status.st_mode & 0o022


def _is_owner(uid: int) -> bool:
    """Whether the files of an owner can be trusted. Root trusts all: it has created the directories of the services."""
    if sys.platform == "win32":
        return True
    return os.geteuid() == 0 or uid in (os.geteuid(), 0)


def _token_file(port: int) -> Path:
    return directory() / _name(port)


def _name(port: int) -> str:
    return f"admin-{port}.token"
