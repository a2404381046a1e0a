"""What the console shows: pure functions of a status, its history, and the user's choices.

Readable without colour, and on light and dark backgrounds: colours only repeat what words say. A large window is used;
in a small one the parts that matter least are left out first, and what is cut off has a sign.
"""

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.segment import SegmentLines
from rich.text import Text

from tandem.admin.status import ClientStatus
from tandem.console.figures import ms, percent
from tandem.console.history import History
from tandem.console.links_part import detail_part, links_part, sparks_part
from tandem.console.session_part import banner, session_part
from tandem.console.streams_part import open_connections, streams_part
from tandem.console.view import View
from tandem.console.words import explained

MAX_STREAMS = 8
"""Number of connections that are shown where there is no window to fill."""

_LOG_ROWS = 6
"""Rows that the log has at least before a window is filled with connections."""


def render(
    status: ClientStatus, history: History | None = None, view: View | None = None, *, width: int = 80
) -> RenderableType:
    """Renders everything, without fitting it to a window."""
    history, view = history or History(), view or View()
    parts = [*_top(status, history, view, width)]
    if status.streams:
        parts += [Text(), streams_part(status, history, view.sort, count=MAX_STREAMS, width=width)]
    if view.lines:
        parts += [Text(), _log(view.lines)]
    return Group(*parts, *_bottom(view))


def fitted(status: ClientStatus, history: History, view: View, console: Console) -> RenderableType:
    """Renders the console for a window."""
    width, height = console.size
    last = _bottom(view)
    if view.is_help:
        return _help(status, width, last, console)
    parts = [*_top(status, history, view, width)]
    spare = height - _rows(Group(*parts, *last), console)
    if spare < 0:
        return _cropped(Group(*_least(status, history, view, width, console), *last), console)
    count = _connections(status, view, spare)
    if count:
        table = streams_part(status, history, view.sort, count=count, width=width)
        parts += [Text(), table]
        spare -= _rows(table, console) + 1
    hints = Group(Text(), Text("\n".join(view.hints), style="dim"))
    if view.hints and spare >= _rows(hints, console):
        last = [hints, *last]
        spare -= _rows(hints, console)
    lines = _newest(view.lines, spare - 1, console)
    return Group(*parts, *([Text(), _log(lines)] if lines else []), *last)


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


def _top(status: ClientStatus, history: History, view: View, width: int) -> Iterator[RenderableType]:
    """The session, the links, and what belongs to them."""
    yield from _head(status, view)
    yield links_part(status, width)
    sparks = sparks_part(status, history, width)
    if sparks is not None:
        yield sparks
    chosen = next((link for link in status.links if link.name == view.detail), None)
    if chosen is not None:
        yield from (Text(), detail_part(chosen))


def _head(status: ClientStatus, view: View) -> Iterator[RenderableType]:
    yield session_part(status)
    notice = banner(status)
    if notice is not None:
        yield notice
    notes = view.notes()
    if notes:
        yield Text("\n".join(notes), no_wrap=True, overflow="ellipsis")


def _least(
    status: ClientStatus, history: History, view: View, width: int, console: Console
) -> Iterator[RenderableType]:
    """What a small window has room for: the links, and their bars where these fit."""
    yield from _head(status, view)
    table = links_part(status, width)
    yield table
    chosen = next((link for link in status.links if link.name == view.detail), None)
    if chosen is not None:  # whoever asks for it is shown it, as far as it fits
        yield detail_part(chosen)
        return
    sparks = sparks_part(status, history, width)
    rows = _rows(Group(*_head(status, view), table, *_bottom(view), sparks or Text()), console)
    if sparks is not None and rows <= console.height:
        yield sparks


def _help(status: ClientStatus, width: int, last: Sequence[RenderableType], console: Console) -> RenderableType:
    """The words, below the table that has them where there is room for both."""
    whole = Group(session_part(status), links_part(status, width), Text(), explained(), *last)
    if _rows(whole, console) <= console.height:
        return whole
    return _cropped(Group(session_part(status), Text(), explained(), *last), console)


def _bottom(view: View) -> list[RenderableType]:
    return [Text(f"\n{view.keys_told()}", style="dim", no_wrap=True, overflow="ellipsis")] if view.has_keys else []


def _log(lines: Sequence[str]) -> Text:
    return Text("\n".join(lines), style="dim", overflow="fold")


# --- fitting ---


def _connections(status: ClientStatus, view: View, spare: int) -> int:
    """How many connections fit into the spare rows, if the log and the hints have theirs."""
    log_rows = min(_LOG_ROWS, len(view.lines) + 1)
    hint_rows = len(view.hints) + 1 if view.hints else 0
    rows = spare - 2  # an empty one and the titles
    generous = rows - log_rows - hint_rows
    room = generous if generous >= 3 else min(rows, 3)
    more = open_connections(status) > min(room, len(status.streams))
    return max(0, min(room - more, len(status.streams)))


def _newest(lines: Sequence[str], rows: int, console: Console) -> Sequence[str]:
    """As many of the last lines as fit into `rows`; a line may take several rows."""
    first = len(lines)
    while first > 0:
        rows -= _rows(Text(lines[first - 1], overflow="fold"), console)
        if rows < 0:
            break
        first -= 1
    return lines[first:]


def _rows(part: RenderableType, console: Console) -> int:
    return len(console.render_lines(part, pad=False))


def _cropped(part: RenderableType, console: Console) -> RenderableType:
    """A part that is cut off where the window ends, with a sign."""
    rows = console.render_lines(part, pad=False)
    hidden = len(rows) - console.height
    if hidden <= 0:
        return part
    sign = console.render_lines(Text(f"… {hidden + 1} more rows: this window is too small", no_wrap=True), pad=False)
    return SegmentLines([*rows[: console.height - 1], *sign], new_lines=True)
