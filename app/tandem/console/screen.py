"""What the console shows: pure functions of a status, its history, and the user's choices.

Readable at 80 columns, without colour, and on light and dark backgrounds: colours only repeat what words say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tandem.admin.status import ClientStatus, LinkStatus, StreamStatus
from tandem.base.units import format_size
from tandem.console.history import History, beginning
from tandem_transport.parameters import OUTAGE_TIMEOUT

SortBy = Literal["bytes", "rate", "age"]
SORTS: tuple[SortBy, ...] = ("bytes", "rate", "age")

MAX_STREAMS = 8
"""Number of connections that the console shows."""

_MIN_BELOW_HEAD = 4
"""Number of log lines that must fit on the screen before the head is shown too."""

_SPARKS = 30
"""Number of samples in a sparkline: one minute."""

_NAME = 12
"""Width of a link's name in columns."""

_STYLES = {"usable": "green", "degraded": "yellow", "down": "red", "probing": "cyan"}
_SESSION_STYLES = {"up": "green", "outage": "red", "connecting": "yellow"}


@dataclass(slots=True)
class View:
    """What the user has chosen with the keys, and what the console shows besides the status."""

    head: str = ""
    """Text above everything else."""
    detail: str | None = None
    """The link that is shown in full."""
    sort: SortBy = "bytes"
    has_keys: bool = False
    lines: Sequence[str] = field(default_factory=list[str])
    """The last lines of the log."""
    max_streams: int = MAX_STREAMS
    """Number of connections that fit on the screen."""

    def press(self, key: str, status: ClientStatus) -> None:
        """Handles a key: `l` goes through the links, `s` through the sort orders; other keys are ignored here."""
        if key == "l":
            names = [None, *(link.name for link in status.links)]
            at = names.index(self.detail) if self.detail in names else 0
            self.detail = names[(at + 1) % len(names)]
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]


def render(status: ClientStatus, history: History | None = None, view: View | None = None) -> RenderableType:
    """Renders the whole console, without fitting it to a window."""
    history, view = history or History(), view or View()
    parts: list[RenderableType] = [Text(view.head)] if view.head else []
    parts.append(_session(status))
    banner = _banner(status)
    if banner is not None:
        parts.append(banner)
    parts.append(_links(status, history))
    chosen = next((link for link in status.links if link.name == view.detail), None)
    if chosen is not None:
        parts += [Text(), _detail(chosen)]
    if status.streams and view.max_streams:
        parts += [Text(), _streams(status, history, view)]
    if view.lines:
        parts += [Text(), Text("\n".join(view.lines), style="dim", overflow="fold")]
    if view.has_keys:
        parts.append(Text(f"\nq quit   m mode   l one link's detail   s sort (by {view.sort})", style="dim"))
    return Group(*parts)


def fitted(status: ClientStatus, history: History, view: View, console: Console) -> RenderableType:
    """Renders the whole console for a window: logs fill the rest; with no rest, connections are left out."""
    drawn = render(status, history, replace(view, lines=()))
    spare = console.height - len(console.render_lines(drawn, pad=False))
    if view.head and spare < _MIN_BELOW_HEAD:
        return fitted(status, history, replace(view, head=""), console)
    if spare < 0:
        shown = min(len(status.streams), MAX_STREAMS)
        fitting = shown + spare - (shown == _open(status))  # room for the line "and N more"
        return render(status, history, replace(view, lines=(), max_streams=max(0, fitting)))
    return render(status, history, replace(view, lines=_newest(view.lines, spare - 1, console)))


def _newest(lines: Sequence[str], rows: int, console: Console) -> Sequence[str]:
    """As many of the last lines as fit into `rows`; a line may take several rows."""
    first = len(lines)
    while first > 0:
        rows -= len(console.render_lines(Text(lines[first - 1], overflow="fold"), pad=False))
        if rows < 0:
            break
        first -= 1
    return lines[first:]


def line(status: ClientStatus) -> str:
    """The status as one line for a log."""
    links = "; ".join(
        f"{link.name} {link.state} {ms(link.rtt_ms.smoothed)} ms, "
        f"loss {percent(link.loss_up)} up {percent(link.loss_down)} down"
        for link in status.links
    )
    session = status.session
    return f"session {session.state}, {session.streams_open} streams open; {links}"


# --- parts ---


def _session(status: ClientStatus) -> Text:
    session = status.session
    age = f" for {duration(session.age_s)}" if session.age_s is not None else ""
    carried = session.bytes_up + session.bytes_down
    share = f" ({session.copy_bytes / carried:.0%})" if carried else ""
    text = Text("Tandem  ", style="bold")
    text.append(f"session {session.state}{age}", style=_SESSION_STYLES[session.state])
    text.append(f"  mode {status.mode}  connections {session.streams_open} of {session.streams_total}\n", "not bold")
    text.append(f"{format_size(session.bytes_up)} up, {format_size(session.bytes_down)} down", "not bold")
    text.append(f"  copies {format_size(session.copy_bytes)}{share}  rescued {session.rescued}", "not bold")
    return text


def _banner(status: ClientStatus) -> Text | None:
    """The notice in an outage or without a session: how long it lasts, and what is tried; else None."""
    session = status.session
    tried = ", ".join(f"{link.name} ({link.remote or link.reason or 'no address'})" for link in status.links)
    tried = tried or "no link, for no interface has a default route"
    if session.state == "outage":
        since = f" for {duration(session.outage_s)}" if session.outage_s is not None else ""
        text = f"ALL LINKS ARE DOWN{since}. Connections are held for {OUTAGE_TIMEOUT / 60:.0f} min. Links: {tried}."
        return Text(text, style="bold red")
    if session.state == "connecting":
        why = f" ({session.reason})" if session.reason else ""
        return Text(f"NO SESSION{why}. Trying {tried}.", style="bold yellow")
    return None


