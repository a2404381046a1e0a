"""Counts of what could not be served, by where and how it failed, for whoever watches a Tandem."""

from collections import Counter

from tandem_socks import SocksError

MAX_REASONS = 200
"""Different reasons that are counted; there are as many as the system has errors, and a few more."""


class Tally:
    """Grows until the process ends."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, failure: SocksError) -> None:
        """One more request that was not served."""
        reason = failure.without_target
        if reason in self._counts or len(self._counts) < MAX_REASONS:
            self._counts[reason] += 1

    @property
    def counts(self) -> dict[str, int]:
        """By reason, such as `dial at the server: ECONNREFUSED`; it never names a target."""
        return dict(self._counts)
