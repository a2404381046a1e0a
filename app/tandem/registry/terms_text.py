"""The terms of a client as people write and read them, the same at the command line and at the admin endpoint."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from tandem.base.errors import UsageError
from tandem.base.units import parse_rate
from tandem.registry.quota import LAST_FIRST_DAY, Quota, parse_quota
from tandem.registry.registration import MAX_NOTE, Registration, Terms

NONE = "none"
"""The word that takes a limit away."""

TIMES = "a date such as 2027-03-01 (it ends when that day begins, UTC), a time such as 2027-03-01T12:00Z, or none"

FIELDS = ("quota", "month_begins", "expires", "rate", "max_streams", "note")
"""What `changed_terms` accepts."""


def changed_terms(terms: Terms, words: Mapping[str, str]) -> Terms:
    """The terms with some of FIELDS changed. Raises UsageError that says what is accepted."""
    try:
        return _changed(terms, words)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _changed(terms: Terms, words: Mapping[str, str]) -> Terms:
    quota = terms.quota
    if "quota" in words:
        begins = quota.month_begins if quota else 1
        quota = None if words["quota"] == NONE else parse_quota(words["quota"], month_begins=begins)
    if "month_begins" in words:
        quota = _with_month(quota, words["month_begins"])
    terms = replace(terms, quota=quota)
    if "expires" in words:
        terms = replace(terms, expires_at=None if words["expires"] == NONE else _time(words["expires"]))
    if "rate" in words:
        terms = replace(terms, rate=None if words["rate"] == NONE else parse_rate(words["rate"]))
    if "max_streams" in words:
        terms = replace(terms, max_streams=None if words["max_streams"] == NONE else _count(words["max_streams"]))
    return replace(terms, note=_note(words["note"])) if "note" in words else terms


def _with_month(quota: Quota | None, text: str) -> Quota:
    if quota is None or quota.period != "month":
        raise ValueError("the day on which a month begins belongs to a quota for a month, such as 50GB/month")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LAST_FIRST_DAY:
        raise ValueError(f"{text!r} is not a day on which each month can begin; accepted is 1 to {LAST_FIRST_DAY}")
    return replace(quota, month_begins=int(text))


def _time(text: str) -> int:
    try:
        made = datetime.fromisoformat(text)
        return int((made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time; accepted is {TIMES}") from error


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise ValueError(f"{text!r} is not a number of connections; accepted is 1 to 1000000, or {NONE}")
    return int(text)


def _note(text: str) -> str:
    if len(text) > MAX_NOTE or not text.isprintable():
        raise ValueError(f"a note has at most {MAX_NOTE} characters, in one line; this one has {len(text)}")
    return text


def described(registration: Registration) -> dict[str, object]:
    """A registration as JSON. Times are seconds since the epoch, null for never or no limit."""
    terms = registration.terms
    return {
        "name": registration.name,
        "registered": registration.created,
        "connected": registration.is_online,
        "last_seen": registration.seen_at,
        "used_bytes": registration.used,
        "quota_bytes": terms.quota.limit if terms.quota else None,
        "quota_period": terms.quota.period if terms.quota else None,
        "month_begins": terms.quota.month_begins if terms.quota else None,
        "quota_ends": terms.quota.ends_at(time.time()) if terms.quota else None,
        "expires": terms.expires_at,
        "disabled": terms.is_disabled,
        "rate_bps": terms.rate * 8 if terms.rate is not None else None,
        "max_streams": terms.max_streams,
        "note": terms.note,
    }
