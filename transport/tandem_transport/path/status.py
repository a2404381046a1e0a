"""The status of a path, as people see it (the schedulers have states of their own, see probing.py)."""

from typing import Final, NamedTuple

from tandem_transport.events import PathStatus
from tandem_transport.parameters import DEGRADED_HOLD, DOWN_AFTER, DOWN_PROBES

_DEGRADED_LOSS: Final = 0.10
_DEGRADED_RTT: Final = 3.0
"""Multiple of the minimum RTT above which a path is degraded."""
_DEGRADED_RTT_MIN: Final = 0.050
"""RTT in seconds up to which a path is never degraded by its RTT, whatever its minimum RTT."""
LATE: Final = 0.2
"""Seconds of silence after which an answer is late; a busy machine may take less than that for a turn."""

DEAF: Final = "what is sent arrives, nothing comes back"
MUTE: Final = "nothing that is sent here arrives"


class PathSigns(NamedTuple):
    """The observations that decide a path's status."""

    has_answered: bool
    """The path has answered at some time."""
    silence: float
    """Seconds since the first unanswered packet, 0 where all is answered."""
    unanswered: int
    is_suspect: bool
    loss: float
    """Share of lost packets in the worse direction."""
    smoothed_rtt: float
    min_rtt: float
    link_error: str
    """Why the link cannot be used, such as an interface that is gone; empty where it can be used."""
    queue_delay: float = 0.0
    """Seconds that our packets wait in the path's queue, if above the congestion controller's target; else 0."""
    policed_rate: float = 0.0
    """Bytes per second above which the path drops our packets; 0 where it has no such limit."""
    arriving_rate: float = 0.0
    """The same for the peer's packets, as the peer says."""
    is_mute: bool = False
    """The peer's packets arrive here, but ours do not arrive at the peer."""
    is_deaf: bool = False
    """Our packets arrive at the peer, but the peer's do not arrive here."""
    is_unheard: bool = False
    """The path was down, and nothing has arrived on it since: acknowledgements on other paths do not make it usable."""


class Standing:
    """The status that one path has now, and its reason."""

    __slots__ = ("degraded_until", "link_error", "reason", "status")

    def __init__(self) -> None:
        self.status = PathStatus.PROBING
        self.reason = "no answer yet"
        self.degraded_until = 0.0
        """Time until which a degraded path stays degraded: one that often answers late is not usable in between."""
        self.link_error = ""
        """Why this end cannot send on this path; empty where it can. A path that the other end has switched off only
        sends acknowledgements: from these, the other end learns that the path works again."""

    @property
    def is_down(self) -> bool:
        """The path does not answer, or nothing can be sent on it."""
        return self.status is PathStatus.DOWN

    def update(self, signs: PathSigns, *, now: float) -> bool:
        """Updates the status and its reason; tells whether the status has changed."""
        before = self.status
        status, reason = evaluate(signs)
        if status is PathStatus.DEGRADED and not (signs.is_mute or signs.is_deaf):
            self.degraded_until = now + DEGRADED_HOLD
        if before is not PathStatus.DEGRADED or status is not PathStatus.USABLE or now >= self.degraded_until:
            self.status, self.reason = status, reason
        return self.status is not before


def evaluate(signs: PathSigns) -> tuple[PathStatus, str]:
    """The status and its reason in a few words; the reason may be empty for a usable path."""
    if signs.link_error:
        return PathStatus.DOWN, signs.link_error
    if signs.is_mute:
        return PathStatus.DEGRADED, MUTE
    if signs.silence >= DOWN_AFTER and signs.unanswered >= DOWN_PROBES:
        return PathStatus.DOWN, "no answer" if signs.has_answered else "never answered"
    if signs.is_deaf:
        return PathStatus.DEGRADED, DEAF
    if signs.is_unheard:
        return PathStatus.DOWN, "no answer"
    if not signs.has_answered:
        return PathStatus.PROBING, "no answer yet"
    return _evaluate_quality(signs)


def _evaluate_quality(signs: PathSigns) -> tuple[PathStatus, str]:
    slow = max(_DEGRADED_RTT * signs.min_rtt, _DEGRADED_RTT_MIN)
    is_slow = bool(signs.min_rtt) and signs.smoothed_rtt > slow
    is_lossy = signs.loss > _DEGRADED_LOSS
    if (is_slow or is_lossy) and _is_queue_the_cause(signs, is_slow=is_slow):
        return PathStatus.DEGRADED, f"queue of {signs.queue_delay * 1000:.0f} ms"
    if is_lossy:
        return PathStatus.DEGRADED, f"loss over {_DEGRADED_LOSS:.0%}"
    if signs.is_suspect:
        return PathStatus.DEGRADED, "an answer is late"
    if is_slow:
        return PathStatus.DEGRADED, f"round trip over {_DEGRADED_RTT:.0f} x its minimum"
    return PathStatus.USABLE, _policed(signs)


def _policed(signs: PathSigns) -> str:
    """The limits of policers in words; empty where there are none."""
    sent, arriving = (f"{rate * 8 / 1e6:.2g} Mbit/s" for rate in (signs.policed_rate, signs.arriving_rate))
    if signs.policed_rate and signs.arriving_rate:
        return f"drops what exceeds {sent}, or {arriving} on its way here"
    if signs.arriving_rate:
        return f"drops what exceeds {arriving} on its way here"
    return f"drops what exceeds {sent}" if signs.policed_rate else ""


def _is_queue_the_cause(signs: PathSigns, *, is_slow: bool) -> bool:
    # Losses come from a full queue, and a short queue delays nobody: both need a minimum delay.
    minimum = (signs.smoothed_rtt - signs.min_rtt) / 2 if is_slow else _DEGRADED_RTT_MIN
    return signs.queue_delay > 0 and signs.queue_delay >= minimum
