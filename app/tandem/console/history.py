"""The history of the last minutes that a console keeps, to draw it."""

from collections import deque
from collections.abc import Iterable, Sequence

from tandem.admin.status import ClientStatus, StreamStatus

SAMPLE_INTERVAL = 2.0
"""Seconds between two samples of a sparkline."""

SAMPLES = 240
"""Number of samples that are kept for each link: eight minutes, which is the width of a very wide window."""

_BARS = "▁▂▃▄▅▆▇█"


class History:
    """Rates of links over the last minutes, and of connections since the last status."""

    def __init__(self) -> None:
        self._rates: dict[str, deque[float]] = {}
        self._sampled_at = float("-inf")
        self._streams: dict[int, tuple[float, int]] = {}
        """Time of the last status and its byte count for each connection, by its id."""
        self._stream_rates: dict[int, float] = {}

    def note(self, status: ClientStatus, *, now: float) -> None:
        """Takes another status into the history."""
        if now >= self._sampled_at + SAMPLE_INTERVAL:
            self._sampled_at = now
            for link in status.links:
                rates = self._rates.setdefault(link.name, deque(maxlen=SAMPLES))
                rates.append(link.rate_up_bps + link.rate_down_bps)
        self._note_streams(status, now)

    def sparkline(self, link: str, width: int, highest: float) -> str:
        """Bars for the last `width` rates of a link, the newest last; a full bar is the rate `highest`."""
        return sparkline(self._last(link, width), highest)

    def highest(self, links: Sequence[str], width: int) -> float:
        """The highest of the last `width` rates of some links."""
        return max((rate for link in links for rate in self._last(link, width)), default=0.0)

    def length(self, links: Sequence[str], width: int) -> int:
        """How many of the last `width` rates are known, for the link with most of them."""
        return max((len(self._last(link, width)) for link in links), default=0)

    def stream_rate(self, stream: StreamStatus) -> float:
        """The rate of a connection in bits per second, both directions together."""
        return self._stream_rates.get(stream.id, 0.0)

    def _last(self, link: str, width: int) -> list[float]:
        return list(self._rates.get(link, ()))[-width:]

    def _note_streams(self, status: ClientStatus, now: float) -> None:
        before, self._streams = self._streams, {}
        rates: dict[int, float] = {}
        for stream in status.streams:
            count = stream.bytes_up + stream.bytes_down
            seen_at, seen = before.get(stream.id, (now, count))
            self._streams[stream.id] = (now, count)
            rates[stream.id] = max(0, count - seen) * 8 / (now - seen_at) if now > seen_at else 0.0
        self._stream_rates = rates


def sparkline(values: Iterable[float], highest: float) -> str:
    """One bar for each value; a full bar is the value `highest`."""
    scale = len(_BARS) / highest if highest > 0 else 0.0
    return "".join(_BARS[min(len(_BARS) - 1, int(value * scale))] for value in values)
