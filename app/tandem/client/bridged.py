"""Outages of single links that nobody noticed, because another link carried everything meanwhile."""

_WORKS = ("usable", "degraded")


class BridgedOutages:
    """Counts the links that went down while another one worked, and how long each was missing."""

    def __init__(self) -> None:
        self.count = 0
        self._seconds = 0.0
        self._states: dict[int, str] = {}
        """The state of each link by path id."""
        self._down_since: dict[int, float] = {}
        """When each link that is bridged went down."""

    def note(self, path_id: int, state: str, *, now: float) -> None:
        """Notes the new state of a link: `probing`, `usable`, `degraded` or `down`."""
        before = self._states.get(path_id)
        self._states[path_id] = state
        if state in _WORKS:
            self._end(path_id, now)
        elif state == "down" and before in _WORKS:
            if any(other in _WORKS for other in self._states.values()):
                self.count += 1
                self._down_since[path_id] = now
            else:
                self._end_all(now)

    def reset(self, *, now: float) -> None:
        """Notes that the session is another one, whose links are new."""
        self._end_all(now)
        self._states.clear()

    def seconds(self, *, now: float) -> float:
        """For how long links have been missing, in all."""
        return self._seconds + sum(now - since for since in self._down_since.values())

    def _end(self, path_id: int, now: float) -> None:
        since = self._down_since.pop(path_id, None)
        if since is not None:
            self._seconds += now - since

    def _end_all(self, now: float) -> None:
        for path_id in list(self._down_since):
            self._end(path_id, now)
