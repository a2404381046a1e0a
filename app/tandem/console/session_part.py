"""The head of the console: the session, and what is wrong with it."""

from rich.text import Text

from tandem.admin.status import ClientStatus, SessionStatus
from tandem.base.units import format_size
from tandem.console.figures import duration
from tandem_transport.parameters import OUTAGE_TIMEOUT

_TELLING = 100_000
"""Bytes carried from which on the share of the copies says something."""

_STYLES = {"up": "green", "outage": "red", "connecting": "yellow"}


def session_part(status: ClientStatus) -> Text:
    """Two lines: how the session is, and what it has carried."""
    session = status.session
    carried = session.bytes_up + session.bytes_down
    share = f" ({session.copy_bytes / carried:.0%})" if carried >= _TELLING else ""
    text = Text("Tandem  ", style="bold")
    text.append(f"session {session.state}{_since(session)}", style=_STYLES[session.state])
    text.append(f"  mode {status.mode}", "not bold")
    text.append(f"  connections {session.streams_open} open of {session.streams_total}\n", "not bold")
    text.append(f"{format_size(session.bytes_up)} up, {format_size(session.bytes_down)} down", "not bold")
    text.append(f"  copies {format_size(session.copy_bytes)}{share}  rescued {session.rescued}", "not bold")
    return text


def _since(session: SessionStatus) -> str:
    """How long the state lasts: in an outage, the outage, not the session."""
    seconds = session.outage_s if session.state == "outage" else session.age_s
    return f" for {duration(seconds)}" if seconds is not None else ""


def banner(status: ClientStatus) -> Text | None:
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
