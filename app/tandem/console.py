"""The live console: one table of links, the session above it, the last log lines below."""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tandem.logs import mask
from tandem.status import ClientStatus, LinkStatus

FRAME_INTERVAL = 0.5
"""Seconds between two frames: a table takes 15 ms to render, and the data path must not feel it."""

LINE_INTERVAL = 60.0
"""Seconds between two lines where standard output is no terminal."""

_LOG_LINES = 6
_STYLES = {"usable": "green", "degraded": "yellow", "down": "red", "probing": "cyan"}
_SESSION_STYLES = {"up": "green", "outage": "red", "connecting": "yellow"}

log = logging.getLogger("tandem.status")


class _LogTail(logging.Handler):
    """Keeps the last lines, so that logs do not tear the table apart."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(mask(record.getMessage()))


async def show(status: Callable[[], ClientStatus], *, head: str = "") -> None:
    """Shows the status until cancelled: a live table on a terminal, else a line now and then."""
    if not sys.stdout.isatty():
        await _show_lines(status)
        return
    tail = _LogTail()
    root = logging.getLogger()
    others = list(root.handlers) if sys.stderr.isatty() else []
    for handler in others:
        root.removeHandler(handler)
    root.addHandler(tail)
    try:
        with Live(render(status(), head=head), console=Console(), auto_refresh=False) as live:
            while True:
                live.update(render(status(), head=head, lines=list(tail.lines)), refresh=True)
                await asyncio.sleep(FRAME_INTERVAL)
    finally:
        root.removeHandler(tail)
        for handler in others:
            root.addHandler(handler)


async def _show_lines(status: Callable[[], ClientStatus]) -> None:
    while True:
        await asyncio.sleep(LINE_INTERVAL)
        log.info("%s", line(status()))


def render(status: ClientStatus, *, head: str = "", lines: list[str] | None = None) -> RenderableType:
    """The whole console; readable at 80 columns and without colour."""
    parts: list[RenderableType] = [Text(head)] if head else []
    parts += [_session_line(status), _table(status)]
    causes = [f"{link.name}: {link.reason}" for link in status.links if link.reason]
    if causes:
        parts.append(Text("; ".join(causes)))
    if lines:
        parts.append(Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def line(status: ClientStatus) -> str:
    """The status in one line of a log."""
    links = "; ".join(
        f"{link.name} {link.state} {_ms(link.rtt_ms.smoothed)} ms, "
        f"loss {_percent(link.loss_up)} up {_percent(link.loss_down)} down"
        for link in status.links
    )
    session = status.session
    return f"session {session.state}, {session.streams_open} streams open; {links}"


def _session_line(status: ClientStatus) -> Text:
    session = status.session
    text = Text("Tandem  ", style="bold")
    text.append(f"session {session.state}", style=_SESSION_STYLES[session.state])
    text.append(f"  mode {status.mode}  streams {session.streams_open} open, {session.streams_total} in all", style="")
    text.append(f"\n{_bytes(session.bytes_up)} up, {_bytes(session.bytes_down)} down", style="not bold")
    text.append(f"  copies {_bytes(session.copy_bytes)}  rescued {session.rescued}", style="not bold")
    return text


def _table(status: ClientStatus) -> Table:
    """At most 80 columns wide, and as wide with traffic as without."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("link", max_width=14, overflow="ellipsis", no_wrap=True)
    table.add_column("state", min_width=8, no_wrap=True)
    for title, width in (("RTT ms", 6), ("loss up", 7), ("loss down", 9)):
        table.add_column(title, justify="right", min_width=width, no_wrap=True)
    for title in ("up bit/s", "down bit/s"):
        table.add_column(title, justify="right", min_width=10, no_wrap=True)
    table.add_column("won", justify="right", min_width=4, no_wrap=True)
    for link in status.links:
        table.add_row(*_row(link))
    return table


def _row(link: LinkStatus) -> list[RenderableType]:
    return [
        link.name,
        Text(link.state, style=_STYLES[link.state]),
        _ms(link.rtt_ms.smoothed),
        _percent(link.loss_up),
        _percent(link.loss_down),
        _rate(link.rate_up_bps),
        _rate(link.rate_down_bps),
        _percent(link.won),
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _rate(bits: float) -> str:
    for unit in ("", " k", " M"):
        if bits < 1000:
            return f"{bits:.3g}{unit}"
        bits /= 1000
    return f"{bits:.3g} G"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
