"""How much of what a path carries is lost, as the scheduler wants to know it: soon, and rather too high."""

_LONG = 100
"""Packets that the long average looks back, roughly."""

_SHORT = 16
"""The same for the short one, which notices a burst of losses while it lasts."""

_FIRST_GUESS = 0.02
_MIN = 0.01


class LossRate:
    """Two exponential averages over packets; losses of an outage do not belong here."""

    __slots__ = ("_long", "_short")

    def __init__(self) -> None:
        self._long = self._short = _FIRST_GUESS

    @property
    def value(self) -> float:
        """The higher of the two, at least 1 %: no link is without loss for long."""
        return max(self._long, self._short, _MIN)

    def on_acked(self, packets: int) -> None:
        self._long *= (1 - 1 / _LONG) ** packets
        self._short *= (1 - 1 / _SHORT) ** packets

    def on_lost(self, packets: int) -> None:
        self._long = 1 - (1 - self._long) * (1 - 1 / _LONG) ** packets
        self._short = 1 - (1 - self._short) * (1 - 1 / _SHORT) ** packets
