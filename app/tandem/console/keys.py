"""Single keys from a terminal, without Enter."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Generator


def can_be_pressed() -> bool:
    """Whether keys are read here: standard input is a terminal, and this is not Windows."""
    return sys.platform != "win32" and sys.stdin.isatty()


@contextlib.contextmanager
def pressed() -> Generator["asyncio.Queue[str]"]:
    """A queue of pressed keys; it stays empty where standard input is not a terminal, and on Windows."""
    keys: asyncio.Queue[str] = asyncio.Queue()
    if sys.platform == "win32" or not can_be_pressed():
        yield keys
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        data = os.read(descriptor, 64)
        for key in data.decode(errors="ignore"):
            keys.put_nowait(key)
        if not data:  # the terminal is gone
            loop.remove_reader(descriptor)

    tty.setcbreak(descriptor, termios.TCSANOW)
    loop.add_reader(descriptor, read)
    try:
        yield keys
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
