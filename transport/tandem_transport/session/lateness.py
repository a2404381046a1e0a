"""How late this process is: what its own delay explains is no fault of a path."""

from tandem_transport.parameters import LATE_PROBE, MAX_EXCUSE
from tandem_transport.path.path import Path


class Lateness:
    """When the next turn was due, and which probe timeouts came so late that the answer may have waited unread."""

    __slots__ = ("_excused", "deadline")

    def __init__(self) -> None:
        self.deadline: float | None = None
        """What `next_timeout` said last."""
        self._excused: dict[int, tuple[float, float]] = {}
        """By path id: when the packet was sent that is excused, and until when its answer may wait unread."""

    def of_turn(self, *, now: float) -> float:
        """Seconds by which this turn is late, 0 where none was due; asked once for each turn."""
        deadline, self.deadline = self.deadline, None
        return now - deadline if deadline is not None else 0.0

    def excuses(self, path: Path, probe_at: float, *, now: float) -> bool:
        """Whether a probe timeout is put off by as much as it came late: once for each packet."""
        late, sent_at = now - probe_at, path.recovery.last_sent_at
        if late < LATE_PROBE or self._excused.get(path.path_id, (0.0, 0.0))[0] == sent_at:
            return False
        self._excused[path.path_id] = (sent_at, now + min(late, MAX_EXCUSE))
        return True

    def put_off(self, path: Path, probe_at: float) -> float:
        """When the probe timeout of a path passes, with what is excused."""
        sent_at, until = self._excused.get(path.path_id, (0.0, 0.0))
        return max(probe_at, until) if sent_at == path.recovery.last_sent_at else probe_at
