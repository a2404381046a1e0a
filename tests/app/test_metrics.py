"""Metrics: their names are a contract."""

import json
import re
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tandem.admin import metrics
from tandem.admin.status import (
    ClientStatus,
    LinkStatus,
    RttStatus,
    ServerSessionStatus,
    ServerStatus,
    SessionStatus,
    WorkerStatus,
)
from tandem_transport.parameters import MAX_SESSIONS

ROOT = Path(__file__).parent.parent.parent
LINK = LinkStatus(
    name="wifi",
    path_id=0,
    local="192.0.2.2:5",
    remote="192.0.2.1:8120",
    state="degraded",
    reason="loss over 10%",
    rtt_ms=RttStatus(latest=31.0, smoothed=33.3, min=30.0, p95=None),
    loss_up=0.125,
    loss_down=None,
    rate_up_bps=1_250_000.0,
    rate_down_bps=0.0,
    bytes_up=1000,
    bytes_down=2000,
    won=0.5,
)
COUNTS = {"streams_open": 2, "streams_total": 7, "bytes_up": 10, "bytes_down": 20, "copy_bytes": 5, "rescued": 3}
SESSION: dict[str, object] = {"state": "up", "server": None, **COUNTS}
CLIENT = ClientStatus(uptime_s=1.5, mode="adaptive", session=SessionStatus.model_validate(SESSION), links=[LINK])
SERVER = ServerStatus(
    uptime_s=2,
    listen=["192.0.2.1:8120"],
    clients=3,
    sessions=[ServerSessionStatus.model_validate(SESSION | {"client": 'lap"top', "links": [LINK]})],
    workers=[WorkerStatus(pid=7, sessions=1, uptime_s=2.0), WorkerStatus(pid=8, sessions=0, uptime_s=1.0)],
    workers_replaced=1,
)


def samples(status: ClientStatus | ServerStatus) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.render(status).decode())
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_a_client() -> None:
    found = samples(CLIENT)
    assert found[("tandem_link_rtt_seconds", "", "smoothed", "wifi")] == pytest.approx(0.0333)
    assert ("tandem_link_rtt_seconds", "", "p95", "wifi") not in found, "no sample yet is none, not 0"
    assert ("tandem_link_loss_ratio", "", "down", "wifi") not in found
    assert found[("tandem_link_loss_ratio", "", "up", "wifi")] == 0.125
    assert found[("tandem_link_state", "", "wifi", "degraded")] == 1
    assert found[("tandem_link_state", "", "wifi", "usable")] == 0
    assert found[("tandem_session_bytes_total", "", "down")] == 20
    assert found[("tandem_mode", "adaptive")] == 1
    assert found[("tandem_healthy",)] == 1


def test_a_server_names_its_clients() -> None:
    found = samples(SERVER)
    assert found[("tandem_streams_open", 'lap"top')] == 2
    assert found[("tandem_link_bytes_total", 'lap"top', "up", "wifi")] == 1000
    assert (found[("tandem_registered_clients",)], found[("tandem_sessions",)]) == (3, 1)
    assert (found[("tandem_workers",)], found[("tandem_workers_replaced_total",)]) == (2, 1)
    assert found[("tandem_worker_sessions", "7")] == 1


def test_what_was_refused_and_what_is_left_is_counted() -> None:
    link = LINK.model_copy(update={"day_bytes": 5, "month_bytes": 50, "month_cap_bytes": 100})
    update = {"failures": {"dial at the server: ECONNREFUSED": 3}, "failovers": 2, "udp_drops": 7, "links": [link]}
    found = samples(CLIENT.model_copy(update=update))
    assert found[("tandem_failures_total", "dial at the server: ECONNREFUSED")] == 3
    assert found[("tandem_failovers_total",)] == 2
    assert found[("tandem_udp_dropped_total",)] == 7
    assert found[("tandem_link_used_bytes", "wifi", "day")] == 5
    assert found[("tandem_link_cap_bytes", "wifi", "month")] == 100
    assert ("tandem_link_cap_bytes", "wifi", "day") not in found
    update = {"handshakes": {"refused": 4}, "memory_bytes": 10, "max_memory_bytes": 20, "registry_problem": "x"}
    found = samples(SERVER.model_copy(update=update))
    assert found[("tandem_strangers_total", "refused")] == 4
    assert found[("tandem_sessions_limit",)] == MAX_SESSIONS
    assert found[("tandem_memory_bytes",)] / found[("tandem_memory_limit_bytes",)] == 0.5
    assert found[("tandem_registry_ok",)] == 0
    if sys.platform == "linux":
        assert found[("process_open_fds",)] > 0
        assert found[("process_resident_memory_bytes",)] > 0


FULL_LINK = LINK.model_copy(update={"queue_ms": 1.0, "day_bytes": 1, "day_cap_bytes": 2})
FULL = (
    CLIENT.model_copy(update={"udp_drops": 0, "failures": {"x": 1}, "links": [FULL_LINK]}),
    SERVER.model_copy(update={"udp_drops": 0, "failures": {"x": 1}, "handshakes": {"refused": 0}}),
)


def names() -> set[str]:
    return {key[0] for status in FULL for key in samples(status) if key[0].startswith("tandem_")}


def test_all_names_are_documented() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"`(tandem_\w+)", text))
    assert names() == documented


def test_dashboard_and_alerts_use_names_that_exist() -> None:
    dashboard = (ROOT / "deploy" / "grafana" / "tandem.json").read_text()
    json.loads(dashboard)
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text()
    used = set(re.findall(r"tandem_\w+", dashboard + alerts))
    assert used
    assert used <= names()
