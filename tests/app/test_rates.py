"""The rate of a client: shared by its connections, and kept over time."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tandem.server.rates import SMALL, Bucket, ClientRates, RatedStream


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made.monotonic)
    monkeypatch.setattr(asyncio, "sleep", made.sleep)
    yield made
    monkeypatch.undo()


class FakeStream:
    """A stream that has as much as is asked for, and takes as much as there is."""

    is_reset = is_suspended = False

    def __init__(self) -> None:
        self.written = 0

    async def read(self, limit: int = 256 << 10) -> bytes:
        return bytes(limit)

    async def room(self) -> int:
        return 1 << 20

    async def write(self, data: bytes) -> None:
        self.written += len(data)

    def finish(self) -> None: ...

    def reset(self) -> None: ...

    def watch_reset(self, callback: object) -> None: ...


def rated(of: ClientRates, client: str = "laptop") -> RatedStream:
    return RatedStream(FakeStream(), of.of(client))  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [20_000, 2_500_000, 100_000_000])
async def test_what_all_connections_carry_together_is_the_rate(rate: int, clock: Clock) -> None:
    of = ClientRates(lambda client: rate)
    streams = [rated(of) for _ in range(5)]
    began, carried = clock.now, 0
    while clock.now < began + 20:
        for stream in streams:
            room = await stream.room()
            await stream.write(bytes(room))
            carried += room
    assert carried / (clock.now - began) == pytest.approx(rate, rel=0.05)


async def test_both_directions_have_the_rate_and_clients_do_not_share_it(clock: Clock) -> None:
    of = ClientRates(lambda client: 1_000_000)
    one, other = rated(of), rated(of, "phone")
    began, carried = clock.now, [0, 0, 0]
    while clock.now < began + 10:
        carried[0] += len(await one.read())
        await one.write(bytes(20_000))
        await other.write(bytes(20_000))
    assert carried[0] / (clock.now - began) == pytest.approx(1_000_000, rel=0.02)
    assert clock.now - began < 10.1


async def test_no_rate_is_no_wait(clock: Clock) -> None:
    stream = rated(ClientRates(lambda client: None))
    began = clock.now
    for _ in range(100):
        assert await stream.room() == 1 << 20
        await stream.write(bytes(1 << 20))
        await stream.read()
    assert clock.now == began


async def test_a_key_press_does_not_wait_behind_a_download_but_is_charged(clock: Clock) -> None:
    of = ClientRates(lambda client: 100_000)
    bulk, keys = rated(of), rated(of)
    for _ in range(50):
        await bulk.write(bytes(await bulk.room()))
    before = clock.now
    await keys.write(b"x")
    assert clock.now == before
    carried = 0
    while clock.now < before + 20:
        await keys.write(bytes(SMALL))
        carried += SMALL
    assert carried / (clock.now - before) == pytest.approx(100_000, rel=0.10), "many small pieces are no way around it"


async def test_datagrams_beyond_the_rate_are_dropped(clock: Clock) -> None:
    bucket = Bucket(lambda: 10_000)
    admitted = 0
    for _ in range(2000):
        clock.now += 0.01
        admitted += 1000 * bucket.admits(1000)
    assert admitted / 20 == pytest.approx(10_000, rel=0.10)


async def test_a_new_rate_is_in_force_at_once(clock: Clock) -> None:
    rate: list[int | None] = [1000]
    of = ClientRates(lambda client: rate[0])
    stream = rated(of)
    for _ in range(10):
        await stream.write(bytes(1000))
    rate[0] = 10_000_000
    began = clock.now
    for _ in range(50):
        await stream.write(bytes(200_000))
    assert clock.now - began < 1.1, "a debt is bytes, not seconds"
    rate[0] = None
    began = clock.now
    await stream.write(bytes(1 << 20))
    assert clock.now == began
