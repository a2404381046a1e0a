"""When the core gets its turn: at once, or with others where packets come one by one and fast."""

import asyncio
import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tandem_transport.driver import turns
from tandem_transport.driver.deferral import DEFERRED_GAP, EMPTY_READS, MAX_READ, MAX_SENT, PATIENCE
from tandem_transport.driver.turns import SHORT_GAP, TURN_BURST, TURN_GAP, TurnTaker


class Counting(TurnTaker):
    """Counts its turns, and what they were told of time."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self.had_turn = asyncio.Event()
        self.timeout: float | None = None
        self.sent: list[int] = []
        """How much each attempt of the next turn to transmit sends, the last first."""

    def _handle_timeout(self, now: float) -> None:
        pass

    def _handle_events(self) -> bool:
        return False

    def _transmit(self, now: float) -> int:
        if not self.times or self.times[-1] != now:
            self.times.append(now)
        self.had_turn.set()
        return self.sent.pop() if self.sent else 0

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

    async def advance_late(self, lateness: float) -> None:
        """What comes next comes late, as on a busy machine."""
        late = min(when for when, _ in self._later) + lateness
        self._later = [(max(when, late), handle) for when, handle in self._later]
        await self.advance(late - self.now)

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


# --- sockets that turns read ---


class Sock:
    """A socket: what has come to it, and when turns have read it."""

    def __init__(self, taker: Counting, clock: Clock) -> None:
        self._taker, self._clock = taker, clock
        self.arrived = 0
        """Bytes that have come and were not read."""
        self.read_at: list[float] = []
        self.is_watched = True

    def arrive(self, size: int = 1200) -> None:
        """Bytes come, and the event loop says so where it watches the socket."""
        self.arrived += size
        if self.is_watched:
            self.is_watched = not self._taker.defer(self, self._take())

    async def carry(self, milliseconds: int) -> None:
        """A packet comes each millisecond."""
        for _ in range(milliseconds):
            self.arrive()
            await self._clock.advance(0.001)

    def read_now(self) -> int:
        self.read_at.append(self._clock.now)
        return self._take()

    def watch(self) -> None:
        self.is_watched = True

    def _take(self) -> int:
        if self.arrived:
            self._taker.wake()
        size, self.arrived = self.arrived, 0
        return size


async def deferred(clock: Clock) -> tuple[Counting, Sock]:
    """An endpoint that reads its socket itself."""
    taker = await exhausted(clock)
    await clock.advance(TURN_GAP / 2)
    sock = Sock(taker, clock)
    sock.arrive()
    assert not sock.is_watched
    return taker, sock


async def test_packets_that_come_one_by_one_are_read_by_turns_and_wake_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    had = len(taker.times)
    await sock.carry(100)
    spent = len(taker.times) - had
    assert 0.1 / DEFERRED_GAP - 2 <= spent <= 0.1 / DEFERRED_GAP + 2
    assert sock.read_at == taker.times[had:]
    assert taker.quantum == 2 * DEFERRED_GAP
    await clock.advance(1.0)
    assert sock.is_watched, "nothing came any more"
    assert len(taker.times) - had <= spent + EMPTY_READS + 1
    assert taker.quantum == 2 * TURN_GAP


async def test_a_socket_is_read_though_what_it_had_was_dropped_and_caused_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as datagrams of port 0, which a stranger may send."""
    clock = Clock(monkeypatch)
    taker = await exhausted(clock)
    await clock.advance(2 * TURN_GAP)
    sock = Sock(taker, clock)
    assert not taker.defer(sock, 0), "nothing was there"
    assert taker.defer(sock, 1024)
    sock.is_watched = False
    await clock.advance(0.0)
    await clock.advance(1.0)
    assert sock.is_watched
    assert [later - at for at, later in itertools.pairwise(sock.read_at)] == [pytest.approx(DEFERRED_GAP)] * 3


async def test_deferred_turns_leave_the_saved_up_ones_to_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker = Counting()
    taker.wake()
    await clock.advance(0.001)
    sock = Sock(taker, clock)
    sock.arrive()
    had = len(taker.times)
    await clock.advance(0.030)
    assert len(taker.times) - had <= 0.030 / DEFERRED_GAP + 2


async def test_behind_a_policer_turns_are_not_deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    quanta = [0.003, DEFERRED_GAP]

    def set_quantum(quantum: float) -> float:
        return min(quantum, quanta.pop())

    for is_watched in (False, True):
        taker._apply_quantum(cast("Any", SimpleNamespace(set_quantum=set_quantum)))  # pyright: ignore[reportPrivateUsage]
        sock.arrive()
        await clock.advance(DEFERRED_GAP)
        assert sock.is_watched is is_watched


async def test_a_late_machine_is_noticed_while_turns_read_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    for _ in range(40):
        sock.arrive()
        await clock.advance_late(0.030)
    assert not sock.is_watched
    assert taker.quantum == pytest.approx(0.030, rel=0.1)


async def test_a_socket_at_rest_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker = await exhausted(clock)
    sock = Sock(taker, clock)
    for _ in range(20):
        await clock.advance(0.1)
        sock.arrive()
        assert sock.is_watched


async def test_sockets_are_watched_where_somebody_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    sock.arrive()
    taker.wake(hurries=True)
    asked_at = clock.now
    await clock.advance(SHORT_GAP)
    assert asked_at <= sock.read_at[-1] <= asked_at + SHORT_GAP, "what has come goes with the turn that hurries"
    while clock.now < asked_at + PATIENCE - 0.001:
        assert sock.is_watched
        sock.arrive()
        await clock.advance(0.001)
    await sock.carry(10)
    assert not sock.is_watched


async def test_a_due_timer_is_nobody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    had = len(taker.times)
    for _ in range(100):
        sock.arrive()
        taker.timeout = clock.now + 0.0005
        await clock.advance(0.001)
    assert len(taker.times) - had <= 0.1 / DEFERRED_GAP + 2


async def test_where_much_comes_or_is_sent_sockets_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    others = [Sock(taker, clock) for _ in range(2)]
    others[0].arrive(MAX_READ)
    assert not others[0].is_watched
    others[1].arrive(MAX_READ + 1)
    assert others[1].is_watched
    await clock.advance(2 * DEFERRED_GAP)
    assert sock.is_watched
    await clock.advance(PATIENCE)
    await sock.carry(10)
    assert not sock.is_watched
    taker.sent = [MAX_SENT // 2, MAX_SENT // 2 + 1]
    sock.arrive()
    await clock.advance(2 * DEFERRED_GAP)
    sock.arrive()
    assert sock.is_watched


async def test_sockets_are_read_again_after_a_turn_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)

    def fail() -> float | None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(taker, "_next_timeout", fail)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    for _ in range(20):
        sock.arrive()
        await clock.advance(0.002)
    assert len(sock.read_at) >= 0.04 / DEFERRED_GAP - 1
    assert reported


async def test_after_the_end_no_socket_is_left_to_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taker, sock = await deferred(clock)
    taker.stop_turns()
    assert not taker.defer(Sock(taker, clock), 1)
    await clock.advance(1.0)
    assert sock.read_at == []
