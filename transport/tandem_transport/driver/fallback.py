"""When a link sends through TLS instead of UDP, and when it tries UDP again.

Time is the argument `now`, in seconds of a monotonic clock.
"""

from enum import StrEnum

SILENT_AFTER = 5.0
"""Seconds without an answer by UDP after which TLS is tried."""

CONNECT_AGAIN = 2.0
"""Seconds until TLS is tried again after it has failed; twice as long after each further failure."""

CONNECT_AGAIN_MAX = 30.0

ASK_AFTER = 60.0
"""Seconds between two questions by UDP while TLS is in use; longer where UDP has failed soon after it had answered."""

ASK_AFTER_MAX = 960.0

ANSWER_WITHIN = 5.0
"""Seconds in which an answer by UDP counts as one to the last question."""

DEAD_AFTER = 10.0
"""Seconds without an answer by TLS after which the connection is given up, and made anew."""


class Transport(StrEnum):
    """How a link carries packets."""

    AUTO = "auto"
    """By UDP, and by TLS where UDP is not answered."""
    UDP = "udp"
    TLS = "tls"


class Fallback:
    """The decisions of one link."""

    def __init__(self, wish: Transport) -> None:
        self.wish = wish
        self._again_at = float("-inf")
        self._wait = CONNECT_AGAIN
        self._resumes = False
        """TLS was in use, and its connection has ended: UDP is hardly answered now."""
        self._used_since: float | None = None
        """Since when TLS is in use, None while it is not."""
        self._asked_at: float | None = None
        self._interval = ASK_AFTER
        self._returned_at = float("-inf")

    @property
    def is_in_use(self) -> bool:
        """Whether TLS is in use."""
        return self._used_since is not None

    def should_connect(self, *, silence: float, now: float) -> bool:
        """Whether a TLS connection is wanted that is not there. `silence`: seconds without an answer by UDP."""
        if self.wish is Transport.UDP or self.is_in_use or now < self._again_at:
            return False
        return self.wish is Transport.TLS or self._resumes or silence >= SILENT_AFTER

    def on_failed(self, *, now: float) -> None:
        """TLS could not be connected."""
        self._resumes = False
        self._again_at = now + self._wait
        self._wait = min(2 * self._wait, CONNECT_AGAIN_MAX)

    def on_connected(self, *, now: float) -> None:
        """TLS is in use from now on."""
        if now - self._returned_at < ASK_AFTER:  # UDP answers questions, and carries nothing
            self._interval = min(2 * self._interval, ASK_AFTER_MAX)
        self._used_since, self._asked_at, self._resumes = now, None, False
        self._wait = CONNECT_AGAIN

    def on_lost(self, *, is_same_network: bool = True, now: float) -> None:
        """The TLS connection has ended; it is made anew at once, but not again and again.

        On another network UDP is tried first, as at the start.
        """
        was_short = self._used_since is not None and now - self._used_since < CONNECT_AGAIN
        self._used_since = None
        if was_short:
            self.on_failed(now=now)
        else:
            self._again_at, self._resumes = now, is_same_network

    def is_question_due(self, *, now: float) -> bool:
        """Whether the server should be asked by UDP now; if so, it counts as asked."""
        if self.wish is not Transport.AUTO or self._used_since is None:
            return False
        since = self._used_since if self._asked_at is None else self._asked_at
        if now - since < self._interval:
            return False
        self._asked_at = now
        return True

    def is_answer(self, *, now: float) -> bool:
        """Whether what has arrived by UDP is the answer to a question: the link goes back to UDP."""
        return self.is_in_use and self._asked_at is not None and now - self._asked_at <= ANSWER_WITHIN

    def on_returned(self, *, now: float) -> None:
        """UDP is in use again."""
        if now - self._returned_at > ASK_AFTER_MAX:
            self._interval = ASK_AFTER
        self._used_since = None
        self._returned_at = now
