"""How fast something is now: the mean of the last seconds."""

from collections import deque

SPAN = 5.0
"""Seconds of which the mean is taken."""


class Meter:
    """The rate of a count that grows."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque()

    def note(self, total: int, *, now: float) -> None:
        """Notes the count. Of what is noted within a tenth of a second, only the first is kept."""
        if not self._noted or now - self._noted[-1][0] >= SPAN / 50:
            self._noted.append((now, total))
        while self._noted[0][0] < now - SPAN:
            self._noted.popleft()

    def rate(self, total: int, *, now: float) -> float:
        """Units a second, from the oldest note of the span to now."""
        self.note(total, now=now)
        began_at, first = self._noted[0]
        return (total - first) / (now - began_at) if now > began_at else 0.0
