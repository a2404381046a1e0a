"""`tandem status`: shows the status of a running client or server."""

import asyncio
import time
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from tandem.admin import admin_client
from tandem.admin.status import ClientStatus, ServerStatus, Status
from tandem.console import console
from tandem.console.figures import ms, percent
from tandem.console.keys import can_be_pressed
from tandem.console.screen import render
from tandem.console.view import View


def show_status(admin: str | None, *, as_json: bool, watch: bool) -> int:
    """Prints the status; returns the exit code. Raises TandemError where nothing answers."""
    places = admin_client.places(admin)
    status = _ask(places)
    try:
        if not watch:
            _print(status, as_json=as_json)
            return 0 if status.is_healthy else 1
        if not as_json and _can_draw():
            if isinstance(status, ClientStatus):
                asyncio.run(_watch_client(places))
                return 0
            _watch_server(places)
        while True:
            _print(_ask(places), as_json=as_json, is_one_line=True)
            time.sleep(1)
    except KeyboardInterrupt:
        return 130


def _can_draw() -> bool:
    """Whether standard output is a terminal that can move the cursor."""
    console = Console()
    return console.is_terminal and not console.is_dumb_terminal


async def _watch_client(places: list[admin_client.Place]) -> None:
    """Shows the console of a client that runs in another process."""

    def ask() -> ClientStatus:
        return ClientStatus.model_validate(admin_client.ask(places, "/status"))

    await console.live(ask, lambda mode: _set_mode(places, mode), View(has_keys=can_be_pressed()))


def _watch_server(places: list[admin_client.Place]) -> None:
    """Shows the server's status once a second until Ctrl-C."""
    with Live(console=Console(), auto_refresh=False, screen=True) as screen:
        while True:
            screen.update(_rendered(_ask(places)), refresh=True)
            time.sleep(1)


def _set_mode(places: list[admin_client.Place], mode: str) -> None:
    admin_client.ask(places, "/mode", {"mode": mode})


def _ask(places: list[admin_client.Place]) -> Status:
    fields: dict[str, Any] = admin_client.ask(places, "/status")
    model = ClientStatus if fields.get("role") == "client" else ServerStatus
    return model.model_validate(fields)


def _print(status: Status, *, as_json: bool, is_one_line: bool = False) -> None:
    if as_json:
        print(status.model_dump_json(indent=None if is_one_line else 1))  # noqa: T201 (this is the command's output)
    else:
        Console().print(_rendered(status))


def _rendered(status: Status) -> RenderableType:
    return render(status, width=Console().width) if isinstance(status, ClientStatus) else render_server(status)


def render_server(status: ServerStatus) -> RenderableType:
    """All clients with their links; at most 80 columns wide."""
    table = Table(
        title=f"Tandem server: {_count(len(status.sessions), 'session')}, "
        f"{_count(status.clients, 'registered client')}",
        box=box.SIMPLE_HEAD,
    )
    for title in ("client", "streams", "remote", "state"):
        table.add_column(title, no_wrap=title != "remote", overflow="fold")
    for title in ("RTT ms", "loss up", "down"):
        table.add_column(title, justify="right")
    for session in status.sessions:
        for number, link in enumerate(session.links):
            who = (session.client, str(session.streams_open)) if number == 0 else ("", "")
            losses = (percent(link.loss_up), percent(link.loss_down))
            table.add_row(*who, link.remote or "-", link.state, ms(link.rtt_ms.smoothed), *losses)
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
