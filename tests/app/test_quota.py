"""Quotas as people write them, and the days on which they begin anew."""

from datetime import UTC, datetime

import pytest

from tandem.base.errors import UsageError
from tandem.registry.quota import Quota
from tandem.registry.registration import Terms
from tandem.registry.terms_text import changed_terms


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("quota", "now", "begun", "ends"),
    [
        (Quota(1, "day"), "2026-11-28T00:00:00", "2026-11-28", "2026-11-29"),
        (Quota(1, "day"), "2026-12-31T23:59:59", "2026-12-31", "2027-01-01"),
        (Quota(1, "month"), "2026-11-28T12:00:00", "2026-11-01", "2026-12-01"),
        (Quota(1, "month"), "2026-12-01T00:00:00", "2026-12-01", "2027-01-01"),
        (Quota(1, "month", 15), "2026-11-14T23:59:59", "2026-10-15", "2026-11-15"),
        (Quota(1, "month", 15), "2026-11-15T00:00:00", "2026-11-15", "2026-12-15"),
        (Quota(1, "month", 15), "2027-01-03T00:00:00", "2026-12-15", "2027-01-15"),
        (Quota(1, "month", 28), "2027-02-28T00:00:00", "2027-02-28", "2027-03-28"),
        (Quota(1, "month", 28), "2027-03-01T00:00:00", "2027-02-28", "2027-03-28"),
        (Quota(1, "month", 28), "2028-03-27T00:00:00", "2028-02-28", "2028-03-28"),
    ],
)
def test_periods_begin_and_end(quota: Quota, now: str, begun: str, ends: str) -> None:
    assert quota.begun_on(at(now)) == begun
    assert quota.ends_at(at(now)) == at(ends)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"quota": "50GB/month"}, Terms(quota=Quota(50 * 10**9, "month"))),
        ({"quota": "1.5 GiB/day"}, Terms(quota=Quota(3 << 29, "day"))),
        ({"quota": "1GB/month", "month_begins": "28"}, Terms(quota=Quota(10**9, "month", 28))),
        ({"expires": "2027-03-01"}, Terms(expires_at=int(at("2027-03-01")))),
        ({"expires": "2027-03-01T12:30+01:00"}, Terms(expires_at=int(at("2027-03-01T11:30")))),
        ({"rate": "20Mbit/s", "max_streams": "7", "note": "Räder"}, Terms(rate=2_500_000, max_streams=7, note="Räder")),
    ],
)
def test_terms_are_read_as_people_write_them(words: dict[str, str], expected: Terms) -> None:
    made = changed_terms(Terms(), words)
    assert made == expected
    taken_away = {key: "" if key == "note" else "none" for key in words if key != "month_begins"}
    assert changed_terms(made, taken_away) == Terms()


def test_what_is_not_named_stays_and_so_does_the_day_on_which_the_month_begins() -> None:
    terms = changed_terms(Terms(is_disabled=True, rate=5), {"quota": "1GB/month", "month_begins": "3"})
    assert changed_terms(terms, {"quota": "2GB/month"}) == Terms(Quota(2 * 10**9, "month", 3), None, True, 5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"quota": "50GB"}, "SIZE/day or SIZE/month"),
        ({"quota": "50GB/week"}, "SIZE/day or SIZE/month"),
        ({"quota": "lots/day"}, "such as 2 GB"),
        ({"quota": "1GB/day", "month_begins": "3"}, "belongs to a quota for a month"),
        ({"quota": "1GB/month", "month_begins": "29"}, "accepted is 1 to 28"),
        ({"quota": "1GB/month", "month_begins": "0"}, "accepted is 1 to 28"),
        ({"month_begins": "2"}, "belongs to a quota for a month"),
        ({"expires": "soon"}, "2027-03-01"),
        ({"expires": "9999-13-01"}, "2027-03-01"),
        ({"rate": "20"}, "such as 5 Mbit/s"),
        ({"rate": "0 bit/s"}, "such as 5 Mbit/s"),
        ({"max_streams": "0"}, "accepted is 1 to 1000000"),
        ({"max_streams": "-1"}, "accepted is 1 to 1000000"),
        ({"max_streams": "²"}, "accepted is 1 to 1000000"),
        ({"note": "x" * 201}, "at most 200 characters"),
        ({"note": "a\nb"}, "in one line"),
    ],
)
def test_mistakes_are_answered_with_what_is_accepted(words: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed_terms(Terms(), words)
    assert said in str(caught.value)
