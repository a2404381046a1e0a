"""`tandem status`: asks a running Tandem, finds its token by itself."""

import json
import time
import urllib.error
import urllib.request
from typing import Any, cast

from rich.console import Console, RenderableType
from rich.table import Table

from tandem import console, runtime
from tandem.addresses import format_host_port, parse_host_port
from tandem.config import CLIENT_ADMIN_PORT, SERVER_ADMIN_PORT
from tandem.errors import TandemError
from tandem.status import ClientStatus, ServerStatus, Status

_TIMEOUT = 5.0


def show_status(admin: str | None, *, as_json: bool, watch: bool) -> int:
    """Prints the status; returns the exit code. Raises TandemError where nothing answers."""
    places = [parse_host_port(admin, what="--admin")] if admin else _default_places()
    try:
        while True:
            status = _fetch_first(places)
            if as_json:
                print(status.model_dump_json(indent=None if watch else 1))  # noqa: T201 (this is the command's output)
            else:
                Console().print(_render(status))
            if not watch:
                return 0 if status.is_healthy else 1
            time.sleep(1)
    except KeyboardInterrupt:
        return 130


def _default_places() -> list[tuple[str, int]]:
    return [("127.0.0.1", CLIENT_ADMIN_PORT), ("127.0.0.1", SERVER_ADMIN_PORT)]


def _fetch_first(places: list[tuple[str, int]]) -> Status:
    for place in places:
        status = _fetch(*place)
        if status is not None:
            return status
    tried = " or ".join(format_host_port(*place) for place in places)
    raise TandemError(f"no Tandem answers at {tried}", "is it running? --admin HOST:PORT names its admin endpoint")


def _fetch(host: str, port: int) -> Status | None:
    """None where nothing listens there."""
    token = runtime.find_token(port) or ""
    request = urllib.request.Request(
        f"http://{format_host_port(host, port)}/status", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            return _parse(json.load(answer))
    except urllib.error.HTTPError as error:
        text = f"{format_host_port(host, port)} answers {error.code}"
        hint = "it runs under another user, or with another token" if error.code == 401 else ""
        raise TandemError(text, hint) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def _parse(value: object) -> Status:
    fields = cast("dict[str, Any]", value)
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
