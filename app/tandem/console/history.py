"""The history of the last minutes that a console keeps, to draw it."""

from collections import deque
from collections.abc import Iterable

from tandem.admin.status import ClientStatus

SAMPLE_INTERVAL = 2.0
"""Seconds between two samples of a sparkline."""

SAMPLES = 60
"""Number of samples that are kept for each link: two minutes."""

_BARS = "▁▂▃▄▅▆▇█"


class History:
    """Rates of links over the last two minutes, and of connections since the last status."""

    def __init__(self) -> None:
        self._rates: dict[str, deque[float]] = {}
        self._sampled_at = float("-inf")
        self._streams: dict[tuple[str, float], tuple[float, int]] = {}
        """Time of the last status and its byte count for each connection, by target and start time."""
        self._stream_rates: dict[tuple[str, float], float] = {}

    def note(self, status: ClientStatus, *, now: float) -> None:
        """Takes another status into the history."""
        if now >= self._sampled_at + SAMPLE_INTERVAL:
            self._sampled_at = now
            for link in status.links:
                rates = self._rates.setdefault(link.name, deque(maxlen=SAMPLES))
                rates.append(link.rate_up_bps + link.rate_down_bps)
        self._note_streams(status, now)

    def sparkline(self, link: str, width: int) -> str:
        """Bars for the last `width` rates of a link, the newest last, scaled to the highest of them."""
        return sparkline(list(self._rates.get(link, ()))[-width:])

    def stream_rate(self, target: str, began_at: float) -> float:
        """The rate of a connection in bits per second, both directions together."""
        return self._stream_rates.get((target, began_at), 0.0)

    def _note_streams(self, status: ClientStatus, now: float) -> None:
        before, self._streams = self._streams, {}
        rates: dict[tuple[str, float], float] = {}
        for stream in status.streams:
            key = (stream.target, beginning(status, stream.age_s))
            count = stream.bytes_up + stream.bytes_down
            seen_at, seen = before.get(key, (now, count))
            self._streams[key] = (now, count)
            rates[key] = max(0, count - seen) * 8 / (now - seen_at) if now > seen_at else 0.0
        self._stream_rates = rates


def beginning(status: ClientStatus, age: float) -> float:
    """When a connection began, in seconds of the client's uptime: the same in each status."""
    return round(status.uptime_s - age, 0)


def sparkline(values: Iterable[float]) -> str:
    """One bar for each value."""
    known = list(values)
    highest = max(known, default=0.0)
    if highest <= 0:
        return _BARS[0] * len(known)
    return "".join(_BARS[min(len(_BARS) - 1, int(value / highest * len(_BARS)))] for value in known)
