"""Which paths are preferred for what: rules that all schedulers share."""

from collections.abc import Sequence
from typing import Final

from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.wire.frames import PathUse

_SLOW_RTTS: Final = 3.0
"""RTTs of the best path above which another path is slow: the best one detects a loss after 9/8 RTT, and what it sends
then takes another half RTT."""


def may_repair(path: Path, paths: Sequence[Path]) -> bool:
    """Whether lost data and bulk data may go on this path: on a suspect one only where no active one exists."""
    # The best path is an active one, if there is any.
    return path.probing.reachability is Reachability.ACTIVE or paths[0].probing.reachability is not Reachability.ACTIVE


def is_slow(path: Path, paths: Sequence[Path]) -> bool:
    """Data on this path arrives later than what the best path sends after it has detected a loss."""
    best = paths[0]
    if best.probing.reachability is not Reachability.ACTIVE or not best.network.rtt.smoothed:
        return False
    return path.network.rtt.smoothed > _SLOW_RTTS * best.network.rtt.smoothed


def may_resend(path: Path, paths: Sequence[Path]) -> bool:
    """Whether lost data may go on this path: it may repair, and the data does not arrive late."""
    return may_repair(path, paths) and not is_slow(path, paths)


def is_copies_only(path: Path, paths: Sequence[Path]) -> bool:
    """Whether this path carries only copies of interactive data: a metered one does while an available one works."""
    if path.use is not PathUse.METERED:
        return False
    return any(other.use is PathUse.AVAILABLE and other.probing.reachability is Reachability.ACTIVE for other in paths)
