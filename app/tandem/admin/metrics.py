"""The status as Prometheus metrics: `/metrics`. The names are a contract, listed in docs/metrics.md.

Counters begin again at 0 with a new session or process; Prometheus detects that by itself.
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tandem.admin.status import ClientStatus, LinkStatus, ServerStatus, SessionStatus, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STATES = ("probing", "usable", "degraded", "down")

Sample = tuple[list[str], float]
"""The values of a sample's labels, and its value."""

Labelled = tuple[str, LinkStatus]
"""A client's name, "" on the client itself, and one of its links."""


def render(status: Status) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _StatusCollector(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        what = [([status.version, status.role], 1.0)]
        yield _gauge("tandem_info", "Always 1; its labels say what runs.", what, ["version", "role"])
        yield _gauge("tandem_uptime_seconds", "Since the process was started.", [([], status.uptime_s)])
        healthy = 1.0 if status.is_healthy else 0.0
        yield _gauge("tandem_healthy", "1 where /healthz says so.", [([], healthy)])
        yield _failures(status)
        if status.udp_drops is not None:
            text = "Datagrams that the kernel dropped because they were not read in time."
            yield _counter("tandem_udp_dropped", text, [([], status.udp_drops)], [])
        if isinstance(status, ServerStatus):
            yield from _server_metrics(status)
            yield _gauge("tandem_registered_clients", "Clients that have an invite.", [([], status.clients)])
            yield _gauge("tandem_sessions", "Sessions that are open.", [([], len(status.sessions))])
            yield from _session_metrics([(session.client, session) for session in status.sessions])
            yield from _link_metrics([(session.client, link) for session in status.sessions for link in session.links])
        else:
            yield from _session_metrics([("", status.session)])
            yield from _link_metrics([("", link) for link in status.links])
            yield from _usage(status.links)
            yield _counter("tandem_failovers", "Times that another server took over.", [([], status.failovers)], [])
            yield _mode(status)


def _failures(status: Status) -> Metric:
    samples = [([reason], float(count)) for reason, count in sorted(status.failures.items())]
    return _counter("tandem_failures", "Requests that could not be served.", samples, ["reason"])


def _server_metrics(status: ServerStatus) -> Iterator[Metric]:
    """Metrics of the server's limits, and of datagrams that belong to no session."""
    yield _gauge("tandem_sessions_limit", "Sessions that there may be.", [([], status.max_sessions)])
    yield _gauge("tandem_memory_bytes", "What sessions hold, or have been promised.", [([], status.memory_bytes)])
    yield _gauge("tandem_memory_limit_bytes", "The most that they may.", [([], status.max_memory_bytes)])
    yield _gauge("tandem_resets_limit", "Resets that may be sent in a second.", [([], status.max_resets)])
    yield _gauge("tandem_registry_ok", "0 where the registry cannot be asked.", [([], not status.registry_problem)])
    if status.workers:
        yield _gauge("tandem_workers", "Processes that serve.", [([], len(status.workers))])
        yield _counter("tandem_workers_replaced", "Workers that died.", [([], status.workers_replaced)], [])
        sessions = [([str(worker.pid)], float(worker.sessions)) for worker in status.workers]
        yield _gauge("tandem_worker_sessions", "Sessions of each process that serves.", sessions, ["pid"])
    samples = [([outcome], float(count)) for outcome, count in status.handshakes.items()]
    yield _counter("tandem_strangers", "Datagrams that belong to no session, by what became.", samples, ["outcome"])


def _usage(links: Sequence[LinkStatus]) -> Iterator[Metric]:
    used = [("day", link.name, link.day_bytes) for link in links] + [("month", i.name, i.month_bytes) for i in links]
    caps = [("day", link.name, link.day_cap_bytes) for link in links]
    caps += [("month", link.name, link.month_cap_bytes) for link in links]
    for name, text, values in (
        ("tandem_link_used_bytes", "Carried today and this month, headers included.", used),
        ("tandem_link_cap_bytes", "What a link may carry in a day and in a month.", caps),
    ):
        samples = [([link, period], float(value)) for period, link, value in values if value is not None]
        yield _gauge(name, text, samples, ["link", "period"])


def _mode(status: ClientStatus) -> Metric:
    samples = [([mode], float(mode == status.mode)) for mode in ("duplicate", "adaptive")]
    return _gauge("tandem_mode", "1 for the present mode.", samples, ["mode"])


def _session_metrics(sessions: list[tuple[str, SessionStatus]]) -> Iterator[Metric]:
    label = ["client"]
    states = ("connecting", "up", "outage")
    yield _gauge(
        "tandem_session_state",
        "1 for the session's present state.",
        [([name, state], float(session.state == state)) for name, session in sessions for state in states],
        [*label, "state"],
    )
    yield _gauge("tandem_streams_open", "Open connections.", [([n], s.streams_open) for n, s in sessions], label)
    for name, text, value in (
        ("tandem_streams", "Connections since the session began.", "streams_total"),
        ("tandem_copy_bytes", "Bytes that were sent again, both ways.", "copy_bytes"),
        ("tandem_rescued", "Losses that a copy made up for, both ways.", "rescued"),
    ):
        yield _counter(name, text, [([n], getattr(session, value)) for n, session in sessions], label)
    yield _counter(
        "tandem_session_bytes",
        "Content of connections, each byte once; up is from the client.",
        [([n, d], getattr(session, f"bytes_{d}")) for n, session in sessions for d in ("up", "down")],
        [*label, "direction"],
    )


def _link_metrics(links: list[Labelled]) -> Iterator[Metric]:
    labels = ["client", "link"]
    yield _gauge(
        "tandem_link_state",
        "1 for the link's present state.",
        [([n, link.name, state], float(link.state == state)) for n, link in links for state in _STATES],
        [*labels, "state"],
    )
    yield _gauge(
        "tandem_link_rtt_seconds",
        "Round-trip time: latest, smoothed, min and p95.",
        [
            ([n, link.name, kind], value / 1000)
            for n, link in links
            for kind, value in link.rtt_ms.model_dump().items()
            if value is not None
        ],
        [*labels, "kind"],
    )
    yield _gauge(
        "tandem_link_loss_ratio",
        "Share of packets lost in the last 10 s, 0 to 1.",
        list(_both_ways(links, "loss")),
        [*labels, "direction"],
    )
    queues = [([n, link.name], link.queue_ms / 1000) for n, link in links if link.queue_ms is not None]
    yield _gauge("tandem_link_queue_seconds", "How long packets wait in the link's queue.", queues, labels)
    yield _counter(
        "tandem_link_bytes",
        "UDP payload; up is from the client.",
        list(_both_ways(links, "bytes")),
        [*labels, "direction"],
    )
    won = [([n, link.name], link.won) for n, link in links if link.won is not None]
    yield _gauge("tandem_link_won_ratio", "Share of the data that this link has brought first, 60 s.", won, labels)


def _both_ways(links: list[Labelled], what: str) -> Iterator[tuple[list[str], float]]:
    for client, link in links:
        for direction in ("up", "down"):
            value: float | None = getattr(link, f"{what}_{direction}")
            if value is not None:
                yield [client, link.name, direction], value


def _gauge(name: str, text: str, samples: Iterable[Sample], labels: Iterable[str] = ()) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=list(labels)), samples)


def _counter(name: str, text: str, samples: Iterable[Sample], labels: Iterable[str]) -> Metric:
    """A counter. The library adds `_total` to its name."""
    return _filled(CounterMetricFamily(name, text, labels=list(labels)), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Iterable[Sample]) -> Metric:
    for values, value in samples:
        family.add_metric(values, value)
    return family
