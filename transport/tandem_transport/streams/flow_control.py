"""Flow control credit: how much we may send, and how much we let the peer send (RFC 9000 section 4)."""

from math import inf
from typing import Final

_GROW_WITHIN_RTTS: Final = 4
"""RTTs within which half of a window must be consumed for the window to grow."""
_QUICK_BELOW: Final = 512 << 10
"""Bytes below which a window grows fourfold, not twofold: in start-up, two paths together are faster than doubling."""
_QUICK_FACTOR: Final = 4
_DEFAULT_RTT: Final = 0.1
_MIN_OFFER: Final = 512
"""Minimum bytes by which a limit rises before the sender is told; less would cause tiny packets."""
_MIN_SHARE: Final = 1024
"""Bytes that each stream may always have unread at the peer, however many streams there are; more than _MIN_OFFER."""


class Budget:
    """Memory that the sessions of a server share.

    Each session takes at most as much as it leaves for all others together, so there is always
    some memory left for the next one (dynamic thresholds, docs/decisions/0003).
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def left_for(self, holder: int) -> int:
        """Bytes that a session that already has `holder` bytes may take now."""
        return max(0, (self.limit - self.used - holder) // 2)


class ReceiveWindow:
    """The flow control window for what the peer sends on one stream, or on all streams.

    The limit advances with what the application has consumed, not with what has arrived, so
    that a slow reader slows down its sender. The window grows where it limits the transfer: it is
    consumed quickly, or lost packets prevent the consumption of what has arrived.
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
        """With a `budget`, the window grows only while the budget has room. Sizes are in bytes."""
        self._budget = budget
        self._grown = 0
        """Bytes by which the window has grown; they are taken from the budget."""
        self._window = window
        self._largest_window = largest_window
        self._marked = 0
        self._marked_at = inf  # consuming the first half always grows it: nothing is measured yet
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
        """Bytes that the peer lets each stream have unread, if this is the session's window."""
        return fair_share(self.left, self._window)

    def on_consumed(self, size: int, share: int, *, rtt: float, now: float) -> int | None:
        """The application has consumed `size` bytes. Returns the new limit where it is time to tell the peer.

        Where the peer gives each stream a small `share`, it must learn of small advances too: otherwise it
        would treat a stream that has read everything as one that does not read.
        """
        self.consumed += size
        if self.consumed - self._marked >= self._window // 2:
            if now - self._marked_at < _GROW_WITHIN_RTTS * (rtt or _DEFAULT_RTT):
                self._grow()
            self._marked, self._marked_at = self.consumed, now
        return self.tell(share)

    def tell(self, share: int) -> int | None:
        """Returns the new limit where it has advanced so far that the peer should know; `share` as in `on_consumed`."""
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
        """Much of the window is unread, perhaps because of slow readers; other streams must not wait for those.

        Returns the new limit where it is time to tell the peer.
        """
        if self.left > self._window // 2 or not self._grow():
            return None
        self.limit = self.consumed + self._window
        return self.limit

    def release(self) -> None:
        """Returns to the budget what was taken from it; the window no longer grows."""
        if self._budget is not None:
            self._budget.used -= self._grown
        self._grown, self._largest_window = 0, self._window

    def _grow(self) -> bool:
        """Grows the window as far as the budget has room. Returns whether it grew."""
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
    """Bytes of a session's window that one stream may have unread, or of its memory that one stream may buffer.

    `left` of the `window` is free. A quarter is reserved for new streams and those with little data: any number of
    readers that stopped leave each of MAX_STREAMS others its minimum share. Dynamic thresholds share the rest.
    """
    return max(_MIN_SHARE, 2 * (left - window // 4))


class PeerWindow:
    """A receive window of the peer, as its newest limit describes it: the window's size, and what was read."""

    __slots__ = ("limit", "read", "window")

    def __init__(self, limit: int) -> None:
        self.limit = self.window = limit
        self.read = 0

    def raise_limit(self, limit: int, window: int, sent: int) -> None:
        """A MAX_DATA or MAX_STREAM_DATA frame raises the limit; `sent` bytes were sent so far."""
        self.limit, self.window = limit, window
        self.read = min(max(self.read, limit - window), sent)


class SendCredit(PeerWindow):
    """The credit for what we send on all streams together; each stream gets its `fair_share` of `window`."""

    __slots__ = ("used",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.used = 0

    @property
    def left(self) -> int:
        """Bytes that may be sent now."""
        return self.limit - self.used
