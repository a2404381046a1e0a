"""`tandem status`: what a running Tandem says of itself."""

import time
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from tandem import admin_client, console
from tandem.status import ClientStatus, ServerStatus, Status


def show_status(admin: str | None, *, as_json: bool, watch: bool) -> int:
    """Prints the status; returns the exit code. Raises TandemError where nothing answers."""
    places = admin_client.places(admin)
    try:
        while True:
            status = _parse(admin_client.ask(places, "/status"))
            if as_json:
                print(status.model_dump_json(indent=None if watch else 1))  # noqa: T201 (this is the command's output)
            else:
                Console().print(_render(status))
            if not watch:
                return 0 if status.is_healthy else 1
            time.sleep(1)
    except KeyboardInterrupt:
        return 130


def _parse(fields: dict[str, Any]) -> Status:
    model = ClientStatus if fields.get("role") == "client" else ServerStatus
    return model.model_validate(fields)


def _render(status: Status) -> RenderableType:
    if isinstance(status, ClientStatus):
        return console.render(status)
    table = Table(title=f"Tandem server: {len(status.sessions)} of {status.clients} clients connected")
    for title in ("client", "state", "streams", "path", "remote", "path state"):
        table.add_column(title)
    for session in status.sessions:
        for link in session.links:
            streams = str(session.streams_open)
            table.add_row(session.client, session.state, streams, link.name, link.remote or "-", link.state)
    return table
