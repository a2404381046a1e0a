"""How many bytes a client may carry in a day or a month, and when these begin. All days are days of UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from tandem.base.units import SIZES, format_size, parse_size

Period = Literal["day", "month"]

LAST_FIRST_DAY = 28
"""The last day of a month on which a client's month may begin: every month has it."""

QUOTAS = f"SIZE/day or SIZE/month, such as 50GB/month; SIZE is {SIZES}"

_QUOTA = re.compile(r"(.+)/(day|month)")


@dataclass(frozen=True, slots=True)
class Quota:
    """An amount of data for each day or month; a month begins on a chosen day."""

    limit: int
    """Bytes."""
    period: Period
    month_begins: int = 1
    """Day of the month, from 1 to LAST_FIRST_DAY, on which a month begins."""

    def __str__(self) -> str:
        begins = f" (from day {self.month_begins})" if self.period == "month" and self.month_begins > 1 else ""
        return f"{format_size(self.limit)} a {self.period}{begins}"

    def begun_on(self, now: float) -> str:
        """The date on which the present period has begun, such as 2026-11-15. `now`: seconds since the epoch."""
        return self._begun(now).strftime("%Y-%m-%d")

    def ends_at(self, now: float) -> int:
        """When the present period ends, in seconds since the epoch."""
        begun = self._begun(now)
        if self.period == "day":
            return int((begun + timedelta(days=1)).timestamp())
        later = begun + timedelta(days=31)
        return int(later.replace(day=self.month_begins).timestamp())

    def _begun(self, now: float) -> datetime:
        today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.period == "day" or today.day == self.month_begins:
            return today
        if today.day > self.month_begins:
            return today.replace(day=self.month_begins)
        return (today.replace(day=1) - timedelta(days=1)).replace(day=self.month_begins)


def parse_quota(text: str, *, month_begins: int = 1) -> Quota:
    """Parses text such as 50GB/month. Raises ValueError that says what is accepted."""
    match = _QUOTA.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a quota; accepted is {QUOTAS}")
    period: Period = "day" if match[2] == "day" else "month"
    limit = parse_size(match[1])
    if not limit:
        raise ValueError(f"{text!r} leaves nothing; `tandem clients disable` keeps a client out")
    return Quota(limit, period, month_begins)
