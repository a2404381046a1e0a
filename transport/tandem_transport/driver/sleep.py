"""Notices that the machine has slept, or that this process stood still."""

import time

_SLEPT = 3.0
"""Seconds missing between two looks that mean sleep, not a busy machine."""


class SleepWatch:
    """To be asked again and again.

    CLOCK_MONOTONIC, which times everything else, stops while a laptop sleeps; another clock
    has to tell. Where there is only the clock on the wall, somebody who sets it forward looks
    like sleep; that costs a packet for each link.
    """

    def __init__(self) -> None:
        self._seen = _clock()

    def missed(self, interval: float) -> float:
        """Seconds that have passed since the last look beyond `interval`, 0 where they are few."""
        before, self._seen = self._seen, _clock()
        missed = self._seen - before - interval
        return missed if missed >= _SLEPT else 0.0


def _clock() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()
