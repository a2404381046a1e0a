"""Metrics: their names are a contract."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tandem import metrics
from tandem.status import ClientStatus, LinkStatus, RttStatus, ServerSessionStatus, ServerStatus, SessionStatus

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


def names() -> set[str]:
    return {key[0] for status in (CLIENT, SERVER) for key in samples(status)}


def test_all_names_are_documented() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"`(tandem_\w+)", text))
    assert names() - {"tandem_link_queue_seconds"} <= documented
    assert documented <= names() | {"tandem_link_queue_seconds"}


def test_dashboard_and_alerts_use_names_that_exist() -> None:
    dashboard = (ROOT / "deploy" / "grafana" / "tandem.json").read_text()
    json.loads(dashboard)
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text()
    used = set(re.findall(r"tandem_\w+", dashboard + alerts))
    assert used
    assert used <= names() | {"tandem_link_queue_seconds"}
