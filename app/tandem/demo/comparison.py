"""What the same download would be without Tandem: plain TCP over each link alone, at the same time and as bad."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from tandem.demo.plain_tcp import PlainTcp
from tandem.impair.impairment import ImpairedLink, Impairment

_SHORTEST_SLEEP = 0.005
"""Seconds between two looks at what has happened: this is for people to see, not for packets."""

FindDrill = Callable[[], Impairment | None]
"""Returns what a drill adds to a link now."""


class _Direction:
    """One direction of a link, with whatever a drill adds to it."""

    def __init__(self, impairment: Impairment, drill: FindDrill, *, seed: int) -> None:
        self._link = ImpairedLink(impairment, seed=seed)
        self._find_drill, self._seed = drill, seed
        self._drill: Impairment | None = None
        self._drilled = self._link

    def send(self, size: int, now: float) -> list[float]:
        """The times at which a packet arrives."""
        arrivals = self._link.send(size, now=now)
        drill = self._find_drill()
        if drill is None:
            return arrivals
        if drill != self._drill:
            self._drill, self._drilled = drill, ImpairedLink(drill, seed=self._seed)
        return [at for before in arrivals for at in self._drilled.send(size, now=before)]


class Comparison:
    """Plain TCP over each of some links."""

    def __init__(self, links: Mapping[str, Impairment], drill: Callable[[str], Impairment | None]) -> None:
        """`drill`: what a drill adds to the link with this name now."""
        self._downloads = {
            name: _download(impairment, partial(drill, name), seed=seed)
            for seed, (name, impairment) in enumerate(links.items())
        }

    @property
    def received(self) -> dict[str, int]:
        """Bytes that have come over each link."""
        return {name: tcp.received for name, tcp in self._downloads.items()}

    async def run(self) -> None:
        """Downloads without end."""
        for tcp in self._downloads.values():
            tcp.start(time.monotonic())
        while True:
            now = time.monotonic()
            for tcp in self._downloads.values():
                tcp.advance(now)
            soonest = min(tcp.next_at for tcp in self._downloads.values())
            await asyncio.sleep(max(_SHORTEST_SLEEP, min(1.0, soonest - now)))


def _download(impairment: Impairment, drill: FindDrill, *, seed: int) -> PlainTcp:
    down, up = (_Direction(impairment, drill, seed=2 * seed + number) for number in range(2))
    return PlainTcp(down.send, up.send)
