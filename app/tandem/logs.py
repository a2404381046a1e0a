"""Logs: to standard error, as text or as JSON, secrets masked."""

import json
import logging
import re
import sys
import time
from typing import Literal

_SECRET = re.compile(r"tandem://\S{8,}")


def mask(text: str) -> str:
    """Hides everything after tandem:// wherever it stands."""
    return _SECRET.sub("tandem://***", text)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        return mask(f"{clock} {record.levelname.lower():7} {record.name}: {_message(self, record)}")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(_message(self, record)),
        }
        return json.dumps(entry)


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + formatter.formatException(record.exc_info)
    return text


def set_up(level: str, form: Literal["text", "json"]) -> None:
    """Sends all logs of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
