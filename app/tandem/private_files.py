"""Files with secrets in them: their owner's alone, or not read. Imports little: `tandem connect` must start fast."""

import sys
from pathlib import Path

from tandem.errors import UsageError


def is_open_to_others(path: Path) -> bool:
    """Whether somebody but its owner may do anything with it; never on Windows. Raises OSError."""
    return sys.platform != "win32" and bool(path.stat().st_mode & 0o077)


def read_private(path: Path, what: str, hint: str) -> str:
    """The text of a file that holds `what`; `hint` says how a file is named. Raises UsageError."""
    path = path.expanduser()
    try:
        if is_open_to_others(path):
            raise UsageError(f"{path}: others can read this {what}", f"chmod 600 {path}")
        return path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint) from error