def _links(status: ClientStatus, history: History) -> RenderableType:
    """The table of links, two lines each, at most 80 columns wide; traffic does not change its width."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("link", min_width=8, max_width=_NAME, overflow="ellipsis", no_wrap=True)
    table.add_column("state", min_width=8, no_wrap=True)
    for title, width in (("RTT ms", 6), ("min", 4), ("p95", 4), ("queue", 5), ("loss↑", 5), ("loss↓", 5)):
        table.add_column(title, justify="right", min_width=width, no_wrap=True)
    for title in ("↑ bit/s", "↓ bit/s"):
        table.add_column(title, justify="right", min_width=7, no_wrap=True)
    table.add_column("won", justify="right", min_width=4, no_wrap=True)
    for link in status.links:
        table.add_row(*_row(link))
    return Group(table, *(text for link in status.links if (text := _sparks(link, history)) is not None))


def _sparks(link: LinkStatus, history: History) -> Text | None:
    """A link's rates of the last minute, its use and its problem; None where there is nothing to show."""
    name = link.name if len(link.name) <= _NAME else link.name[: _NAME - 1] + "…"
    use = link.use if link.use in ("metered", "backup") else ""
    by_tls = "tls" if link.transport == "tls" else ""
    cause = ", ".join(filter(None, (use, by_tls, f"drill: {link.drill}" if link.drill else link.reason)))
    sparks = history.sparkline(link.name, _SPARKS)
    if not sparks and not cause:
        return None
    line = f" {name:{_NAME}} {sparks:{_SPARKS}}  {cause}" if sparks else f" {name:{_NAME}} {cause}"
    return Text(line, no_wrap=True, overflow="ellipsis")


def _row(link: LinkStatus) -> list[RenderableType]:
    rtt = link.rtt_ms
    return [
        link.name,
        Text(link.state, style=_STYLES[link.state]),
        ms(rtt.latest),
        ms(rtt.min),
        ms(rtt.p95),
        ms(link.queue_ms),
        percent(link.loss_up),
        percent(link.loss_down),
        rate(link.rate_up_bps),
        rate(link.rate_down_bps),
        percent(link.won),
    ]


def _detail(link: LinkStatus) -> Text:
    rtt = link.rtt_ms
    up = f"{percent(link.loss_up)} ({percent(link.loss_peer)} by the server's count)"
    by_tls = " by TLS" if link.transport == "tls" else ""
    facts = [
        f"{link.name} in full: {link.state}" + (f", {link.reason}" if link.reason else ""),
        f"  from {link.local or '-'} to {link.remote or '-'}{by_tls}, path {link.path_id}",
        f"  packets of up to {link.datagram_size or '-'} bytes",
        f"  round trip {ms(rtt.latest)} ms now, {ms(rtt.smoothed)} smoothed, {ms(rtt.min)} min, {ms(rtt.p95)} p95",
        f"  loss {up} up, {percent(link.loss_down)} down; {link.spurious} wrongly taken for lost",
        f"  carried {format_size(link.bytes_up)} up, {format_size(link.bytes_down)} down in this session",
    ]
    if link.day_bytes is not None and link.month_bytes is not None:
        used = f"{format_size(link.day_bytes)} today, {format_size(link.month_bytes)} this month"
        facts.append(f"  {link.use}; {used}")
    return Text("\n".join(facts), no_wrap=True, overflow="ellipsis")


def _open(status: ClientStatus) -> int:
    """The number of open connections, those past the session included."""
    return status.session.streams_open + sum(stream.via != "session" for stream in status.streams)


def _streams(status: ClientStatus, history: History, view: View) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("connection to", min_width=24, max_width=38, overflow="ellipsis", no_wrap=True)
    for title, width in (("age", 8), ("up", 8), ("down", 8), ("bit/s", 8)):
        table.add_column(title, justify="right", min_width=width, no_wrap=True)
    is_routed = any(stream.via != "session" for stream in status.streams)
    if is_routed:
        table.add_column("via", no_wrap=True)

    def speed(stream: StreamStatus) -> float:
        return history.stream_rate(stream.target, beginning(status, stream.age_s))

    def weight(stream: StreamStatus) -> float:
        if view.sort == "bytes":
            return stream.bytes_up + stream.bytes_down
        return speed(stream) if view.sort == "rate" else stream.age_s

    shown = sorted(status.streams, key=weight, reverse=True)[: view.max_streams]
    for stream in shown:
        amounts = (format_size(stream.bytes_up), format_size(stream.bytes_down))
        way = (stream.via,) if is_routed else ()
        table.add_row(stream.target, duration(stream.age_s), *amounts, rate(speed(stream)), *way)
    more = _open(status) - len(shown)
    if more > 0:
        table.add_row(f"and {more} more")
    return table


# --- figures ---


def ms(value: float | None) -> str:
    """A time in milliseconds, without the unit; - for no sample yet."""
    return "-" if value is None else f"{value:.0f}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in percent; - for no sample yet."""
    return "-" if share is None else f"{share:.0%}"


def rate(bits: float) -> str:
    """A rate in bits per second, with three digits and a prefix."""
    for unit in ("", " k", " M"):
        if bits < 1000:
            return f"{bits:.3g}{unit}"
        bits /= 1000
    return f"{bits:.3g} G"


def duration(seconds: float) -> str:
    """A time span in its two largest units, such as 1 h 5 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
