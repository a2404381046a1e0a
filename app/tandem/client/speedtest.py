"""The speed test: the rate of the session over each link alone, and over all together, in both directions.

To test a link alone, all others are set to backup. So if it fails, they carry the other connections.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from tandem.admin.status import SpeedtestStatus
from tandem.base.errors import TandemError
from tandem.client.client_links import ClientLinks
from tandem.client.opener import Opener
from tandem.exchange.failures import Failure
from tandem.exchange.request import Kind, Request
from tandem.exchange.speedtest import CHUNK, COUNT_SIZE
from tandem_transport import PathPreference, PathUse, TransportError
from tandem_transport.driver import Stream

log = logging.getLogger("tandem.client")

DURATION = 4.0
"""Seconds for each direction of each test."""

_WARM_UP = 1.5
"""Seconds before counting, in which the congestion windows grow."""

_TIMEOUT = 3 * DURATION
"""Seconds after which one direction of a test is given up, because nothing goes through."""

_SWITCH_TIME = 0.5
"""Seconds for both ends to change to other uses of the links."""


class Speed(BaseModel):
    """The speed of a link in bits per second of content; None where it could not be measured."""

    link: str
    down_bps: float | None = None
    up_bps: float | None = None
    note: str = ""
    """Why the speed could not be measured; empty where it was."""


class Speedtest:
    """The speed test of one client: at most one is under way."""

    def __init__(self, opener: Opener, links: ClientLinks) -> None:
        self._opener = opener
        self._links = links
        self._is_under_way = False
        self.progress: SpeedtestStatus | None = None
        """The step that is under way, None while there is no test."""

    async def run(self, set_preferences: Callable[[tuple[PathPreference, ...]], None]) -> list[Speed]:
        """Tests each link alone, at most at its configured rate, then all together; then restores the preferences.

        Raises TandemError where a test is under way already, or the session fails.
        """
        if self._is_under_way:
            hint = "it ends when whoever asked for it ends it, by Ctrl-C"
            raise TandemError("a speedtest is under way already", hint)
        self._is_under_way = True
        log.info("speedtest begins; each link is used alone for a while")
        try:
            found = await self._measure_each(set_preferences)
            set_preferences(self._links.preferences())
            found.append(await self._measure(len(found), "all together"))
        except (Failure, TransportError, EOFError) as error:
            raise TandemError(f"speedtest: {error}", "it needs a session: see `tandem status`") from error
        finally:
            self._is_under_way, self.progress = False, None
            set_preferences(self._links.preferences())
        return found

    async def _measure_each(self, set_preferences: Callable[[tuple[PathPreference, ...]], None]) -> list[Speed]:
        found: list[Speed] = []
        preferences = self._links.preferences()
        for link, preference in zip(self._links.all, preferences, strict=True):
            if link.error:
                found.append(Speed(link=link.name, note=link.error))
                continue
            uses = [PathUse.AVAILABLE if other is preference else PathUse.BACKUP for other in preferences]
            set_preferences(tuple(other._replace(use=use) for other, use in zip(preferences, uses, strict=True)))
            await asyncio.sleep(_SWITCH_TIME)
            before = link.bytes_total
            speed = await self._measure(len(found), link.name)
            found.append(_checked(speed, link.bytes_total - before))
        return found

    async def _measure(self, number: int, name: str) -> Speed:
        """Measures both directions over the links that may be used now. Raises Failure."""
        steps = 2 * (len(self._links.all) + 1)
        self.progress = SpeedtestStatus(step=f"{name}, down", done=2 * number, steps=steps)
        down = await _with_stream(self._opener, "down", _count_down)
        self.progress = SpeedtestStatus(step=f"{name}, up", done=2 * number + 1, steps=steps)
        up = await _with_stream(self._opener, "up", _count_up)
        return Speed(link=name, down_bps=down, up_bps=up, note="" if down and up else "nothing came through")


def _checked(speed: Speed, carried: int) -> Speed:
    """The speed, unless the link has `carried` too few bytes: it was down, and another link has carried the test."""
    content = ((speed.down_bps or 0.0) + (speed.up_bps or 0.0)) / 8 * (DURATION - _WARM_UP)
    if carried >= content / 2:
        return speed
    return Speed(link=speed.link, note="it is down; another link has carried the test")


async def _with_stream(opener: Opener, direction: str, count: Callable[[Stream], Awaitable[float]]) -> float | None:
    """The rate in one direction, in bits per second; None where nothing goes through."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            asked = await opener.ask(Request(Kind.SPEEDTEST, direction, 0))
            try:
                return await count(asked.stream)
            finally:
                asked.stream.reset()
    except TimeoutError:
        return None


async def _count_down(stream: Stream) -> float:
    meter = _Meter()
    total = 0
    while not meter.is_over:
        total += len(await stream.read())
        meter.note(total)
    return meter.rate


async def _count_up(stream: Stream) -> float:
    meter = _Meter()
    filling = asyncio.create_task(_fill(stream))
    try:
        while not meter.is_over:
            meter.note(int.from_bytes(await stream.read_exactly(COUNT_SIZE), "big"))
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
    return meter.rate


async def _fill(stream: Stream) -> None:
    while True:
        await stream.write(CHUNK)


class _Meter:
    """Measures the rate, in bits per second, from the end of the warm-up to the end of the test."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._last = (self._began_at, 0)

    def note(self, total: int) -> None:
        now = time.monotonic()
        if self._first is None and now >= self._began_at + _WARM_UP:
            self._first = (now, total)
        self._last = (now, total)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._began_at + DURATION

    @property
    def rate(self) -> float:
        first_at, first = self._first or (self._began_at, 0)
        last_at, last = self._last
        return (last - first) * 8 / (last_at - first_at) if last_at > first_at else 0.0
