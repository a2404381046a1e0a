"""The event log: what happened to links and sessions, and why. It survives a restart; `tandem events` shows it.

One JSON object a line: at (UTC), event, client, link, state, cause, duration_s; fields that do not apply are left out.
"""

import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tandem.base.logs import clean, utc

log = logging.getLogger("tandem.events")

MAX_SIZE = 1 << 20
"""The maximum size of one file in bytes; a larger file is renamed to FILE.1, in place of the previous one."""

RECENT = 3600.0
"""Seconds for which events are also remembered in memory."""

MAX_RECENT = 200
"""The number of events that are remembered."""

EventName = Literal["started", "stopped", "session", "link", "outage", "mode", "drill"]


class Event(BaseModel):
    """Something that happened to the client, its session or a link."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    at: str
    event: EventName
    client: str | None = None
    """The name in the client's invite, because several clients of a machine may share a log."""
    link: str | None = None
    state: str | None = None
    cause: str | None = None
    duration_s: float | None = None

    def told(self, *, names_client: bool) -> str:
        """The event as one line for people; `names_client`: the line names the client, for a log of several clients."""
        what = f"link {self.link}" if self.link else self.event
        what += " drill" if self.link and self.event == "drill" else ""
        parts = [f"{self.at}  {self.client}: {what}" if names_client and self.client else f"{self.at}  {what}"]
        parts += [self.state] if self.state else []
        parts += [f"after {self.duration_s:.1f} s"] if self.duration_s is not None else []
        return clean(" ".join(parts) + (f" ({self.cause})" if self.cause else ""))

    def __str__(self) -> str:
        return self.told(names_client=False)


class EventLog:
    """Writes events, and remembers those of the last hour. Where the disk is full or read-only, only that is left."""

    def __init__(self, path: Path | None) -> None:
        """`path`: the file of the events, None where they are not kept."""
        self._path = path
        self._has_failed = False
        self._recent: deque[tuple[float, Event]] = deque(maxlen=MAX_RECENT)
        self.client: str | None = None
        """The name of the client whose events are written."""

    def add(
        self,
        event: EventName,
        *,
        link: str | None = None,
        state: str | None = None,
        cause: str | None = None,
        duration_s: float | None = None,
    ) -> None:
        """Writes an event that happens now."""
        now = time.time()
        made = Event(
            at=utc(now),
            event=event,
            client=self.client,
            link=clean(link) if link else None,
            state=state,
            cause=clean(cause) if cause else None,
            duration_s=duration_s,
        )
        self._recent.append((now, made))
        if self._path is None:
            return
        try:
            _append(self._path, made.model_dump_json(exclude_none=True) + "\n")
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("%s: %s; events are not kept", self._path, error.strerror)
            self._has_failed = True

    def recent(self) -> list[dict[str, object]]:
        """The events of the last hour, MAX_RECENT at most, the oldest first."""
        since = time.time() - RECENT
        return [event.model_dump(exclude_none=True) for at, event in self._recent if at >= since]


def previous(path: Path) -> Path:
    """The file with the older events."""
    return path.with_name(path.name + ".1")


def read(path: Path) -> Iterator[Event]:
    """All events that are kept, the oldest first; a line that a crash has cut off is skipped. Raises OSError."""
    for file in (previous(path), path):
        if not file.exists():
            continue
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield Event.model_validate(json.loads(line))
            except (ValueError, ValidationError):
                continue


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_SIZE:
        path.replace(previous(path))
    with open(path, "a", encoding="utf-8", opener=_private) as file:
        file.write(line)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
