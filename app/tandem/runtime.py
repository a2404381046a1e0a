"""The runtime directory: where a running Tandem leaves the admin token for its command line."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from tandem.errors import TandemError
from tandem.state import write_private


def directory() -> Path:
    """Private to this user; made on first use."""
    if base := os.environ.get("RUNTIME_DIRECTORY"):  # systemd sets it
        return Path(base.split(":")[0])
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "tandem"
    if os.geteuid() == 0:
        return Path("/run/tandem")
    return Path(tempfile.gettempdir()) / f"tandem-{os.geteuid()}"


def publish_token(port: int) -> str:
    """Makes a new admin token and leaves it for the command line. Raises TandemError."""
    token = secrets.token_urlsafe(24)
    path = _token_file(port)
    try:
        write_private(path, token.encode())
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}", "XDG_RUNTIME_DIR names a directory of yours") from error
    return token


def withdraw_token(port: int) -> None:
    """Nobody listens there any more."""
    with contextlib.suppress(OSError):
        _token_file(port).unlink()


def find_token(port: int) -> str | None:
    """The token of the Tandem whose admin endpoint has this port, None where there is none."""
    path = _token_file(port)
    try:
        if path.stat().st_uid not in (os.geteuid(), 0):
            return None
        return path.read_text()
    except OSError:
        return None


def _token_file(port: int) -> Path:
    return directory() / f"admin-{port}.token"
