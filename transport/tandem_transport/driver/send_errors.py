"""Errors of the system when datagrams are sent: the error that lasts, and a log that cannot be flooded."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger("tandem.udp")

REPORT_INTERVAL = 60.0
"""Minimum seconds between two log lines about an error that was logged before."""

_LASTING_AFTER = 1.0
"""Seconds in which all sends have failed after which their error counts as lasting, not as temporary."""


class SendErrors:
    """The send errors of one link, even when its socket changes, or of one socket of a server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.text = ""
        """The error of the last send; empty once a send succeeds."""
        self._failing_since = self._failed_at = float("-inf")
        self._seen: set[str] = set()
        """Errors that were logged; all are forgotten when none has happened for REPORT_INTERVAL."""
        self._reported_at = float("-inf")
        self._unreported = 0

    @property
    def lasting(self) -> str:
        """The error of a link on which no send has succeeded for more than a second; else an empty text."""
        return self.text if self._failed_at - self._failing_since > _LASTING_AFTER else ""

    def on_success(self) -> None:
        """The system has accepted a datagram."""
        self.text = ""

    def on_failure(self, error: OSError, place: str) -> None:
        """The system has refused a datagram; `place` is the local address, for the log."""
        self.report(error, place)
        now = self._clock()
        if not self.text:
            self._failing_since = now
        self.text, self._failed_at = error.strerror or str(error), now

    def report(self, error: OSError, place: str) -> None:
        """Logs an error once, and then at most once a minute how often it has happened."""
        now = self._clock()
        text = error.strerror or str(error)
        if now - max(self._failed_at, self._reported_at) >= REPORT_INTERVAL:
            self._seen.clear()
        if text not in self._seen:
            self._seen.add(text)
            self._reported_at, self._unreported = now, 0
            log.info("%s: %s", place, text)
            return
        self._unreported += 1
        if now - self._reported_at >= REPORT_INTERVAL:
            log.info("%s: %s; %d more in the last %.0f s", place, text, self._unreported, now - self._reported_at)
            self._reported_at, self._unreported = now, 0
