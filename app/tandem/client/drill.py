"""Drills: a running client's link is impaired for a while, to test how well the others replace it."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from tandem.base.errors import UsageError
from tandem.base.units import parse_rate
from tandem.impair.bad_link import BadLink
from tandem.impair.impairment import Impairment
from tandem_transport.driver import Link

log = logging.getLogger("tandem.client")

DEFAULT_DURATION = 60.0
MAX_DURATION = 3600.0
"""The maximum duration of a drill in seconds, so that a forgotten drill ends by itself."""

ACCEPTED = "loss=20% delay=80ms jitter=10ms rate=5Mbit/s for=60s, or down for=60s, or off"

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_FACTORS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Drill(BaseModel):
    """The impairment of a link, in each direction. Times in seconds, rate in bytes per second, 0 for no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: str
    is_on: bool = True
    is_down: bool = False
    loss: float = Field(default=0.0, ge=0, le=1)
    delay: float = Field(default=0.0, ge=0, le=10)
    jitter: float = Field(default=0.0, ge=0, le=10)
    rate: float = Field(default=0.0, ge=0)
    duration: float = Field(default=DEFAULT_DURATION, gt=0, le=MAX_DURATION)

    def __str__(self) -> str:
        if self.is_down:
            return "down"
        parts = [f"loss {self.loss:.0%}"] if self.loss else []
        parts += [f"delay {self.delay * 1000:.0f} ms each way"] if self.delay else []
        parts += [f"jitter {self.jitter * 1000:.0f} ms"] if self.jitter else []
        parts += [f"rate {self.rate * 8e-6:.3g} Mbit/s"] if self.rate else []
        return ", ".join(parts) or "nothing"

    def impairment(self) -> Impairment:
        """The impairment of each direction of the link, for the model of a bad link."""
        if self.is_down:
            return Impairment(loss=1.0)
        return Impairment(loss=self.loss, delay=self.delay, jitter=self.jitter, rate=self.rate)


def parse_drill(link: str, words: Sequence[str]) -> Drill:
    """Parses a drill from the words of the command line. Raises UsageError that says what is accepted."""
    fields: dict[str, object] = {}
    for word in words:
        name, found, value = word.partition("=")
        if word in ("down", "off"):
            fields["is_down" if word == "down" else "is_on"] = word == "down"
        elif found and name in _PARSERS:
            fields["duration" if name == "for" else name] = _value(name, value)
        else:
            raise UsageError(f"drill: {word!r} is not understood", f"accepted: {ACCEPTED}")
    if "is_on" in fields and len(fields) > 1:
        raise UsageError("drill: `off` ends it, and stands alone", f"accepted: {ACCEPTED}")
    if not fields.keys() - {"duration"}:
        raise UsageError("drill: nothing to do", f"accepted: {ACCEPTED}")
    try:
        return Drill.model_validate({"link": link, **fields})
    except ValueError as error:
        raise UsageError(f"drill: {' '.join(words)}: out of range", _RANGES) from error


_RANGES = "loss up to 100%, delay and jitter up to 10s, for up to 60m"


class RunningDrill:
    """A drill that is under way on a link."""

    def __init__(self, drill: Drill, link: Link, on_over: Callable[[], None]) -> None:
        """Begins the drill; `on_over` is called when its duration is over. Needs a running event loop."""
        self._drill = drill
        self._link = link
        self._bad = BadLink(drill.impairment(), seed=int.from_bytes(os.urandom(4), "big"))
        self._bad.attach(link)
        self._timer = asyncio.get_running_loop().call_later(drill.duration, on_over)
        log.info("link %s: drill for %.0f s: %s", drill.link, drill.duration, drill)

    def __str__(self) -> str:
        return str(self._drill)

    @property
    def impairment(self) -> Impairment:
        """What the drill adds to each direction of the link."""
        return self._drill.impairment()

    def end(self) -> None:
        """Ends the drill, and restores the link as it was before."""
        self._timer.cancel()
        self._bad.detach(self._link)
        log.info("link %s: the drill is over", self._drill.link)


def _value(name: str, text: str) -> float:
    try:
        return _PARSERS[name](text)
    except ValueError as error:
        raise UsageError(f"drill: {name}={text}: {error}", f"accepted: {ACCEPTED}") from error


def _share(text: str) -> float:
    if not text.endswith("%"):
        raise ValueError("a share is written as 20%")
    return float(text[:-1]) / 100


def _time(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("a time is written as 80ms, 60s or 5m")
    return float(match[1]) * _FACTORS[match[2]]


_PARSERS: dict[str, Callable[[str], float]] = {
    "loss": _share,
    "delay": _time,
    "jitter": _time,
    "rate": parse_rate,
    "for": _time,
}
