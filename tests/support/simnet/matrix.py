"""The two-link matrix: loss x ratio of RTTs x mode, as a text table that is checked in (tests/transport/matrix.txt).

`python tests/support/simnet/matrix.py` (make matrix) writes it anew; a change of behaviour then shows as a diff.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from simnet.network import Network, mbit
from simnet.traffic import Traffic
from tandem.impair.impairment import Impairment
from tandem_transport.wire.frames import Mode

FILE = Path(__file__).parents[2] / "transport" / "matrix.txt"
LOSSES = (0.0, 0.05, 0.10, 0.20, 0.30)
RATIOS = (1, 3, 10)
MODES = (Mode.DUPLICATE, Mode.ADAPTIVE)

_RATE = mbit(20)
_RTT = 0.040
_SIZE = 3_000_000
_EFFICIENCY = 1434 / 1472


class Weather(NamedTuple):
    """Two links, what happens to them, and what they let through."""

    links: tuple[Impairment, Impairment]
    limit: float
    """Bytes per second of both links together, once it has happened."""
    changes: dict[str, Any] | None = None
    """Of the second link, or of both where it is a narrower route, one second after the download has begun."""
    uploads_first: bool = False


_LINK = Impairment(delay=0.020, rate=_RATE, queue=0.2)
_FAR = replace(_LINK, delay=0.040)
_JITTERY = replace(_LINK, packet_jitter=0.020)
_HEAVY = replace(_JITTERY, is_heavy_tailed=True)

WEATHERS = {
    "jitter": Weather((_JITTERY, _JITTERY), 2 * _RATE),
    "heavy jitter": Weather((_HEAVY, _HEAVY), 2 * _RATE),
    "throttle": Weather((_LINK, _FAR), _RATE + 8_000, {"rate": 8_000, "queue": 3.0}),
    "police": Weather((_LINK, replace(_FAR, police=mbit(4), police_burst=32_000)), _RATE + mbit(4)),
    "black hole": Weather((_LINK, _FAR), 2 * _RATE, {"mtu": 1272}),
    "upload first": Weather((_LINK, _FAR), 2 * _RATE, uploads_first=True),
    "far": Weather((_LINK, replace(_LINK, delay=0.320)), 2 * _RATE),
    "far, narrow": Weather((_LINK, replace(_LINK, delay=0.070, rate=_RATE / 4)), 1.25 * _RATE),
    "far, wide": Weather((_LINK, replace(_LINK, delay=0.070, rate=2 * _RATE)), 3 * _RATE),
}
"""By name: the second table."""

_HEAD = """\
Two links of 20 Mbit/s, queues of 100 ms; RTT 40 ms on the first, 40 ms x ratio on the second; the same random loss each
way on both. bulk: 3 MB from a cold start, over what the links let through (both in adaptive, the first in duplicate).
wire: bytes sent to the client for each byte of it. p50, p99: delivery of 64 bytes, one way, each 50 ms, 100 of them.

loss  ratio  mode       bulk   wire   p50 ms  p99 ms
"""


_WEATHER_HEAD = """\

Two links of 20 Mbit/s, queues of 200 ms, RTT 40 and 80 ms (jitter: both 40). jitter: 20 ms of deviation for each
packet, normal or log-normal. throttle: the second link has 64 kbit/s and 3 s of queue from the first second on. police:
it lets 4 Mbit/s through. black hole: packets above 1300 bytes of IP vanish on both. upload first: five seconds of it.
far: the second link's RTT is 640 ms, and its start-up takes most of the time; narrow and wide: 140 ms, 5 and 40 Mbit/s.
bulk: a download's seconds 1 to 6, over what the links let through (both in adaptive, the first in duplicate).

