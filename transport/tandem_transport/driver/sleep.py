"""Notices that the machine has slept, or that this process stood still."""

import sys
import time

_SLEPT = 3.0
"""Missing seconds between two checks that mean sleep, not a busy machine."""


class SleepWatch:
    """Detects sleep; its method must be called regularly.

    CLOCK_MONOTONIC, which times everything else, stops while a laptop sleeps, so another clock
    must show the sleep. Where only the wall clock is available, setting it forward looks like
    sleep; this costs one packet for each link.
    """

    def __init__(self) -> None:
        self._seen = _clock()

    def missed(self, interval: float) -> float:
        """Seconds that have passed since the last call in addition to `interval`, 0 where they are few."""
        before, self._seen = self._seen, _clock()
        missed = self._seen - before - interval
        return missed if missed >= _SLEPT else 0.0


def _clock() -> float:
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()
