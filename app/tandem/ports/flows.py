"""The UDP peers of one port: each has a task of its own, and a bound on their number and on their silence."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from tandem.base.tasks import TaskSet

FLOW_LIFETIME = 120.0
"""Seconds of silence after which a peer is forgotten (RFC 4787 section 4.3)."""

_LOOK_INTERVAL = 5.0


class Flow:
    """One peer of a port."""

    def __init__(self) -> None:
        self.used_at = time.monotonic()
        self.end: Callable[[], object]
        """Ends the flow; the table sets it."""

    def touch(self) -> None:
        """A datagram has gone one way or the other."""
        self.used_at = time.monotonic()


K = TypeVar("K", bound=Hashable)
F = TypeVar("F", bound=Flow)


class FlowTable(Generic[K, F]):
    """The flows of one port, by peer."""

    def __init__(self, limit: int) -> None:
        """`limit`: the most flows; a further one takes the place of the one that was silent for longest."""
        self._limit = limit
        self._flows: dict[K, F] = {}
        self._tasks = TaskSet()
        """One for each flow, and one that forgets those that are silent."""
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._flows)

    def get(self, peer: K) -> F | None:
        """The flow of a peer, None where it has none."""
        return self._flows.get(peer)

    def count(self, is_meant: Callable[[F], bool]) -> int:
        """The number of flows of which something is true."""
        return sum(map(is_meant, self._flows.values()))

    def begin(
        self, peer: K, flow: F, work: Coroutine[Any, Any, None], on_ended: Callable[[F], None] = lambda flow: None
    ) -> F:
        """Adds the flow of a peer; it lives as long as `work` does.

        `on_ended` is called when it is over, also where `work` was cancelled before it had begun.
        """
        if len(self._flows) >= self._limit:
            oldest = min(self._flows, key=lambda each: self._flows[each].used_at)
            self._flows.pop(oldest).end()
        self._flows[peer] = flow
        if self._looking is None or self._looking.done():
            self._looking = self._tasks.begin(self._forget_silent())

        def over(_: "asyncio.Task[None]") -> None:
            if self._flows.get(peer) is flow:
                del self._flows[peer]
            on_ended(flow)

        task = self._tasks.begin(work)
        flow.end = task.cancel
        task.add_done_callback(over)
        return flow

    async def close(self) -> None:
        """Ends all flows."""
        await self._tasks.cancel()

    async def _forget_silent(self) -> None:
        while self._flows:
            await asyncio.sleep(_LOOK_INTERVAL)
            limit = time.monotonic() - FLOW_LIFETIME
            for flow in list(self._flows.values()):
                if flow.used_at < limit:
                    flow.end()
