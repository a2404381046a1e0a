"""When the core gets its turn: at once, or with others where packets come one by one and fast."""

import asyncio
import time

from tandem_transport.driver.turns import TURN_BURST, TURN_GAP, TurnTaker


class Counting(TurnTaker):
    """Counts its turns, and what they were told of time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self.had_turn = asyncio.Event()

    def _handle_timeout(self, now: float) -> None:
        pass

    def _handle_events(self) -> bool:
        return False

    def _transmit(self, now: float) -> bool:
        self.times.append(now)
        self.had_turn.set()
        return False

    def _next_timeout(self) -> float | None:
        return None


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


async def test_no_turn_comes_after_the_end() -> None:
    taker = Counting()
    taker.wake()
    taker.stop_turns()
    await asyncio.sleep(2 * TURN_GAP)
    assert taker.times == []
