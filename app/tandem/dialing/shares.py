"""A limited number of places, shared fairly: of the waiting owners, the one with the fewest places is served first."""

import asyncio
from collections import Counter, deque


class Shares:
    """Hands out places. The limit of each owner shrinks as fewer places are free.

    Some places therefore stay free for new owners, however many greedy owners there are
    (dynamic thresholds, as in shared-memory switches).
    """

    def __init__(self, places: int, each: int) -> None:
        """There are `places` in total; one owner may have `each` while most are free."""
        self._free = places
        self._each = each
        self._used: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, owner: str) -> None:
        """Waits for a place. A caller that is cancelled while it waits has no place."""
        if owner not in self._waiting and self._may_have(owner):
            self._give(owner)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(owner)
            raise

    def give_back(self, owner: str) -> None:
        """Returns a place of this owner, and serves those that wait."""
        self._free += 1
        self._used[owner] -= 1
        if not self._used[owner]:
            del self._used[owner]
        self._serve_waiting()

    def _may_have(self, owner: str) -> bool:
        return self._free > 0 and self._used[owner] < max(1, min(self._each, self._free // 2))

    def _give(self, owner: str) -> None:
        self._free -= 1
        self._used[owner] += 1

    def _serve_waiting(self) -> None:
        for owner in sorted(self._waiting, key=lambda name: self._used[name]):
            queue = self._waiting[owner]
            while queue and self._may_have(owner):
                turn = queue.popleft()
                if not turn.done():
                    self._give(owner)
                    turn.set_result(None)
            if not queue:
                del self._waiting[owner]
