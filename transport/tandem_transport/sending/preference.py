"""Which paths are preferred for what: rules that all schedulers share."""

from collections.abc import Sequence

from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.wire.frames import PathUse

_SLOW_RTTS = 3.0
"""RTTs of the best path: it finds a loss after 9/8 of one, and what it sends then takes another half."""


def may_repair(path: Path, paths: Sequence[Path]) -> bool:
    """Lost data goes on a suspect path only where no active one exists, and so does bulk data."""
    # The best path is an active one, if there is any.
    return path.probing.reachability is Reachability.ACTIVE or paths[0].probing.reachability is not Reachability.ACTIVE


def is_slow(path: Path, paths: Sequence[Path]) -> bool:
    """What this path carries arrives later than what the best one sends when it finds the first packet lost."""
    best = paths[0]
    if best.probing.reachability is not Reachability.ACTIVE or not best.network.rtt.smoothed:
        return False
    return path.network.rtt.smoothed > _SLOW_RTTS * best.network.rtt.smoothed


def may_resend(path: Path, paths: Sequence[Path]) -> bool:
    """Lost data goes on a path that may repair, and on which it does not arrive late."""
    return may_repair(path, paths) and not is_slow(path, paths)


def is_copies_only(path: Path, paths: Sequence[Path]) -> bool:
    """A metered path carries nothing but copies of interactive data while one that costs nothing works."""
    if path.use is not PathUse.METERED:
        return False
    return any(other.use is PathUse.AVAILABLE and other.probing.reachability is Reachability.ACTIVE for other in paths)
