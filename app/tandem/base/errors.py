"""Failures that are expected: a message, a hint, an exit code, never a traceback."""

import os
import sys

_WINSOCK = 10_000
"""The first number of the errors of sockets on Windows, which `os.strerror` does not know there."""


def os_error_text(error: OSError) -> str:
    """The system's text for an error, without the address that asyncio adds, which our messages name already."""
    if not error.errno:
        return str(error)
    if sys.platform == "win32" and error.errno >= _WINSOCK:
        import ctypes

        return ctypes.FormatError(error.errno)
    return os.strerror(error.errno)


class TandemError(Exception):
    """Something could not be done. `main` prints it and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(TandemError):
    """The command line, the configuration or an invite is wrong."""

    exit_code = 2
