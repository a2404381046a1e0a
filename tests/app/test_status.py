"""The status: names that monitoring relies on, and its one line."""

from tandem.admin.status import ClientStatus, LinkStatus
from tandem.console.screen import line


def client_status(state: str = "up") -> ClientStatus:
    link = {
        "name": "wifi",
        "path_id": 0,
        "local": "192.0.2.2:5",
        "remote": "192.0.2.1:8120",
        "state": "degraded",
        "reason": "loss over 10%",
        "rtt_ms": {"latest": 31.0, "smoothed": 33.3, "min": 30.0, "p95": 41.0},
        "loss_up": 0.125,
        "loss_down": None,
        "rate_up_bps": 1_250_000.0,
        "rate_down_bps": 0.0,
        "bytes_up": 1000,
        "bytes_down": 2000,
        "won": 0.5,
    }
    session = {"state": state, "server": "192.0.2.1:8120", "streams_open": 2, "streams_total": 7}
    session |= {"bytes_up": 1000, "bytes_down": 2_500_000, "copy_bytes": 10, "rescued": 3}
    return ClientStatus.model_validate({"uptime_s": 1.0, "mode": "duplicate", "session": session, "links": [link]})


def test_the_status_in_one_line() -> None:
    assert line(client_status()) == ("session up, 2 streams open; wifi degraded 33 ms, loss 12% up - down")


def test_the_status_keeps_its_names() -> None:
    """Monitoring relies on them; new ones come last."""
    status = client_status().model_dump()
    assert list(status) == [
        "version", "role", "uptime_s", "mode", "session", "links", "streams", "failures", "socks", "failovers",
        "udp_drops", "exits", "published", "speedtest",
    ]  # fmt: skip
    assert list(status["session"]) == [
        "state", "server", "streams_open", "streams_total", "bytes_up", "bytes_down", "copy_bytes", "rescued",
        "spurious", "age_s", "outage_s", "reason", "bridged", "bridged_s",
    ]  # fmt: skip
    assert list(status["links"][0]) == [
        "name", "path_id", "local", "remote", "state", "reason", "rtt_ms", "loss_up", "loss_down",
        "rate_up_bps", "rate_down_bps", "bytes_up", "bytes_down", "won",
        "queue_ms", "datagram_size", "spurious", "use", "day_bytes", "month_bytes", "drill",
        "limited_by", "day_cap_bytes", "month_cap_bytes", "loss_peer", "transport",
    ]  # fmt: skip
    assert list(status["links"][0]["rtt_ms"]) == ["latest", "smoothed", "min", "p95"]


def test_the_status_of_an_earlier_release_is_read() -> None:
    fields = client_status().links[0].model_dump()
    fields.pop("use")
    uses = [LinkStatus.model_validate(fields | {"cost": cost}).use for cost in ("normal", "metered")]
    assert uses == ["available", "metered"]
