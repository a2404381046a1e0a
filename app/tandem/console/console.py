"""The live console: draws the screen twice a second in the size of the window, and handles keys."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from tandem.admin.status import ClientStatus
from tandem.base.logs import message
from tandem.console.history import History
from tandem.console.keys import can_be_pressed, pressed
from tandem.console.screen import fitted, line
from tandem.console.view import View

FRAME_INTERVAL = 0.5
"""Seconds between two frames. A table takes 15 ms to render, and must not slow down the data path."""

LINE_INTERVAL = 60.0
"""Seconds between two status lines where standard output is not a terminal."""

_LOG_LINES = 50
"""Number of log lines that the console keeps; it shows as many as fit."""

_LEFT_LINES = 10
"""Number of log lines that stay on the screen when the console is closed."""

log = logging.getLogger("tandem.status")


class LogTail(logging.Handler):
    """Keeps the last log lines, so that logs do not break the table."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        self.lines.append(f"{clock} {message(record)}")


async def show(status: Callable[[], ClientStatus], set_mode: Callable[[str], None], view: View | None = None) -> None:
    """Shows the status: live on a terminal until `q` is pressed; elsewhere one log line a minute."""
    if not sys.stdout.isatty() or Console().is_dumb_terminal:
        await _show_lines(status)
        return
    tail = LogTail()
    root = logging.getLogger()
    others = [handler for handler in root.handlers if _is_on_screen(handler)]
    for handler in others:
        root.removeHandler(handler)
    root.addHandler(tail)
    try:
        view = view or View()
        view.has_keys = can_be_pressed()
        await live(status, set_mode, view, lambda: list(tail.lines))
    finally:
        root.removeHandler(tail)
        for handler in others:
            root.addHandler(handler)
        for text in list(tail.lines)[-_LEFT_LINES:]:
            print(text)  # noqa: T201 (these lines were on the screen a moment ago)


def _is_on_screen(handler: logging.Handler) -> bool:
    """Whether a log handler writes to the terminal on which the console is drawn."""
    is_stream = isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    return is_stream and sys.stderr.isatty()


async def live(
    status: Callable[[], ClientStatus],
    set_mode: Callable[[str], None],
    view: View,
    lines: Callable[[], list[str]] = list,
) -> None:
    """Draws the console until `q` is pressed. `m` changes the mode; the view handles the other keys."""
    history, console = History(), Console()
    with pressed() as keys, Live(console=console, auto_refresh=False, screen=True) as screen:
        while True:
            present = status()
            history.note(present, now=time.monotonic())
            view.lines = lines()
            screen.update(fitted(present, history, view, console), refresh=True)
            key = await _next(keys)
            if key == "q":
                return
            if key == "m":
                set_mode("duplicate" if present.mode == "adaptive" else "adaptive")
            elif key:
                view.press(key, present)


async def _next(keys: "asyncio.Queue[str]") -> str:
    """The next key; "" where none comes before the next frame."""
    try:
        async with asyncio.timeout(FRAME_INTERVAL):
            return await keys.get()
    except TimeoutError:
        return ""


async def _show_lines(status: Callable[[], ClientStatus]) -> None:
    while True:
        await asyncio.sleep(LINE_INTERVAL)
        log.info("%s", line(status()))
