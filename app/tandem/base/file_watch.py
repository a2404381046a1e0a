"""Tells when a file changes, where the system can: by inotify (inotify(7)), on Linux."""

import asyncio
import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_HEAD = struct.Struct("iIII")
"""Watch, mask, cookie, and length of the name that follows."""

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_CHANGES = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_OVERFLOW, _IGNORED = 0x4000, 0x8000

_BUFFER = 64 << 10


class FileWatch:
    """Watches one file, and others in its directory whose names are its own with an ending, such as SQLite's log.

    Tells of one change each time it is armed: a transaction is many changes. What another machine does to a file that
    both share is not seen: who watches must look now and then all the same.
    """

    def __init__(self, path: Path, on_change: Callable[[], None]) -> None:
        """Watches where the system can, but tells nothing before it is armed."""
        self._on_change = on_change
        self._names = {os.fsencode(path.name + ending) for ending in ("", "-wal", "-journal")}
        self._descriptor = _watch(path.parent)

    def arm(self) -> bool:
        """Forgets what has changed by now, and tells of the next one. Returns whether it can. Needs a loop."""
        if self._descriptor is not None:
            self._take()
        if self._descriptor is not None:
            asyncio.get_running_loop().add_reader(self._descriptor, self._on_readable)
        return self._descriptor is not None

    def disarm(self) -> None:
        """Tells nothing, until it is armed again."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def close(self) -> None:
        """Ends the watch."""
        self.disarm()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _on_readable(self) -> None:
        if self._take():
            self.disarm()
            self._on_change()

    def _take(self) -> bool:
        """Whether there was a change by now, or the watch is over: its directory was moved, or removed."""
        assert self._descriptor is not None
        is_changed = False
        with contextlib.suppress(BlockingIOError):
            while True:
                for mask, name in _events(os.read(self._descriptor, _BUFFER)):
                    if mask & (_IGNORED | _DELETE_SELF | _MOVE_SELF):
                        self.close()
                        return True
                    is_changed = is_changed or bool(mask & _OVERFLOW) or name in self._names
        return is_changed


def _events(found: bytes) -> Iterator[tuple[int, bytes]]:
    """The mask and the name of each event."""
    at = 0
    while at < len(found):
        _, mask, _, size = _HEAD.unpack_from(found, at)
        at += _HEAD.size
        yield mask, found[at : at + size].rstrip(b"\0")
        at += size


def _watch(directory: Path) -> int | None:
    """A descriptor that tells of changes in a directory; None where the system, or the kind of file system, cannot."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError, AttributeError):  # another libc may not have the calls
        system = ctypes.CDLL(None, use_errno=True)
        descriptor = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:  # such as beyond fs.inotify.max_user_instances
            return None
        if system.inotify_add_watch(descriptor, os.fsencode(directory), _CHANGES | _DELETE_SELF | _MOVE_SELF) >= 0:
            return int(descriptor)
        os.close(descriptor)
    return None
