"""PATH_POLICY: the client decides how both ends use the paths."""

from collections.abc import Mapping

from tandem_transport.frames import Mode, PathPolicyFrame, PathUse, PathWish
from tandem_transport.paths import Path

_MODES = frozenset(Mode)


class Policy:
    """The newest policy of a session."""

    def __init__(self) -> None:
        self._frame = PathPolicyFrame(0, Mode.DUPLICATE, ())
        self.mode = Mode.DUPLICATE
        """A mode that this end does not know means DUPLICATE."""

    @property
    def wishes(self) -> tuple[PathWish, ...]:
        """What the newest policy says of single paths."""
        return self._frame.wishes

    def choose(self, mode: Mode, wishes: tuple[PathWish, ...]) -> PathPolicyFrame:
        """The client's next policy."""
        self._frame = PathPolicyFrame(self._frame.sequence + 1, mode, wishes)
        self.mode = mode
        return self._frame

    def take(self, frame: PathPolicyFrame) -> None:
        """The peer's; the highest sequence counts."""
        if frame.sequence > self._frame.sequence:
            self._frame = frame
            self.mode = Mode(frame.mode) if frame.mode in _MODES else Mode.DUPLICATE

    def apply(self, paths: Mapping[int, Path]) -> None:
        """Tells the paths; a closed one stays closed."""
        for wish in self._frame.wishes:
            path = paths.get(wish.path_id)
            if path is not None and path.use is not PathUse.CLOSED:
                path.use = wish.use
                path.max_rate = wish.max_rate or None
