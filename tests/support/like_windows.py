"""A client and its server in a process that looks like one on Windows: `python -m like_windows`.

It is none: the event loop and the sockets are still those of this system. So it finds what is imported or asked for
where Windows has nothing of the kind, and plays the branches that are written for Windows.
"""

import asyncio
import importlib
import os
import pkgutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

_OURS = ("tandem", "tandem_socks", "tandem_transport", "conformance", "loopback")

_MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "uvloop")

_NAMES: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (os, ("chown", "fchown", "fork", "getegid", "geteuid", "getgroups", "getuid", "sched_getaffinity", "O_NOFOLLOW")),
    (signal, ("SIGHUP", "SIGUSR1", "SIGUSR2")),
    (socket, ("IPV6_RECVPKTINFO", "SO_BINDTODEVICE", "SO_REUSEPORT", "TCP_INFO", "recv_fds", "send_fds")),
    (time, ("CLOCK_BOOTTIME", "clock_gettime")),
)


def modules() -> Iterator[str]:
    """The names of all modules of the three packages, but for `__main__`, which runs the command."""
    for package in map(importlib.import_module, _OURS[:3]):
        yield from (found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))


def become_windows(patch: pytest.MonkeyPatch) -> None:
    """Takes away what Windows does not have. Other people's modules stay as they are, ours are imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    for name in _MODULES:
        patch.setitem(sys.modules, name, None)
    for module, names in _NAMES:
        for name in names:
            patch.delattr(module, name, raising=False)
    patch.setattr(sys, "platform", "win32")


async def play(directory: Path) -> None:
    """Starts both ends; what a client of the SOCKS port says comes back from a target."""
    from conformance.bench import SETUPS, bench

    async with bench(SETUPS[0], directory) as made:
        peer = await made.connect(await made.echo())
        await peer.send(bytes(100_000))
        peer.finish()
        assert await peer.read_all() == bytes(100_000)
        assert asyncio.get_running_loop().__class__.__module__.startswith("asyncio.")


def main() -> None:
    """Imports everything, forgets it, imports it again as on Windows, and plays in this user's state directory."""
    everything = [name for name in modules() if not name.endswith("__main__")]
    for name in (*everything, "conformance.bench"):
        importlib.import_module(name)
    become_windows(pytest.MonkeyPatch())
    for name in everything:
        importlib.import_module(name)
    from tandem.base.directories import default_directory
    from tandem.process.running import run

    run(play(default_directory()))


if __name__ == "__main__":
    main()
