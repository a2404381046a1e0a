"""When each session wants to be asked again: the earliest of thousands, found without looking at all."""

from heapq import heapify, heappop, heappush
from typing import Final

_SLACK: Final = 64
"""Outdated entries of the heap that are kept beyond twice the number of sessions."""


class Timeouts:
    """A time for each key, and the earliest of them."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []
        """All present entries, and outdated ones, which are dropped when they come to the top."""

    def __len__(self) -> int:
        return len(self._at)

    def put(self, key: bytes, at: float) -> None:
        """Sets the time of a key."""
        if self._at.get(key) != at:
            self._at[key] = at
            heappush(self._heap, (at, key))
            if len(self._heap) > 2 * len(self._at) + _SLACK:
                self._heap = [(time, known) for known, time in self._at.items()]
                heapify(self._heap)

    def pop(self, key: bytes) -> None:
        """Forgets a key."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """The earliest time, None where there is none."""
        while self._heap:
            at, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heappop(self._heap)
        return None

    def due(self, now: float) -> list[bytes]:
        """The keys whose time has come, the earliest first; they keep their times."""
        found: list[bytes] = []
        while (at := self.next()) is not None and at <= now:
            found.append(heappop(self._heap)[1])
        for key in found:
            heappush(self._heap, (self._at[key], key))
        return found
