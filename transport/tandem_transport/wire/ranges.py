"""A sorted set of integer ranges, for the packet numbers that have arrived."""

from bisect import bisect_right


class RangeSet:
    """Disjoint inclusive ranges in ascending order.

    Numbers mostly arrive in order, so adding to the last range is the fast case.
    """

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def __len__(self) -> int:
        return len(self._lows)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._lows, number) - 1
        return index >= 0 and number <= self._highs[index]

    def add(self, number: int) -> None:
        """Adds one number; adding it again changes nothing."""
        highs = self._highs
        if highs and number == highs[-1] + 1:
            highs[-1] = number
            return
        lows = self._lows
        index = bisect_right(lows, number)
        if index and number <= highs[index - 1]:
            return
        joins_left = index > 0 and highs[index - 1] == number - 1
        joins_right = index < len(lows) and lows[index] == number + 1
        if joins_left and joins_right:
            highs[index - 1] = highs[index]
            del lows[index], highs[index]
        elif joins_left:
            highs[index - 1] = number
        elif joins_right:
            lows[index] = number
        else:
            lows.insert(index, number)
            highs.insert(index, number)

    def around(self, number: int) -> tuple[int, int]:
        """The range, as (low, high), that contains a number of the set."""
        index = bisect_right(self._lows, number) - 1
        return self._lows[index], self._highs[index]

    def newest(self, limit: int) -> list[tuple[int, int]]:
        """The highest `limit` ranges as (low, high), highest first."""
        return list(zip(self._lows[: -limit - 1 : -1], self._highs[: -limit - 1 : -1], strict=True))

    def drop_oldest(self) -> int:
        """Removes the lowest range and returns its high end."""
        del self._lows[0]
        return self._highs.pop(0)
