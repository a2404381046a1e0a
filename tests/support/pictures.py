"""Pictures of the console, as text: `python tests/support/pictures.py` writes them anew. Look at the difference."""

import io
import math
from pathlib import Path

from rich.console import Console

from tandem.admin.status import (
    ClientStatus,
    LinkStatus,
    RttStatus,
    ServerSessionStatus,
    ServerStatus,
    SessionStatus,
    StreamStatus,
)
from tandem.console.history import SAMPLE_INTERVAL, History
from tandem.console.screen import render
from tandem.console.status_command import render_server
from tandem.console.view import View
from tandem.console.words import explained

HERE = Path(__file__).parents[1] / "app"


def link(name: str, state: str, reason: str, **changed: object) -> LinkStatus:
    fields: dict[str, object] = {
        "name": name,
        "path_id": 0,
        "local": "192.168.1.20:40123",
        "remote": "203.0.113.7:8120",
        "state": state,
        "reason": reason,
        "rtt_ms": RttStatus(latest=67.2, smoothed=71.0, min=60.1, p95=98.7),
        "loss_up": 0.18,
        "loss_peer": 0.171,
        "loss_down": 0.203,
        "rate_up_bps": 628_000.0,
        "rate_down_bps": 90_600_000.0,
        "bytes_up": 4_100_000,
        "bytes_down": 61_000_000,
        "won": 0.78,
        "queue_ms": 4.4,
        "datagram_size": 1472,
        "spurious": 3,
        "day_bytes": 1_340_000_000,
        "month_bytes": 22_800_000_000,
    }
    return LinkStatus.model_validate(fields | changed)


def status(state: str = "up") -> ClientStatus:
    """A busy client, or one whose links are down."""
    is_out = state == "outage"
    no_rtt = RttStatus(latest=None, smoothed=None, min=None, p95=None)
    wifi = link("wifi", "degraded", "loss over 10%")
    phone = link(
        "a-phone-with-a-long-name",
        "usable",
        "",
        path_id=1,
        loss_up=0.0,
        loss_down=0.004,
        rate_down_bps=1_250_000_000.0,
        won=0.22,
        use="metered",
    )
    new = link("dsl", "probing", "no answer yet", rtt_ms=no_rtt, loss_up=None, loss_down=None, won=None, queue_ms=None)
    down = {"state": "down", "reason": "no answer for 2 s", "rate_up_bps": 0.0, "rate_down_bps": 0.0}
    links = [wifi, phone, new]
    if is_out:
        links = [item.model_copy(update=down) for item in links[:2]]
    return ClientStatus(
        version="1.2.3",
        uptime_s=4000.0,
        mode="adaptive",
        session=SessionStatus.model_validate(
            {
                "state": state,
                "server": "203.0.113.7:8120",
                "streams_open": 11,
                "streams_total": 345,
                "bytes_up": 93_000,
                "bytes_down": 54_900_000,
                "copy_bytes": 10_900_000,
                "rescued": 40,
                "age_s": 3905.0,
                "outage_s": 75.0 if is_out else None,
            }
        ),
        links=links,
        streams=[
            StreamStatus(target="www.example.org:443", age_s=12.0, bytes_up=2_000, bytes_down=50_000_000, id=1),
            StreamStatus(
                target="git.a-very-long-name-of-a-host.example.org:22", age_s=3700.0, bytes_up=9, bytes_down=1, id=2
            ),
        ],
    )


def server() -> ServerStatus:
    """With two clients."""
    session = status().session.model_dump()
    sessions = [
        ServerSessionStatus.model_validate(session | {"client": name, "links": status().links[:count]})
        for name, count in (("laptop", 2), ("boat", 1))
    ]
    return ServerStatus(uptime_s=10, listen=["203.0.113.7:8120"], clients=3, sessions=sessions)


def history(state: str = "up") -> History:
    """Two minutes of a rate that goes up and down."""
    made = History()
    for i in range(60):
        present = status(state)
        for number, item in enumerate(present.links):
            item.rate_down_bps *= 1 + math.sin(i / 4 + number)
        present.uptime_s -= (59 - i) * SAMPLE_INTERVAL
        for stream in present.streams:
            stream.age_s -= (59 - i) * SAMPLE_INTERVAL
            stream.bytes_down = max(0, stream.bytes_down - (59 - i) * 250_000)
        made.note(present, now=i * SAMPLE_INTERVAL)
    return made


def draw(width: int) -> str:
    """All that the console can look like, without colour."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    view = View(has_keys=True, lines=["link wifi is degraded (loss over 10%)"])
    console.print(render(status(), history(), view, width=width))
    console.rule("l: one link in full; s: by age")
    console.print(render(status(), history(), View(detail="wifi", sort="age", has_keys=True), width=width))
    console.rule("all links are down")
    console.print(render(status("outage"), history("outage"), width=width))
    console.rule("?: the words")
    console.print(explained())
    console.rule("no session")
    console.print(render(ClientStatus.model_validate(status().model_dump() | {"links": [], "streams": []} | _NOTHING)))
    console.rule("a server")
    console.print(render_server(server()))
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(row.rstrip() for row in output.getvalue().splitlines()) + "\n"


_NOTHING: dict[str, object] = {
    "session": {
        "state": "connecting",
        "server": None,
        "streams_open": 0,
        "streams_total": 0,
        "bytes_up": 0,
        "bytes_down": 0,
        "copy_bytes": 0,
        "rescued": 0,
    }
}


def picture(width: int) -> Path:
    """Where it is kept."""
    return HERE / f"console-{width}.txt"


if __name__ == "__main__":
    for columns in (80, 120):
        picture(columns).write_text(draw(columns))
