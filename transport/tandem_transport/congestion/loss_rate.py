"""The loss rate of a path for the scheduler, which needs it early, and rather too high than too low."""

from typing import Final

_LONG: Final = 100
"""Packets that the long average covers, roughly."""

_SHORT: Final = 16
"""Packets that the short average covers, roughly: it notices a burst of losses while it lasts."""

_FIRST_GUESS: Final = 0.02
_MIN: Final = 0.01


class LossRate:
    """Two exponential averages of the loss over packets. The losses of an outage are not counted."""

    __slots__ = ("_long", "_short")

    def __init__(self) -> None:
        self._long = self._short = _FIRST_GUESS

    @property
    def value(self) -> float:
        """The higher of the two averages, at least 1 %, because every link loses something in the long run."""
        return max(self._long, self._short, _MIN)

    def on_acked(self, packets: int) -> None:
        self._long *= (1 - 1 / _LONG) ** packets
        self._short *= (1 - 1 / _SHORT) ** packets

    def on_lost(self, packets: int) -> None:
        self._long = 1 - (1 - self._long) * (1 - 1 / _LONG) ** packets
        self._short = 1 - (1 - self._short) * (1 - 1 / _SHORT) ** packets
