"""The links: a table that fits the window, their rates as bars on one scale, and one link in full."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tandem.admin.status import ClientStatus, LinkStatus
from tandem.base.units import format_size
from tandem.console.figures import duration, ms, percent, rate
from tandem.console.history import SAMPLE_INTERVAL, History

_NAME = 12
"""Width of a link's name in columns."""

_CAUSE = 38
"""Columns that a link's problem has beside its bars."""

_MIN_SPARKS = 10

_STYLES = {"usable": "green", "degraded": "yellow", "down": "red", "probing": "cyan"}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    figure: Callable[[LinkStatus], str]
    left_out: int
    """Its turn to be left out where the window is too narrow for all columns; 0 for never."""


_COLUMNS = (
    _Column("state", 8, lambda link: link.state, 0),
    _Column("RTT ms", 6, lambda link: ms(link.rtt_ms.latest), 0),
    _Column("min", 4, lambda link: ms(link.rtt_ms.min), 2),
    _Column("p95", 4, lambda link: ms(link.rtt_ms.p95), 1),
    _Column("queue", 5, lambda link: ms(link.queue_ms), 3),
    _Column("loss↑", 5, lambda link: percent(link.loss_up), 7),
    _Column("loss↓", 5, lambda link: percent(link.loss_down), 0),
    _Column("↑ bit/s", 7, lambda link: rate(link.rate_up_bps), 6),
    _Column("↓ bit/s", 7, lambda link: rate(link.rate_down_bps), 5),
    _Column("won", 4, lambda link: percent(link.won), 4),
)


def links_part(status: ClientStatus, width: int) -> RenderableType:
    """The table of links; traffic does not change its width. It says which columns a narrow window leaves out."""
    widest = max((len(link.name) for link in status.links), default=0)
    columns = _fitting(width, min(_NAME, max(8, widest)))
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("link", min_width=8, max_width=_NAME, overflow="ellipsis", no_wrap=True)
    for column in columns:
        side: Literal["left", "right"] = "left" if column.title == "state" else "right"
        table.add_column(column.title, justify=side, min_width=column.width, no_wrap=True)
    for link in status.links:
        figures = [Text(column.figure(link), style=_style(column, link)) for column in columns]
        table.add_row(link.name, *figures)
    missing = [column.title for column in _COLUMNS if column not in columns]
    if not missing:
        return table
    return Group(table, Text(f"… too narrow for {', '.join(missing)}", style="dim", no_wrap=True, overflow="ellipsis"))


def _fitting(width: int, name: int) -> Sequence[_Column]:
    columns = list(_COLUMNS)
    for column in sorted((one for one in _COLUMNS if one.left_out), key=lambda one: one.left_out):
        if 2 + name + sum(one.width + 1 for one in columns) <= width:
            break
        columns.remove(column)
    return columns


def _style(column: _Column, link: LinkStatus) -> str:
    return _STYLES[link.state] if column.title == "state" else ""


def sparks_part(status: ClientStatus, history: History, width: int) -> RenderableType | None:
    """The rates of all links on one scale, and what is wrong with each; None where there is nothing to show."""
    bars = max(_MIN_SPARKS, width - _NAME - _CAUSE)
    names = [link.name for link in status.links]
    highest = history.highest(names, bars)
    rows = [_spark_row(link, history, bars, highest) for link in status.links]
    shown = [row for row in rows if row is not None]
    if not shown:
        return None
    count = history.length(names, bars)
    if not count:
        return Group(*shown)
    span = duration(count * SAMPLE_INTERVAL)
    scale = f"a full bar is {rate(highest)}" if highest else "nothing was carried"
    caption = f" {'bit/s ↑+↓':{_NAME}} the last {span}; {scale}"
    return Group(Text(caption, style="dim", no_wrap=True, overflow="ellipsis"), *shown)


def _spark_row(link: LinkStatus, history: History, bars: int, highest: float) -> Text | None:
    name = link.name if len(link.name) <= _NAME else link.name[: _NAME - 1] + "…"
    use = link.use if link.use in ("metered", "backup") else ""
    by_tls = "tls" if link.transport == "tls" else ""
    cause = ", ".join(filter(None, (use, by_tls, f"drill: {link.drill}" if link.drill else link.reason)))
    sparks = history.sparkline(link.name, bars, highest)
    if not sparks and not cause:
        return None
    line = f" {name:{_NAME}} {sparks}  {cause}" if sparks else f" {name:{_NAME}} {cause}"
    return Text(line, no_wrap=True, overflow="ellipsis")


def detail_part(link: LinkStatus) -> Text:
    """One link in full."""
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
