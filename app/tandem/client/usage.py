"""What each link has carried today and this month, kept across restarts, and the caps on these amounts."""

import json
import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tandem.base.private_files import write_private
from tandem.base.units import format_size
from tandem.config.config import LinkConfig

log = logging.getLogger("tandem.client")

WARN_AT = 0.75
"""Share of a cap at which a warning is logged."""

SAVE_INTERVAL = 30.0
"""Seconds between two saves of the usage; a crash loses what was counted since the last one."""

LITTLE = 64 << 10
"""Bytes that are not worth a save of their own: an idle session must not keep a disk awake."""

RESTING_SAVE_INTERVAL = 600.0
"""Seconds between two saves where no more than LITTLE was carried."""

Today = Callable[[], str]
"""A function that returns the local date, such as 2026-11-25."""


def today() -> str:
    """The local date, by this machine's clock and time zone."""
    return time.strftime("%Y-%m-%d")


@dataclass(slots=True)
class LinkUsage:
    """Bytes that one link has carried in both directions, headers of IP and UDP included."""

    day: str = ""
    day_bytes: int = 0
    month_bytes: int = 0
    warned: set[str] = field(default_factory=set[str])

    def add(self, count: int, date: str) -> None:
        """Adds `count` bytes on a date; a new day or month begins at 0."""
        if date != self.day:
            if date[:7] != self.day[:7]:
                self.month_bytes = 0
            self.day, self.day_bytes = date, 0
            self.warned.clear()
        self.day_bytes += count
        self.month_bytes += count


class UsageBook:
    """Counts what links carry, warns before a cap is reached, and says which link has reached one."""

    def __init__(self, path: Path | None, *, date: Today = today) -> None:
        """`path`: the file of the usage, None where it is not kept."""
        self._path = path
        self._date = date
        self._usage = _load(path) if path is not None else {}
        self._saved_at = time.monotonic()
        self._unsaved = 0
        """Bytes that were counted since the last save."""

    def usage(self, name: str) -> LinkUsage:
        """The usage of one link, up to date."""
        usage = self._usage.setdefault(name, LinkUsage())
        usage.add(0, self._date())
        return usage

    def count(self, name: str, more: int) -> None:
        """Adds bytes that a link has carried."""
        self._unsaved += more
        self.usage(name).add(more, self._date())

    def problem(self, link: LinkConfig) -> str:
        """Why a link may carry nothing more; "" where it may. Logs a warning at WARN_AT of a cap."""
        usage = self.usage(link.name)
        for period, used, cap in _caps(link, usage):
            if used >= cap:
                return f"its {period} cap of {format_size(cap)} is used up"
            if used >= WARN_AT * cap and period not in usage.warned:
                usage.warned.add(period)
                text = f"{used / cap:.0%} of its {period} cap of {format_size(cap)} are used"
                log.warning("link %s: %s", link.name, text)
        return ""

    def remaining(self, link: LinkConfig) -> int:
        """Bytes that a link may carry before the next warning, or before it reaches a cap."""
        marks = (
            (WARN_AT * cap if used < WARN_AT * cap else cap) - used
            for _, used, cap in _caps(link, self.usage(link.name))
        )
        return math.ceil(min(marks, default=sys.maxsize))

    def save_if_due(self) -> None:
        """Saves the usage where SAVE_INTERVAL has passed, or RESTING_SAVE_INTERVAL where little has changed."""
        interval = SAVE_INTERVAL if self._unsaved > LITTLE else RESTING_SAVE_INTERVAL
        if time.monotonic() - self._saved_at >= interval:
            self.save()

    def save(self) -> None:
        """Saves the usage; where that fails, the old file stays whole."""
        self._saved_at = time.monotonic()
        if self._path is None:
            return
        record = {
            name: {"day": usage.day, "day_bytes": usage.day_bytes, "month_bytes": usage.month_bytes}
            for name, usage in self._usage.items()
        }
        try:
            write_private(self._path, json.dumps(record, indent=1).encode() + b"\n")
            self._unsaved = 0
        except OSError as error:
            log.warning("%s: %s; what the links carry is not kept", self._path, error.strerror)


def _caps(link: LinkConfig, usage: LinkUsage) -> list[tuple[str, int, int]]:
    """The caps that a link has: for each the period, the bytes used, and the bytes allowed."""
    caps = (("daily", usage.day_bytes, link.daily_bytes), ("monthly", usage.month_bytes, link.monthly_bytes))
    return [(period, used, cap) for period, used, cap in caps if cap is not None]


class LinkCap:
    """The gate of one link: counts what the link carries, and shuts it where a cap is reached.

    Bytes are added to the usage book only when `problem` or `usage` is called. Otherwise a batch costs one addition.
    """

    def __init__(self, config: LinkConfig, book: UsageBook) -> None:
        self._config = config
        self._book = book
        self._unbooked = 0
        self._allowance = 0
        """The value of `_unbooked` at which a warning is due, or a cap is reached."""

    def on_carried(self, size: int) -> bool:
        """Counts bytes that have crossed the link, headers included; returns whether to call `problem` now."""
        self._unbooked += size
        if self._unbooked < self._allowance:
            return False
        self._allowance = sys.maxsize  # one call of `problem` is enough
        return True

    def problem(self) -> str:
        """Why the link may carry nothing more; empty where it may."""
        self.usage()
        problem = self._book.problem(self._config)
        self._allowance = sys.maxsize if problem else self._book.remaining(self._config)
        return problem

    def usage(self) -> LinkUsage:
        """What the link has carried, up to date."""
        more, self._unbooked = self._unbooked, 0
        if self._allowance != sys.maxsize:
            self._allowance -= more  # whoever asks for the status must not put the end of a cap off
        self._book.count(self._config.name, more)
        return self._book.usage(self._config.name)


def _load(path: Path) -> dict[str, LinkUsage]:
    try:
        record = json.loads(path.read_text())
        return {
            str(name): LinkUsage(str(item["day"]), int(item["day_bytes"]), int(item["month_bytes"]))
            for name, item in record.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s: %s; counting begins anew", path, error)
        return {}
