"""PATH_POLICY: the client decides how both ends use the paths."""

from collections.abc import Mapping

from tandem_transport.path.path import Path
from tandem_transport.wire.frames import Mode, PathPolicyFrame, PathPreference, PathUse

_MODES = frozenset(Mode)


class Policy:
    """The newest policy of a session: its mode, and how single paths are used."""

    def __init__(self) -> None:
        self._frame = PathPolicyFrame(0, Mode.DUPLICATE, ())
        self._off: set[int] = set()
        self.mode = Mode.DUPLICATE
        """The mode of the newest policy; one that this end does not know means DUPLICATE."""
        self.preferences: tuple[PathPreference, ...] = ()
        """How the client's owner wants single paths to be used, including those that are switched off."""

    def choose(self, mode: Mode, preferences: tuple[PathPreference, ...]) -> PathPolicyFrame:
        """Returns the client's next policy, with this mode and these preferences."""
        self.mode, self.preferences = mode, preferences
        return self._next()

    def switch(self, path_id: int, *, is_off: bool) -> PathPolicyFrame:
        """Returns the client's next policy, in which a link cannot be used (`is_off`) or can be used again."""
        self._off.discard(path_id)
        if is_off:
            self._off.add(path_id)
        return self._next()

    def take(self, frame: PathPolicyFrame) -> None:
        """Takes the peer's policy; the one with the highest sequence counts."""
        if frame.sequence > self._frame.sequence:
            self._frame = frame
            self.mode = Mode(frame.mode) if frame.mode in _MODES else Mode.DUPLICATE

    def apply(self, paths: Mapping[int, Path]) -> None:
        """Applies the newest policy to all paths; a path that it does not name is available."""
        preferences = {preference.path_id: preference for preference in self._frame.preferences}
        for path_id, path in paths.items():
            preference = preferences.get(path_id, PathPreference(path_id, PathUse.AVAILABLE, 0))
            path.follow(preference.use, preference.max_rate or None)

    def _next(self) -> PathPolicyFrame:
        named = {preference.path_id: preference for preference in self.preferences}
        off = {path_id: PathPreference(path_id, PathUse.OFF, 0) for path_id in self._off}
        self._frame = PathPolicyFrame(self._frame.sequence + 1, self.mode, tuple((named | off).values()))
        return self._frame
