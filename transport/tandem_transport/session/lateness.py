"""How late this process is: a path is not blamed for what this process has delayed."""

from tandem_transport.parameters import LATE_PROBE, MAX_EXCUSE
from tandem_transport.path.path import Path


class Lateness:
    """When the next turn was due, and which probe timeouts came so late that the answer may have waited unread."""

    __slots__ = ("_excused", "deadline")

    def __init__(self) -> None:
        self.deadline: float | None = None
        """The time that `next_timeout` has returned last."""
        self._excused: dict[int, tuple[float, float]] = {}
        """By path id: when the excused packet was sent, and until when its answer may wait unread."""

    def of_turn(self, *, now: float) -> float:
        """Seconds by which this turn is late, 0 where none was due; to be called once in each turn."""
        deadline, self.deadline = self.deadline, None
        return now - deadline if deadline is not None else 0.0

    def excuses(self, path: Path, probe_at: float, *, now: float) -> bool:
        """Whether a late probe timeout is postponed by as much as it is late: once for each packet."""
        late, sent_at = now - probe_at, path.recovery.last_sent_at
        if late < LATE_PROBE or self._excused.get(path.path_id, (0.0, 0.0))[0] == sent_at:
            return False
        self._excused[path.path_id] = (sent_at, now + min(late, MAX_EXCUSE))
        return True

    def put_off(self, path: Path, probe_at: float) -> float:
        """When the probe timeout of a path passes, including the time that is excused."""
        sent_at, until = self._excused.get(path.path_id, (0.0, 0.0))
        return max(probe_at, until) if sent_at == path.recovery.last_sent_at else probe_at
