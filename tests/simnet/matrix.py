"""The two-link matrix: loss x ratio of RTTs x mode, as a text table that is checked in (tests/transport/matrix.txt).

`python tests/simnet/matrix.py` (make matrix) writes it anew; a change of behaviour then shows as a diff.
"""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from simnet.network import Network, mbit
from simnet.traffic import Traffic
from tandem.impairment import Impairment
from tandem_transport.frames import Mode

FILE = Path(__file__).parent.parent / "transport" / "matrix.txt"
LOSSES = (0.0, 0.05, 0.10, 0.20, 0.30)
RATIOS = (1, 3, 10)
MODES = (Mode.DUPLICATE, Mode.ADAPTIVE)

_RATE = mbit(20)
_RTT = 0.040
_SIZE = 3_000_000
_EFFICIENCY = 1434 / 1472

_HEAD = """\
Two links of 20 Mbit/s, queues of 100 ms; RTT 40 ms on the first, 40 ms x ratio on the second; the same random loss each
way on both. bulk: 3 MB from a cold start, over what the links let through (both in adaptive, the first in duplicate).
wire: bytes sent to the client for each byte of it. p50, p99: delivery of 64 bytes, one way, each 50 ms, 100 of them.

loss  ratio  mode       bulk   wire   p50 ms  p99 ms
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


def parameters() -> list[tuple[float, int, Mode]]:
    """All cells, in the order of the table."""
    return [(loss, ratio, mode) for loss in LOSSES for ratio in RATIOS for mode in MODES]


def read() -> dict[tuple[float, int, Mode], Cell]:
    """The table that is checked in."""
    lines = FILE.read_text().split("p99 ms\n")[1].splitlines()
    return {(cell.loss, cell.ratio, cell.mode): cell for cell in map(Cell.parse, lines)}


if __name__ == "__main__":
    FILE.write_text(_HEAD + "".join(f"{measure(*cell)}\n" for cell in parameters()))
