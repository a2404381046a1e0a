"""The window of a TCP connection: CUBIC (RFC 9438), in segments."""

import math

BETA = 0.7
"""The share of the window that is left after a loss."""

_C = 0.4
"""How fast the window grows, in segments per second cubed."""

_RENO_GROWTH = 3 * (1 - BETA) / (1 + BETA)
"""Segments a round trip by which a TCP of old would grow, if it gave up as little."""

_INITIAL = 10.0
_MIN = 2.0


class Cubic:
    """How many segments may be on their way."""

    def __init__(self) -> None:
        self.window = _INITIAL
        self.recovery_end = 0
        """The segment from which on a loss is a new one."""
        self._threshold = float("inf")
        """Up to this window, it doubles in each round trip."""
        self._max = 0.0
        self._reno = 0.0
        self._began_at: float | None = None
        """When the window began to grow again after a loss."""

    def on_acked(self, count: int, *, rtt: float, is_recovering: bool, now: float) -> None:
        """Grows the window because segments have arrived; while losses are repaired, it stays."""
        if is_recovering and self.window >= self._threshold:
            return
        if self.window < self._threshold:
            self.window += count
            return
        if self._began_at is None:
            self._began_at, self._reno = now, self.window
            self._max = max(self._max, self.window)
        target = self._curve(now - self._began_at + rtt)
        self._reno += _RENO_GROWTH * count / self.window
        self.window += max(0.0, min(target, 1.5 * self.window) - self.window) * count / self.window
        self.window = max(self.window, self._reno)

    def on_loss(self, *, recovery_end: int, now: float) -> None:
        """Makes the window smaller, once for all segments before `recovery_end`."""
        self._shrink(recovery_end)
        self.window = max(_MIN, self._threshold)

    def on_timeout(self, *, recovery_end: int) -> None:
        """Begins with one segment again."""
        self._shrink(recovery_end)
        self.window = 1.0

    def _shrink(self, recovery_end: int) -> None:
        is_less_than_before = self.window < self._max
        self._max = self.window * (1 + BETA) / 2 if is_less_than_before else self.window
        self._threshold = max(_MIN, self.window * BETA)
        self._began_at = None
        self.recovery_end = recovery_end

    def _curve(self, elapsed: float) -> float:
        """The window that CUBIC aims at, `elapsed` seconds after the loss."""
        inflection = math.cbrt(self._max * (1 - BETA) / _C)
        return _C * (elapsed - inflection) ** 3 + self._max
