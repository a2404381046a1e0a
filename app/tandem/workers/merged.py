"""The status of a server's workers as one."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tandem.admin.status import PublicationStatus, ServerStatus, WorkerStatus


def merged_status(found: Sequence[ServerStatus]) -> ServerStatus:
    """The status of all workers together; `uptime_s` and `listen` are their parent's."""
    return ServerStatus(
        uptime_s=0.0,
        listen=[],
        clients=max((item.clients for item in found), default=0),
        sessions=[session for item in found for session in item.sessions],
        failures=_sums(item.failures for item in found),
        handshakes=_sums(item.handshakes for item in found),
        max_sessions=sum(item.max_sessions for item in found),
        memory_bytes=sum(item.memory_bytes for item in found),
        max_resets=sum(item.max_resets for item in found),
        max_memory_bytes=sum(item.max_memory_bytes for item in found),
        udp_drops=_sum(item.udp_drops for item in found),
        published=_publications(found),
        registry_problem=next((item.registry_problem for item in found if item.registry_problem), ""),
        workers=[WorkerStatus(pid=item.pid, sessions=len(item.sessions), uptime_s=item.uptime_s) for item in found],
    )


def _publications(found: Sequence[ServerStatus]) -> list[PublicationStatus]:
    """Each publication as the worker shows it whose client offers it."""
    merged: dict[tuple[str, str], PublicationStatus] = {}
    for item in (publication for status in found for publication in status.published):
        known = merged.setdefault((item.name, item.listen), item.model_copy(update={"connections": 0}))
        known.client = item.client or known.client
        known.connections += item.connections
    return list(merged.values())


def _sums(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return dict(total)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
