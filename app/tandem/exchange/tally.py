"""Counts of requests that could not be served, by where and how they failed, for the status."""

from collections import Counter

from tandem_socks import SocksError

MAX_REASONS = 200
"""The maximum number of different reasons that are counted; there are only a few more than the system has errors."""


class Tally:
    """Counts of requests that were not served since the process began."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, failure: SocksError) -> None:
        """Counts one request that was not served."""
        reason = failure.without_target
        if reason in self._counts or len(self._counts) < MAX_REASONS:
            self._counts[reason] += 1

    @property
    def counts(self) -> dict[str, int]:
        """The counts by reason, such as `dial at the server: ECONNREFUSED`; a reason never names a target."""
        return dict(self._counts)
