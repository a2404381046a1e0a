"""Frozen snapshots for the console, logs and tests. None stands for "no sample yet"."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from tandem_transport.events import PathStatus
from tandem_transport.path.path import Path
from tandem_transport.wire.frames import PathUse


@dataclass(frozen=True, slots=True)
class PathStats:
    """One path as its local end sees it. Times are seconds, rates bytes per second."""

    path_id: int
    address: Hashable
    status: PathStatus
    reason: str
    use: PathUse
    """How the path may be used, according to the newest policy."""
    rtt_latest: float | None
    rtt_smoothed: float | None
    rtt_min: float | None
    rtt_p95: float | None
    loss_sent: float | None
    loss_at_peer: float | None
    """Loss of what this end sends, as the other end counts it."""
    loss_received: float | None
    rate_sent: float
    rate_received: float
    bytes_sent: int
    bytes_received: int
    won: float | None
    """Share of the frames with new bytes that this path brought first, of the last 60 s."""
    queue_delay: float
    """Seconds that our packets wait in the path's queue."""
    datagram_size: int
    """UDP payload that the path is known to carry."""
    spurious: int
    """Spurious losses: packets that were declared lost, but arrived."""
    pacing_rate: float
    congestion_window: float
    bytes_in_flight: int
    limited_by: Literal["queue", "drops"] | None = None
    """How the path shows that this end sends more than it carries; None where it does not show it."""


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """A session and its paths."""

    streams_open: int
    streams_total: int
    stream_bytes_sent: int
    """Bytes of stream data sent, each counted once."""
    stream_bytes_received: int
    copy_bytes: int
    """Bytes sent again, as copies or retransmissions, in both directions."""
    spurious: int
    """Spurious losses on all paths: our packets that were declared lost, but arrived."""
    rescued: int
    """Chunks that a copy saved, in both directions."""
    is_out: bool
    """All paths are down, or carry nothing to the peer."""
    packets_dropped: int
    """Received packets that were dropped: not authentic, replayed or misdirected."""
    key_updates: int
    """Key phases that have ended."""
    paths: tuple[PathStats, ...]


def path_stats(path: Path, all_won: int, *, now: float) -> PathStats:
    """The statistics of one path; `all_won`: frames with new bytes on all paths in the last 60 s."""
    rtt, counters = path.network.rtt, path.counters
    rate_sent, rate_received = counters.rates(now=now)
    is_measured = _has_rtt(path)
    return PathStats(
        path_id=path.path_id,
        address=path.addresses.current,
        status=path.standing.status,
        reason=path.standing.reason,
        use=path.use,
        rtt_latest=rtt.latest if is_measured else None,
        rtt_smoothed=rtt.smoothed if is_measured else None,
        rtt_min=rtt.minimum if is_measured else None,
        rtt_p95=rtt.p95() if is_measured else None,
        loss_sent=counters.loss_sent(now=now),
        loss_at_peer=counters.loss_at_peer,
        loss_received=counters.loss_received(now=now),
        rate_sent=rate_sent,
        rate_received=rate_received,
        bytes_sent=counters.bytes_sent,
        bytes_received=counters.bytes_received,
        won=counters.won(now=now) / all_won if all_won else None,
        queue_delay=path.network.queue.queue_delay,
        datagram_size=path.network.datagram_size,
        spurious=path.recovery.reordering.spurious,
        pacing_rate=path.network.congestion.pacing_rate,
        congestion_window=path.network.congestion.congestion_window,
        bytes_in_flight=path.recovery.bytes_in_flight,
        limited_by=_limited_by(path),
    )


def _has_rtt(path: Path) -> bool:
    """The path has RTT samples that are still valid: those of a path that does not answer are not."""
    return bool(path.network.rtt.smoothed) and not path.standing.is_down and not path.hearing.is_one_way


def _limited_by(path: Path) -> Literal["queue", "drops"] | None:
    """How the path shows that this end sends more than it carries; None where it does not show it."""
    if not _has_rtt(path):
        return None
    if path.network.congestion.is_policed:
        return "drops"
    return "queue" if path.network.has_queue(path.recovery.bytes_in_flight) else None
