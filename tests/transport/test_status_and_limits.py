"""A path's status and counters; the rates, tokens and tables that keep strangers small."""

import pytest

from tandem_transport.bounded_table import BoundedTable
from tandem_transport.endpoint.rate_limits import RateLimiter
from tandem_transport.endpoint.tokens import TokenIssuer
from tandem_transport.events import PathStatus
from tandem_transport.parameters import (
    COOKIE_LIFETIME,
)
from tandem_transport.path.counters import PathCounters
from tandem_transport.path.status import PathSigns, evaluate

GOOD = PathSigns(True, 0.0, 0, False, 0.01, 0.030, 0.030, "")


@pytest.mark.parametrize(
    ("signs", "status", "reason"),
    [
        (GOOD, PathStatus.USABLE, ""),
        (GOOD._replace(loss=0.11), PathStatus.DEGRADED, "loss over 10%"),
        (GOOD._replace(is_suspect=True), PathStatus.DEGRADED, "an answer is late"),
        (GOOD._replace(smoothed_rtt=0.2), PathStatus.DEGRADED, "round trip over 3 x its minimum"),
        (GOOD._replace(silence=2.0, unanswered=4), PathStatus.DOWN, "no answer"),
        (GOOD._replace(silence=9.0, unanswered=3), PathStatus.USABLE, ""),
        (GOOD._replace(has_answered=False), PathStatus.PROBING, "no answer yet"),
        (GOOD._replace(has_answered=False, silence=3, unanswered=9), PathStatus.DOWN, "never answered"),
        (GOOD._replace(link_error="wlan0 is gone"), PathStatus.DOWN, "wlan0 is gone"),
    ],
)
def test_status_and_cause(signs: PathSigns, status: PathStatus, reason: str) -> None:
    assert evaluate(signs) == (status, reason)


def test_counters_forget() -> None:
    counters = PathCounters()
    counters.on_acked(80, now=1.0)
    counters.on_lost(20, now=2.0)
    assert counters.loss_sent(now=3.0) == pytest.approx(0.2)
    assert counters.loss_sent(now=30.0) is None
    counters.on_sent(1000, now=30.0)
    assert counters.rates(now=30.5)[0] == 1000
    assert counters.rates(now=32.0)[0] == 0


def test_a_rate_limiter_allows_its_rate() -> None:
    limiter = RateLimiter(10, now=0.0)
    assert sum(limiter.allows(now=0.0) for _ in range(50)) == 10
    assert sum(limiter.allows(now=0.5) for _ in range(50)) == 5


def test_tokens_live_for_two_periods_at_most() -> None:
    made = iter([b"a" * 32, b"b" * 32, b"c" * 32, b"d" * 32, b"e" * 32])
    issuer = TokenIssuer(lambda _: next(made), now=0.0)
    token = issuer.issue(b"me", now=1.0)
    assert token in issuer.valid(b"me", now=COOKIE_LIFETIME + 1)
    assert token not in issuer.valid(b"you", now=COOKIE_LIFETIME + 1)
    assert token not in issuer.valid(b"me", now=2 * COOKIE_LIFETIME + 2)


def test_a_bounded_table_forgets_its_oldest() -> None:
    table: BoundedTable[int, str] = BoundedTable(2)
    for i in range(3):
        table.put(i, str(i))
    assert (table.get(0), table.get(2), len(table)) == (None, "2", 2)