weather       mode       bulk   wire   p50 ms  p99 ms
"""


class Cell(NamedTuple):
    """One row."""

    loss: float
    ratio: int
    mode: Mode
    bulk: float
    wire: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return (
            f"{self.loss:4.0%}  {self.ratio:5}  {self.mode.name.lower():9}  {self.bulk:.2f}  {self.wire:5.2f}  "
            f"{self.p50 * 1000:7.0f} {self.p99 * 1000:7.0f}"
        )

    @classmethod
    def parse(cls, line: str) -> "Cell":
        """Reads what `str` wrote."""
        loss, ratio, mode, bulk, wire, p50, p99 = line.split()
        numbers = (float(bulk), float(wire), float(p50) / 1000, float(p99) / 1000)
        return cls(float(loss.rstrip("%")) / 100, int(ratio), Mode[mode.upper()], *numbers)


def measure(loss: float, ratio: int, mode: Mode) -> Cell:
    """Plays one cell."""
    links = [Impairment(delay=_RTT / 2 * factor, rate=_RATE, loss=loss) for factor in (1, ratio)]
    network = Network(*links, seed=1, mode=mode).connect()
    traffic = Traffic(network)
    network.run(0.5)
    frames = traffic.stream(rate=1280, frame=0.05, seconds=5).finish().lateness
    sent = network.bytes_to_client
    goodput = traffic.download(_SIZE).finish()
    limit = _RATE * _EFFICIENCY * (1 - loss) * (2 if mode is Mode.ADAPTIVE else 1)
    frames.sort()
    p50, p99 = (frames[int(share * len(frames))] for share in (0.5, 0.99))
    return Cell(loss, ratio, mode, goodput / limit, (network.bytes_to_client - sent) / _SIZE, p50, p99)


class WeatherCell(NamedTuple):
    """One row of the second table."""

    weather: str
    mode: Mode
    bulk: float
    wire: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return (
            f"{self.weather:12}  {self.mode.name.lower():9}  {self.bulk:.2f}  {self.wire:5.2f}  "
            f"{self.p50 * 1000:7.0f} {self.p99 * 1000:7.0f}"
        )

    @classmethod
    def parse(cls, line: str) -> "WeatherCell":
        """Reads what `str` wrote."""
        mode, bulk, wire, p50, p99 = line[12:].split()
        return cls(
            line[:12].strip(), Mode[mode.upper()], float(bulk), float(wire), float(p50) / 1000, float(p99) / 1000
        )


def measure_weather(name: str, mode: Mode) -> WeatherCell:
    """Plays one cell: a download of six seconds with frames beside it."""
    weather = WEATHERS[name]
    network = Network(*weather.links, seed=1, mode=mode).connect()
    traffic = Traffic(network)
    network.run(0.5)
    if weather.uploads_first:
        traffic.upload(int(6 * weather.limit))
        network.run(5)
    sent, download = network.bytes_to_client, traffic.download(int(8 * weather.limit))
    if weather.changes:
        for link in (0, 1) if "mtu" in weather.changes else (1,):
            network.change(link, after=1, **weather.changes)
    frames = traffic.stream(rate=1280, frame=0.05, seconds=5)
    network.run(6)
    limit = (weather.limit if mode is Mode.ADAPTIVE else _RATE) * _EFFICIENCY
    late = sorted(frames.finish().lateness)
    p50, p99 = (late[int(share * len(late))] for share in (0.5, 0.99))
    wire = (network.bytes_to_client - sent) / max(1, download.received)
    return WeatherCell(name, mode, download.goodput(1, 6) / limit, wire, p50, p99)


def weather_parameters() -> list[tuple[str, Mode]]:
    """All cells of the second table, in its order."""
    return [(name, mode) for name in WEATHERS for mode in MODES]


def parameters() -> list[tuple[float, int, Mode]]:
    """All cells, in the order of the table."""
    return [(loss, ratio, mode) for loss in LOSSES for ratio in RATIOS for mode in MODES]


def read() -> dict[tuple[float, int, Mode], Cell]:
    """The table that is checked in."""
    lines = FILE.read_text().split("p99 ms\n")[1].split("\n\n")[0].splitlines()
    return {(cell.loss, cell.ratio, cell.mode): cell for cell in map(Cell.parse, lines)}


def read_weather() -> dict[tuple[str, Mode], WeatherCell]:
    """The second table that is checked in."""
    lines = FILE.read_text().split("p99 ms\n")[2].splitlines()
    return {(cell.weather, cell.mode): cell for cell in map(WeatherCell.parse, lines)}


if __name__ == "__main__":
    rows = "".join(f"{measure(*cell)}\n" for cell in parameters())
    FILE.write_text(_HEAD + rows + _WEATHER_HEAD + "".join(f"{measure_weather(*c)}\n" for c in weather_parameters()))
