"""Credit: how much may be sent, how much we offer (RFC 9000 section 4)."""

_GROW_WITHIN_RTTS = 4
"""A window that is half consumed within so many RTTs was too small."""
_DEFAULT_RTT = 0.1
LEAST_OFFER = 1024
"""Bytes for which a sender is told of a new limit; less would make tiny packets."""


class Budget:
    """Memory that the sessions of a server share.

    Each takes at most as much as it leaves for all others together: there is always something
    left for the next one (dynamic thresholds, docs/decisions/0003).
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def left_for(self, holder: int) -> int:
        """Bytes that somebody who holds `holder` bytes may take now."""
        return max(0, (self.limit - self.used - holder) // 2)


class ReceiveWindow:
    """What the peer may send to us on a stream, or on all of them.

    The offer moves on with what the application has consumed, not with what has arrived, so
    that a slow reader slows its sender. The window doubles where it is the limit: where it is
    consumed quickly, or where lost packets keep what has arrived from being consumed.
    """

    __slots__ = (
        "_budget",
        "_grown",
        "_largest_window",
        "_marked",
        "_marked_at",
        "_window",
        "consumed",
        "limit",
        "received",
    )

    def __init__(self, window: int, largest_window: int, budget: Budget | None = None) -> None:
        """With a budget, it grows only while that has room."""
        self._budget = budget
        self._grown = 0
        """Bytes taken from the budget."""
        self._window = window
        self._largest_window = largest_window
        self._marked = 0
        self._marked_at = float("inf")  # the first half always doubles it: nothing is known yet
        self.limit = window
        """Offset that the peer may send up to."""
        self.received = 0
        """Highest offset that the peer has sent up to."""
        self.consumed = 0

    @property
    def window(self) -> int:
        """Bytes that may be unread at once."""
        return self._window

    @property
    def left(self) -> int:
        """Bytes that the peer may still send."""
        return self.limit - self.received

    def on_consumed(self, size: int, session_left: int, *, rtt: float, now: float) -> int | None:
        """Returns the new limit where it is time to tell the peer.

        Where the session has little left, the peer gives each stream little, and must hear of
        little: else it would take one that has read everything for one that does not read.
        """
        self.consumed += size
        if self.consumed - self._marked >= self._window // 2:
            if now - self._marked_at < _GROW_WITHIN_RTTS * (rtt or _DEFAULT_RTT):
                self._grow()
            self._marked, self._marked_at = self.consumed, now
        limit = self.consumed + self._window
        if limit - self.limit < min(self._window // 2, max(session_left // 4, LEAST_OFFER)):
            return None
        self.limit = limit
        return limit

    def on_gap(self, unread: int) -> int | None:
        """Data has arrived behind a gap; `unread` bytes before it wait for the application.

        Returns the new limit where it is time to tell the peer.
        """
        is_reader_idle = unread <= self._window // 4
        if not is_reader_idle or self.limit - self.received > self._window // 2:
            return None
        if not self._grow():
            return None
        self.limit = self.consumed + self._window
        return self.limit

    def on_filled(self) -> int | None:
        """Much of the window is unread, be it for slow readers; others must not wait for those.

        Returns the new limit where it is time to tell the peer.
        """
        if self.limit - self.received > self._window // 2 or not self._grow():
            return None
        self.limit = self.consumed + self._window
        return self.limit

    def release(self) -> None:
        """Gives back what was taken from the budget."""
        if self._budget is not None:
            self._budget.used -= self._grown
        self._grown = 0

    def _grow(self) -> bool:
        growth = min(self._window, self._largest_window - self._window)
        if growth <= 0:
            return False
        if self._budget is not None:
            if growth > self._budget.left_for(self._grown):
                return False
            self._budget.used += growth
        self._grown += growth
        self._window += growth
        return True


class SendCredit:
    """What we may send on all streams together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def left(self) -> int:
        return self.limit - self.used
