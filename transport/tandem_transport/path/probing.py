"""Whether a path answers, as the schedulers see it, and the probes that find out."""

from enum import IntEnum
from typing import Final

from tandem_transport.recovery.recovery import Recovery

_SILENT_PTOS: Final = 2
_SILENT_RTTS: Final = 3


class Reachability(IntEnum):
    """The schedulers' view of a path; lower is better."""

    ACTIVE = 0
    SUSPECT = 1
    """A probe timeout has passed."""
    SILENT = 2
    """Two probe timeouts in a row have passed, and nothing was acknowledged for 3 RTTs."""


class Probing:
    """Decides when one path is probed, and keeps what the answers show."""

    __slots__ = ("is_due", "is_full", "reachability")

    def __init__(self) -> None:
        self.reachability = Reachability.ACTIVE
        self.is_due = False
        """A probe must be sent at once, whatever the window and the pacer allow."""
        self.is_full = True
        """The next probe is a full packet: it shows that full packets get through, and lets the other end
        answer with three times its size before our address is validated."""

    def request(self, *, is_full: bool = False) -> None:
        """Makes a probe due; a full one (`is_full`) where it must show what the path carries."""
        self.is_due = True
        self.is_full = self.is_full or is_full

    def on_sent(self) -> None:
        """The probe that was due has left."""
        self.is_due = False

    def on_full_sent(self) -> None:
        """The probe was a full packet; the next ones need not be."""
        self.is_full = False

    def on_timeout(self, recovery: Recovery, *, now: float) -> None:
        """Nothing was acknowledged for a probe timeout (RFC 9002 section 6.2)."""
        recovery.pto_count += 1
        self.is_due = True
        if self.reachability is Reachability.ACTIVE:
            self.reachability = Reachability.SUSPECT
        last = recovery.last_acked_at
        if recovery.pto_count >= _SILENT_PTOS and (last is None or now - last > _SILENT_RTTS * recovery.rtt.smoothed):
            self.reachability = Reachability.SILENT

    def on_blocked(self) -> None:
        """Not even a probe may leave."""
        self.reachability = Reachability.SILENT

    def on_answer(self) -> bool:
        """A packet was acknowledged; tells whether the path was not active before."""
        is_news = self.reachability is not Reachability.ACTIVE
        self.reachability = Reachability.ACTIVE
        return is_news
