"""Credit: how much may be sent, how much we offer (RFC 9000 section 4)."""

_GROW_WITHIN_RTTS = 4
"""A window that is half consumed within so many RTTs was too small."""
_DEFAULT_RTT = 0.1


class ReceiveWindow:
    """What the peer may send to us on a stream, or on all of them.

    The offer moves on with what the application has consumed, not with what has arrived, so
    that a slow reader slows its sender. The window doubles where it is the limit: where it is
    consumed quickly, or where lost packets keep what has arrived from being consumed.
    """

    __slots__ = ("_largest_window", "_updated_at", "_window", "consumed", "limit", "received")

    def __init__(self, window: int, largest_window: int) -> None:
        self._window = window
        self._largest_window = largest_window
        self._updated_at = float("inf")  # the first update always doubles: nothing is known yet
        self.limit = window
        """Offset that the peer may send up to."""
        self.received = 0
        """Highest offset that the peer has sent up to."""
        self.consumed = 0

    @property
    def window(self) -> int:
        """Bytes that may be unread at once."""
        return self._window

    def on_consumed(self, size: int, *, rtt: float, now: float) -> int | None:
        """Returns the new limit where it is time to tell the peer."""
        self.consumed += size
        if self.limit - self.consumed > self._window // 2:
            return None
        if now - self._updated_at < _GROW_WITHIN_RTTS * (rtt or _DEFAULT_RTT):
            self._grow()
        self._updated_at = now
        self.limit = self.consumed + self._window
        return self.limit

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

    def _grow(self) -> bool:
        before, self._window = self._window, min(2 * self._window, self._largest_window)
        return self._window > before


class SendCredit:
    """What we may send on all streams together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def left(self) -> int:
        return self.limit - self.used
