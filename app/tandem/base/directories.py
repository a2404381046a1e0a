"""Where this user's files are."""

import os
import sys
from pathlib import Path

from tandem.base.errors import UsageError


def default_directory() -> Path:
    """The state directory where none is configured."""
    if directory := os.environ.get("STATE_DIRECTORY"):  # systemd sets it
        return Path(directory.split(":")[0])
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/tandem")
    base = os.environ.get("XDG_STATE_HOME") or home("XDG_STATE_HOME") / ".local" / "state"
    return Path(base) / "tandem"


def home(instead: str) -> Path:
    """This user's home directory. Raises UsageError where there is none, with the hint to set HOME or `instead`."""
    try:
        return Path.home()
    except RuntimeError as error:  # no HOME, and no entry in the system's list of users
        raise UsageError(f"{_this_user()} has no home directory", f"set HOME, or {instead}") from error


def _this_user() -> str:
    if sys.platform == "win32":
        return "this user"
    return f"user {os.geteuid()}"
