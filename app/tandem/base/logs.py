"""Logs: to standard error or to a file, as text or as JSON. One record is one line, whatever text is in it.

Names, reasons and targets come from the other end, and people read a log in a terminal. So secrets are masked, and
control characters are escaped: no text can control the terminal or look like another line.
"""

import json
import logging
import logging.handlers
import os
import re
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from tandem.base.errors import UsageError
from tandem_transport.text import printable

_SECRET = re.compile(r"tandem://\S{8,}")

_hides_targets = False
"""Whether log lines hide targets. It is global because, like the log level, it applies to the whole process."""


@runtime_checkable
class Targeted(Protocol):
    """An argument of a log line that names the target of a connection."""

    @property
    def without_target(self) -> str:
        """The text of the argument without the target, for logs that hide targets."""
        ...


def mask(text: str) -> str:
    """Masks the secret after every tandem:// in a text."""
    return _SECRET.sub("tandem://***", text)


def clean(text: str) -> str:
    """A text as one line for people: secrets masked, control characters escaped."""
    return printable(mask(text))


def utc(moment: float, *, digits: int = 0) -> str:
    """A time, in seconds since 1970, as ISO 8601 in UTC: the only time format for programs. `digits`: decimals."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 10**digits):0{digits}}Z" if digits else f"{whole}Z"


def message(record: logging.LogRecord) -> str:
    """The message of a record, in one line."""
    arguments = record.args
    if _hides_targets and isinstance(arguments, tuple):
        arguments = tuple(item.without_target if isinstance(item, Targeted) else item for item in arguments)
    text = str(record.msg)
    return clean(text % arguments if arguments else text)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        lines = [f"{clock} {record.levelname.lower():7} {record.name}: {message(record)}", *_traceback(self, record)]
        return "\n".join(lines)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": utc(record.created, digits=3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": "\n".join([message(record), *_traceback(self, record)]),
        }
        return json.dumps(entry)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The lines of a record's traceback, indented so that none of them looks like a record."""
    if not record.exc_info:
        return []
    return [f"    {clean(line)}" for line in formatter.formatException(record.exc_info).splitlines()]


def set_up(
    level: str, form: Literal["text", "json"] = "text", file: Path | None = None, *, targets: bool = True
) -> None:
    """Sends all logs of this process to standard error, or to a file that only its owner can read.

    A file that was moved away is created again, so that logrotate needs no signal. Without `targets`,
    lines do not name the targets of connections. Raises UsageError where the file cannot be written.
    """
    global _hides_targets
    _hides_targets = not targets
    handler = _handler(file)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    try:
        return _PrivateFileHandler(file)
    except OSError as error:
        raise UsageError(f"--log-file: {file}: {error.strerror}", "it names a file in a directory of yours") from error


class _PrivateFileHandler(logging.handlers.WatchedFileHandler):
    """A log file that only its owner can read. Where it cannot be opened again, lines are lost, and nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
