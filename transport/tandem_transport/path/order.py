"""Which paths may carry data, best first."""

from collections.abc import Iterable
from typing import Final

from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.wire.frames import PathUse

_UNKNOWN_RTT: Final = 1.0
"""RTT in seconds assumed for a path without a sample: it comes after those that have answered."""


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths that may carry data, best first; backups and silent paths only where no other is left."""
    candidates = [path for path in paths if path.use is not PathUse.OFF]
    candidates = [path for path in candidates if path.probing.reachability is not Reachability.SILENT] or candidates
    candidates = [path for path in candidates if path.use is not PathUse.BACKUP] or candidates
    if len(candidates) > 1:
        candidates.sort(key=_preference)
    return candidates


def _preference(path: Path) -> tuple[int, float]:
    return (path.probing.reachability, path.network.rtt.smoothed or _UNKNOWN_RTT)
