"""What an operator is told about a path (the schedulers have states of their own, see probing.py)."""

from typing import NamedTuple

from tandem_transport.events import PathStatus
from tandem_transport.parameters import DEGRADED_HOLD, DOWN_AFTER, DOWN_PROBES

_DEGRADED_LOSS = 0.10
_DEGRADED_RTT = 3.0
"""Times the least RTT."""
_DEGRADED_RTT_MIN = 0.050
"""A path this fast is not degraded by its RTT, whatever its minimum."""
LATE = 0.2
"""Seconds of silence from which on an answer is late; less is what a busy machine takes for its turns."""

DEAF = "what is sent arrives, nothing comes back"
MUTE = "nothing that is sent here arrives"


class PathSigns(NamedTuple):
    """What a path's status is judged by."""

    has_answered: bool
    """Ever."""
    silence: float
    """Seconds since the first unanswered packet, 0 where all is answered."""
    unanswered: int
    is_suspect: bool
    loss: float
    """The worse of both directions."""
    smoothed_rtt: float
    min_rtt: float
    link_error: str
    """What the system says of the link, such as an interface that is gone; empty where nothing."""
    queue_delay: float = 0.0
    """Seconds that our packets wait in the path's queue, where that is more than is aimed at; else 0."""
    policed_rate: float = 0.0
    """Bytes per second beyond which the path drops what it is given; 0 where it does not."""
    is_mute: bool = False
    """The peer is heard, and does not hear."""
    is_deaf: bool = False
    """The peer hears, and is not heard."""
    is_unheard: bool = False
    """It was down, and nothing has come over it since: what others tell of its packets does not make it usable."""


class Standing:
    """The status that one path has now, and its cause."""

    __slots__ = ("degraded_until", "link_error", "reason", "status")

    def __init__(self) -> None:
        self.status = PathStatus.PROBING
        self.reason = "no answer yet"
        self.degraded_until = 0.0
        """A path that answers late now and then is not usable in between."""
        self.link_error = ""
        """Why this end cannot send here; empty where it can. A path that the other end has switched off sends
        nothing of its own accord, but acknowledges: this is how that end learns that it is on again."""

    @property
    def is_down(self) -> bool:
        """Nothing answers, or nothing can be sent."""
        return self.status is PathStatus.DOWN

    def update(self, signs: PathSigns, *, now: float) -> bool:
        """Judges the path anew; tells whether its status, or its cause, has changed."""
        before = self.status
        status, reason = evaluate(signs)
        if status is PathStatus.DEGRADED and not (signs.is_mute or signs.is_deaf):
            self.degraded_until = now + DEGRADED_HOLD
        if before is not PathStatus.DEGRADED or status is not PathStatus.USABLE or now >= self.degraded_until:
            self.status, self.reason = status, reason
        return self.status is not before


def evaluate(signs: PathSigns) -> tuple[PathStatus, str]:
    """The status and its cause in a few words, empty for a usable path."""
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
    if signs.policed_rate:
        return PathStatus.USABLE, f"drops what exceeds {signs.policed_rate * 8 / 1e6:.2g} Mbit/s"
    return PathStatus.USABLE, ""


def _is_queue_the_cause(signs: PathSigns, *, is_slow: bool) -> bool:
    # A loss comes from a queue that is full, and no short one holds up anybody.
    minimum = (signs.smoothed_rtt - signs.min_rtt) / 2 if is_slow else _DEGRADED_RTT_MIN
    return signs.queue_delay > 0 and signs.queue_delay >= minimum
