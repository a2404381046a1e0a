"""Tells a server what has changed in the registry, at a cost that does not grow with the number of clients."""

import base64
import contextlib
import os
import time

from sqlalchemy import select

from tandem.base.errors import TandemError
from tandem.registry.database import Database
from tandem.registry.schema import changes, fact
from tandem.registry.source import Changes

Stamp = tuple[int, int, int, int, int]

_SETTLED = 900_000_000
"""Nanoseconds after which a file that was written has changed for good: another change may come within the same tick of
its clock, and what was written to the log is visible to others only after it was synchronized."""


class Feed:
    """Follows the changes of one database: reads its revision, and the table of changes where that has grown."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._id = ""
        self._file = self._identity()
        self._problem = ""
        self._stamp: Stamp | None = None
        """The files of SQLite when they were last read, None where nothing is known of them."""

    def is_quiet(self) -> bool:
        """Whether the files of SQLite are as they were when they were last read; False for PostgreSQL."""
        return self._stamp is not None and self._stamp == self._present_stamp()

    def changes_since(self, revision: int | None) -> Changes:
        """What has changed since a revision; the first call gives the present revision. Raises TandemError."""
        self._stamp = None
        stamp = self._present_stamp()  # before reading: what is written meanwhile must be seen next time
        found = self._changes_since(revision)
        if stamp is not None and time.time_ns() - max(stamp[2], stamp[4]) > _SETTLED:
            self._stamp = stamp
        return found

    def _changes_since(self, revision: int | None) -> Changes:
        self._follow_file()
        with self._database.read() as connection:
            present, registry_id = int(fact(connection, "revision") or 0), fact(connection, "id") or ""
            if revision is None or self._is_another(registry_id, present, revision):
                self._id = registry_id
                return Changes(present, problem=self._problem)
            if present == revision:
                return Changes(present, problem=self._problem)
            query = select(changes.c.public_key, changes.c.kind).where(changes.c.revision > revision)
            rows = connection.execute(query).all()
        changed = frozenset(base64.b64decode(row.public_key) for row in rows if row.kind == "change")
        kicked = frozenset(base64.b64decode(row.public_key) for row in rows if row.kind == "kick")
        is_complete = len(rows) >= present - revision
        return Changes(present, changed, kicked, is_complete, self._problem)

    def _is_another(self, registry_id: str, present: int, revision: int) -> bool:
        """Whether another registry has taken the place of ours, or an older state of it."""
        if registry_id == self._id and present >= revision:
            return False
        self._problem = (
            f"registry {self._database.place}: another one, or an older one, has taken its place; all clients that "
            "were known stay until the server is started anew"
        )
        return True

    def _follow_file(self) -> None:
        """Opens a file of SQLite again that was replaced. Raises TandemError where it is gone."""
        identity = self._identity()
        if identity is None and self._database.is_sqlite:
            self._database.close()  # an open connection would still read what is no longer the registry
            raise TandemError(f"registry {self._database.place}: it is gone", "put it back, or start the server anew")
        if identity != self._file:
            self._database.close()
            self._file = identity

    def _present_stamp(self) -> Stamp | None:
        """Inode, size and time of the file and of its log; None where there is no file, or no SQLite."""
        file = self._database.file
        if file is None:
            return None
        try:
            status = os.stat(file)
        except OSError:
            return None
        log = file.with_name(f"{file.name}-wal")
        with contextlib.suppress(OSError):  # no log
            written = os.stat(log)
            return status.st_ino, status.st_size, status.st_mtime_ns, written.st_size, written.st_mtime_ns
        return status.st_ino, status.st_size, status.st_mtime_ns, 0, 0

    def _identity(self) -> tuple[int, int] | None:
        """Device and inode of the file, None where there is none."""
        if self._database.file is None:
            return None
        try:
            status = os.stat(self._database.file)
        except OSError:
            return None
        return status.st_dev, status.st_ino
