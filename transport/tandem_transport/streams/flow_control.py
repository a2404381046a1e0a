"""Credit: how much may be sent, how much we offer (RFC 9000 section 4)."""

_GROW_WITHIN_RTTS = 4
"""A window that is half consumed within so many RTTs was too small."""
_QUICK_BELOW = 512 << 10
"""A window below this becomes four times as large, a larger one twice: two paths at their start outgrow doubling."""
_QUICK_FACTOR = 4
_DEFAULT_RTT = 0.1
_MIN_OFFER = 512
"""Bytes for which a sender is told of a new limit; less would make tiny packets."""
_MIN_SHARE = 1024
"""Bytes that each stream may have unread at the peer, however many others have; more than _MIN_OFFER."""


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
    that a slow reader slows its sender. The window grows where it is the limit: where it is
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

    @property
    def share_of_each(self) -> int:
        """What the peer gives each stream, if this is the session's window."""
        return fair_share(self.left, self._window)

    def on_consumed(self, size: int, share: int, *, rtt: float, now: float) -> int | None:
        """Returns the new limit where it is time to tell the peer.

        Where the peer gives each stream a small `share`, it must hear of little: else it would take
        one that has read everything for one that does not read.
        """
        self.consumed += size
        if self.consumed - self._marked >= self._window // 2:
            if now - self._marked_at < _GROW_WITHIN_RTTS * (rtt or _DEFAULT_RTT):
                self._grow()
            self._marked, self._marked_at = self.consumed, now
        return self.tell(share)

    def tell(self, share: int) -> int | None:
        """Returns the new limit where the peer does not know of so much that it should."""
        limit = self.consumed + self._window
        if limit - self.limit < min(self._window // 2, max(share // 4, _MIN_OFFER)):
            return None
        self.limit = limit
        return limit

    def on_gap(self, unread: int) -> int | None:
        """Data has arrived behind a gap; `unread` bytes before it wait for the application.

        Returns the new limit where it is time to tell the peer.
        """
        return self.on_filled() if unread <= self._window // 4 else None

    def on_filled(self) -> int | None:
        """Much of the window is unread, be it for slow readers; others must not wait for those.

        Returns the new limit where it is time to tell the peer.
        """
        if self.left > self._window // 2 or not self._grow():
            return None
        self.limit = self.consumed + self._window
        return self.limit

    def release(self) -> None:
        """Gives back what was taken from the budget; the window grows no more."""
        if self._budget is not None:
            self._budget.used -= self._grown
        self._grown, self._largest_window = 0, self._window

    def _grow(self) -> bool:
        """By as much as is wanted and the budget has; tells whether it grew."""
        factors = (_QUICK_FACTOR, 2) if self._window < _QUICK_BELOW else (2,)
        return any(self._grow_by((factor - 1) * self._window) for factor in factors)

    def _grow_by(self, growth: int) -> bool:
        growth = min(growth, self._largest_window - self._window)
        if growth <= 0:
            return False
        if self._budget is not None:
            if growth > self._budget.left_for(self._grown):
                return False
            self._budget.used += growth
        self._grown += growth
        self._window += growth
        return True


def fair_share(left: int, window: int) -> int:
    """Bytes that one stream may have unread, of a session's window with so much left; or may hold, of its memory.

    A quarter is for those that come late or have little: readers that stopped, however many, leave
    each of MAX_STREAMS others its least share. The rest is shared by dynamic thresholds.
    """
    return max(_MIN_SHARE, 2 * (left - window // 4))


class PeerWindow:
    """A receive window of the peer, as its newest limit told it: how large it is, what was read."""

    __slots__ = ("limit", "read", "window")

    def __init__(self, limit: int) -> None:
        self.limit = self.window = limit
        self.read = 0

    def raise_limit(self, limit: int, window: int, sent: int) -> None:
        """A MAX_DATA or MAX_STREAM_DATA that raises the limit, with so many bytes sent so far."""
        self.limit, self.window = limit, window
        self.read = min(max(self.read, limit - window), sent)


class SendCredit(PeerWindow):
    """What we may send on all streams together; the peer shares `window` out to them, `fair_share` to each."""

    __slots__ = ("used",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.used = 0

    @property
    def left(self) -> int:
        """Bytes that may be sent now."""
        return self.limit - self.used
