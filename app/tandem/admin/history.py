"""The last hour of a client's links, which the page draws as charts."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypedDict

SAMPLE_INTERVAL = 5.0
"""Seconds between two samples."""

SAMPLES = 720
"""Number of samples that are kept: an hour."""


class LinkSample(NamedTuple):
    """What a link did at one moment."""

    rtt_ms: float | None
    loss_up: float | None
    loss_down: float | None
    up_bps: float
    down_bps: float


class ToldHistory(TypedDict):
    """The history as the page gets it. Times are in seconds since 1970, by this machine's clock."""

    interval_s: float
    span_s: float
    """Seconds of which samples are kept."""
    at: list[float]
    """The time of each sample."""
    links: dict[str, dict[str, list[float | None]]]
    """For each link its samples, by the fields of LinkSample; null where it had none."""


class StatusHistory:
    """Samples of all links, SAMPLES at most: about a quarter of a megabyte for each link."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Mapping[str, LinkSample]]] = deque(maxlen=SAMPLES)
        self._encoded: bytes | None = None

    def note(self, links: Mapping[str, LinkSample], *, at: float) -> None:
        """Keeps samples of the links, by name; `at`: seconds since 1970."""
        self._encoded = None
        self._samples.append((round(at, 1), links))

    def encoded(self) -> bytes:
        """The history as JSON, which is made once for each sample."""
        if self._encoded is None:
            self._encoded = json.dumps(self.told()).encode()
        return self._encoded

    def told(self) -> ToldHistory:
        """The history for the page."""
        names = dict.fromkeys(name for _, links in self._samples for name in links)
        return {
            "interval_s": SAMPLE_INTERVAL,
            "span_s": SAMPLE_INTERVAL * SAMPLES,
            "at": [at for at, _ in self._samples],
            "links": {name: self._columns(name) for name in names},
        }

    def _columns(self, name: str) -> dict[str, list[float | None]]:
        samples = [links.get(name) for _, links in self._samples]

        def column(of: Callable[[LinkSample], float | None]) -> list[float | None]:
            return [None if sample is None else of(sample) for sample in samples]

        return {
            "rtt_ms": column(lambda sample: sample.rtt_ms),
            "loss_up": column(lambda sample: sample.loss_up),
            "loss_down": column(lambda sample: sample.loss_down),
            "up_bps": column(lambda sample: sample.up_bps),
            "down_bps": column(lambda sample: sample.down_bps),
        }
