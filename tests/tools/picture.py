"""The picture of the console in README, docs/console.svg: the demonstration as it really runs, with a link cut in it.

It plays the demonstration for a minute, takes the first link away, and draws what the console shows ten seconds later.
"""

import asyncio
import io
import logging
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from tandem.config import config
from tandem.console.console import FRAME_INTERVAL, LogTail
from tandem.console.history import History
from tandem.console.screen import fitted
from tandem.console.view import Key, View
from tandem.demo.demo import Demo

WIDTH, HEIGHT = 92, 28
BEFORE, AFTER = 60.0, 10.0
"""Seconds that the demonstration runs before the link is cut, and after."""

FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{unique_id}-title">
<title id="{unique_id}-title">Tandem's console in a demonstration: a link is cut, and the download goes on</title>
<style>{styles} .{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
<rect width="{width}" height="{height}" rx="10" fill="#12181b"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""  # noqa: E501 (an SVG)

THEME = TerminalTheme(
    (18, 24, 27),
    (222, 230, 226),
    [
        (18, 24, 27),
        (248, 113, 113),
        (134, 239, 172),
        (253, 224, 71),
        (147, 197, 253),
        (216, 180, 254),
        (125, 211, 252),
        (222, 230, 226),
    ],
)


async def play() -> str:
    """Runs the demonstration, and returns the picture."""
    tail = LogTail()
    logging.getLogger().addHandler(tail)
    logging.getLogger().setLevel(logging.INFO)
    demo, history = Demo(config.load(None, {})), History()
    await demo.start()
    view = View(notes=demo.notes, hints=demo.hints("tandem"), more_keys={"d": Key("drill", demo.drill)}, has_keys=True)
    began = time.monotonic()
    is_cut = False
    while (now := time.monotonic()) < began + BEFORE + AFTER:
        if now > began + BEFORE and not is_cut:
            demo.drill()
            is_cut = True
        history.note(demo.status(), now=now)
        view.notes()
        await asyncio.sleep(FRAME_INTERVAL)
    view.lines = list(tail.lines)
    console = Console(width=WIDTH, height=HEIGHT, file=io.StringIO(), record=True, force_terminal=True)
    console.print(fitted(demo.status(), history, view, console))
    await demo.close()
    picture = console.export_svg(theme=THEME, code_format=FRAME, unique_id="tandem")
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(asyncio.run(play()))
