"""When the core gets its turn: at once, or with others where packets come one by one and fast."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tandem_transport.driver import turns
from tandem_transport.driver.turns import SHORT_GAP, TURN_BURST, TURN_GAP, TurnTaker


class Counting(TurnTaker):
    """Counts its turns, and what they were told of time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self.had_turn = asyncio.Event()
        self.timeout: float | None = None

    def _handle_timeout(self, now: float) -> None:
        pass

    def _handle_events(self) -> bool:
        return False

    def _transmit(self, now: float) -> bool:
        self.times.append(now)
        self.had_turn.set()
        return False

    def _next_timeout(self) -> float | None:
        return self.timeout


async def test_what_comes_by_itself_has_its_turn_at_once() -> None:
    taker = Counting()
    taker.wake()
    await asyncio.sleep(0)
    assert len(taker.times) == 1


async def test_a_busy_endpoint_shares_turns() -> None:
    taker = Counting()
    began = time.monotonic()
    for _ in range(3000):
        taker.wake()
        await asyncio.sleep(0)
    spent = time.monotonic() - began
    assert len(taker.times) <= (TURN_BURST + spent) / TURN_GAP + 2


async def test_what_is_put_off_comes_all_the_same() -> None:
    taker = Counting()
    for _ in range(round(3 * TURN_BURST / TURN_GAP)):
        taker.wake()
        await asyncio.sleep(0)
    taker.had_turn.clear()
    taker.wake()
    async with asyncio.timeout(30):
        await taker.had_turn.wait()
    assert taker.times == sorted(taker.times)


class Clock:
    """The time that turns see. It passes only when told to, and what was asked to come later comes in its turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.delays: list[float] = []
        """The delays that the loop was asked for."""
        self._later: list[tuple[float, asyncio.Handle]] = []
        monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)

    def _call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.Handle:
        self.delays.append(delay)
        handle = asyncio.Handle(callback, (), asyncio.get_running_loop())
        self._later.append((self.now + delay, handle))
        return handle

    async def advance_to_next(self) -> None:
        """Lets time pass until something comes that was asked to come later."""
        await self.advance(min(when for when, _ in self._later) - self.now)

    async def advance(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        while due := [each for each in self._later if each[0] <= end]:
            first = min(due, key=lambda each: each[0])
            self._later.remove(first)
            self.now = max(self.now, first[0])
            if not first[1].cancelled():
                first[1]._run()
            await asyncio.sleep(0)
        self.now = end
        await asyncio.sleep(0)


async def exhausted(clock: Clock) -> Counting:
    """An endpoint that had so many turns at once that all others are put off."""
    taker = Counting()
    for _ in range(2 * round(TURN_BURST / TURN_GAP)):
        taker.wake()
        await clock.advance(1e-6)
    await clock.advance_to_next()
    clock.delays.clear()
    return taker


async def test_what_somebody_waits_for_is_put_off_less(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker = await exhausted(clock)
    await clock.advance(0.001)
    taker.wake()
    taker.wake(hurries=True)
    for hurries in (True, False):
        taker.wake(hurries=hurries)
    assert clock.delays == [pytest.approx(TURN_GAP - 0.001), pytest.approx(SHORT_GAP - 0.001)]
    had = len(taker.times)
    await clock.advance(TURN_GAP)
    assert len(taker.times) == had + 1, "the turn that was put off for longer does not come as well"


async def test_turns_that_hurried_do_not_delay_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker = await exhausted(clock)
    for _ in range(20):
        await clock.advance(SHORT_GAP)
        taker.wake(hurries=True)
        await clock.advance(0.0)
    await clock.advance(SHORT_GAP)
    taker.wake()
    assert clock.delays[-1] == pytest.approx(TURN_GAP - SHORT_GAP)


async def test_a_timer_takes_the_turn_that_was_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker = await exhausted(clock)
    began = clock.now
    taker.timeout = began + 0.005
    taker.wake(hurries=True)
    await clock.advance(SHORT_GAP)
    taker.timeout = None
    taker.wake()
    had = len(taker.times)
    await clock.advance(0.010)
    assert taker.times[had:] == [pytest.approx(began + 0.005)], "a millisecond before the turn that was put off"


async def test_many_timers_bring_no_more_turns_than_hurrying_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a hundred sessions always has a timer that is due within a millisecond."""
    clock = Clock(monkeypatch)
    taker = await exhausted(clock)
    had = len(taker.times)
    for _ in range(1000):
        taker.timeout = clock.now + 0.0005
        taker.wake()
        await clock.advance(0.0005)
    assert 0.5 / TURN_GAP <= len(taker.times) - had <= 0.5 / SHORT_GAP + 1


async def test_no_turn_comes_after_the_end() -> None:
    taker = Counting()
    taker.wake()
    taker.stop_turns()
    await asyncio.sleep(2 * TURN_GAP)
    assert taker.times == []
