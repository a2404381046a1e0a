"""The connections: those that have carried most, or are fastest, or oldest."""

from rich.table import Table

from tandem.admin.status import ClientStatus, StreamStatus
from tandem.base.units import format_size
from tandem.console.figures import duration, rate
from tandem.console.history import History
from tandem.console.view import SortBy

_TARGET = 38
"""Columns of a destination in a window of 80."""


def streams_part(status: ClientStatus, history: History, sort: SortBy, *, count: int, width: int = 80) -> Table:
    """A table of at most `count` connections, and how many more are open."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    widest = max(24, _TARGET + width - 80)
    table.add_column("connection to", min_width=24, max_width=widest, overflow="ellipsis", no_wrap=True)
    for title in ("age", "up", "down", "bit/s"):
        table.add_column(title, justify="right", min_width=8, no_wrap=True)
    is_routed = any(stream.via != "session" for stream in status.streams)
    if is_routed:
        table.add_column("via", no_wrap=True)
    shown = _sorted(status, history, sort)[:count]
    for stream in shown:
        amounts = (format_size(stream.bytes_up), format_size(stream.bytes_down))
        way = (stream.via,) if is_routed else ()
        table.add_row(stream.target, duration(stream.age_s), *amounts, rate(history.stream_rate(stream)), *way)
    more = open_connections(status) - len(shown)
    if more > 0:
        table.add_row(f"and {more} more")
    return table


def open_connections(status: ClientStatus) -> int:
    """The number of open connections, those past the session included."""
    return status.session.streams_open + sum(stream.via != "session" for stream in status.streams)


def _sorted(status: ClientStatus, history: History, sort: SortBy) -> list[StreamStatus]:
    def weight(stream: StreamStatus) -> float:
        if sort == "bytes":
            return stream.bytes_up + stream.bytes_down
        return history.stream_rate(stream) if sort == "rate" else stream.age_s

    return sorted(status.streams, key=weight, reverse=True)
