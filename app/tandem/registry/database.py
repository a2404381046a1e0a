"""The database of the registry: opened, with its transactions, and with errors that say what to do.

SQLite is a file in the state directory, which nobody needs to set up. PostgreSQL is for several servers.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from tandem.base.errors import TandemError, UsageError
from tandem.base.private_files import create_private
from tandem.registry import schema

BUSY_TIMEOUT = 5.0
"""Seconds for which a transaction waits for another process."""

_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What libpq does about a host that is gone: seconds, but for the last, which is milliseconds."""

_ENCODING = {"client_encoding": "utf8"}
"""What texts arrive in, whatever encoding the database has: without it psycopg gives those of SQL_ASCII as bytes."""

_STATEMENT_TIMEOUT = 5000
"""Milliseconds after which PostgreSQL gives a statement up: a database that hangs must not hang the threads."""

_MIGRATION_LOCK = 0x74616E64
"""Number of the lock that keeps two processes from creating the tables of PostgreSQL at the same time."""

_WRITES = "tandem_writes"


class Database:
    """An open database. All methods block and raise TandemError; they may be called in any thread."""

    def __init__(self, url: str, *, creates: bool) -> None:
        """Opens the database, and brings its tables up to date. `creates`: a file of SQLite where there is none."""
        self._url = _parsed(url)
        self.place = self._url.set(query={}).render_as_string(hide_password=True)
        """The database as people may see it, without its password."""
        self.file = Path(self._url.database or "") if self._url.get_backend_name() == "sqlite" else None
        """The file of SQLite, None for PostgreSQL."""
        if self.file is not None:
            self.place = str(self.file)
            _prepare_file(self.file, creates=creates)
        self._engine = self._make_engine()
        try:
            with self.write() as connection:
                if self.file is None:
                    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
                schema.migrate(connection, os.urandom(8).hex())
        except BaseException:
            self.close()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self.file is not None

    @contextlib.contextmanager
    def read(self) -> Generator[Connection]:
        """A connection for reading."""
        with self._errors(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Generator[Connection]:
        """A transaction that writes; it is undone where the block raises."""
        with self._errors(), self._engine.connect() as opened:
            connection = opened.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection
            if self.is_sqlite:
                _empty_log(connection)

    def now(self, connection: Connection) -> int:
        """The time by the database's clock, in seconds since the epoch: servers of a fleet may have others."""
        asked = "select strftime('%s', 'now')" if self.is_sqlite else "select floor(extract(epoch from now()))"
        return int(connection.execute(text(asked)).scalar_one())

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def _explained(self, error: SQLAlchemyError) -> TandemError:
        """The error in a line, with what to do; without the statement and its values."""
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()
        line = said[0] if said else type(error).__name__
        hint = next((hint for words, hint in _HINTS.items() if words in line.lower()), "")
        return TandemError(f"registry {self.place}: {line}", hint)

    # --- opening ---

    def _make_engine(self) -> Engine:
        try:
            if self.file is not None:
                return _sqlite_engine(self.file)
            options = f"-c statement_timeout={_STATEMENT_TIMEOUT} -c lock_timeout={_STATEMENT_TIMEOUT}"
            arguments = {**_KEEPALIVE, **_ENCODING, "options": options, "application_name": "tandem"}
            url = self._url.set(drivername="postgresql+psycopg")
            return create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_size=4, hide_parameters=True)
        except ModuleNotFoundError as error:
            hint = "install it: pip install 'tandem-proxy[postgres]'"
            raise TandemError(f"registry {self.place}: {error}", hint) from error


_HINTS = {
    "disk is full": "free some space; nothing was changed",
    "locked": "another program uses the database for long; if no Tandem does, find it with: fuser -v FILE",
    "readonly": "the file and its directory must be writable for this user: sudo -u USER",
    "read-only": "the file and its directory must be writable for this user: sudo -u USER",
    "unable to open": "the file and its directory must be this user's: sudo -u USER, or --state DIRECTORY",
    "not a database": "restore it from a backup; then invite anew those who came later",
    "malformed": "restore it from a backup, or try: sqlite3 FILE .recover",
    "refused": "is the database running, and does `url` in [registry] name it?",
    "password": "check the user and the password in `url` of [registry], or use ~/.pgpass",
}


_NO_FILE_HINT = "a server that starts, or `tandem invite`, creates it; --state DIRECTORY names that of another server"


def _parsed(url: str) -> URL:
    """The URL. Raises UsageError that does not repeat it, because there may be a password in it."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend, parsed = "", None
    if parsed is None or backend not in ("sqlite", "postgresql") or (backend == "sqlite" and not parsed.database):
        raise UsageError("[registry] url: it is no URL of a database", "accepted: sqlite:////PATH or postgresql://...")
    if "password" in parsed.query:
        raise UsageError(
            "[registry] url: a password among its parameters would be seen",
            "accepted: postgresql://USER:PASSWORD@HOST/NAME",
        )
    return parsed


def _prepare_file(file: Path, *, creates: bool) -> None:
    """Creates the file where it does not exist, readable for its owner only. Raises TandemError.

    A link is refused: whoever owns the directory must not redirect what root writes.
    """
    try:
        if file.is_symlink():
            raise TandemError(f"registry {file}: it is a link", "put the file itself there")
        if not file.exists():
            if not creates:
                raise TandemError(f"registry {file}: there is none", _NO_FILE_HINT)
            create_private(file, b"")
        elif not stat.S_ISREG(file.stat().st_mode):
            raise TandemError(f"registry {file}: it is no file", "`url` of [registry] names a file: sqlite:////PATH")
    except OSError as error:
        hint = "it must be this user's: sudo -u USER, or --state DIRECTORY"
        raise TandemError(f"registry {file}: {error.strerror}", hint) from error


def _sqlite_engine(file: Path) -> Engine:
    # mode=rw: a file that is gone must be an error, not an empty registry.
    url = URL.create("sqlite", database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT}, hide_parameters=True)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not at the first change
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")  # a revocation must survive a loss of power
    cursor.execute("pragma foreign_keys = on")
    cursor.close()


def _empty_log(connection: Connection) -> None:
    """Moves what was written into the file itself, so that it is whole if somebody copies it or puts another there.

    A log that is left beside a file that was replaced would be applied to the new one. Where readers are in the way,
    the next transaction does it.
    """
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    with contextlib.suppress(sqlite3.Error):  # what was written is safe in the log
        driver.execute("pragma busy_timeout = 0").close()
        try:
            driver.execute("pragma wal_checkpoint(truncate)").close()
        finally:
            driver.execute(f"pragma busy_timeout = {BUSY_TIMEOUT * 1000:.0f}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail where another one has written in between.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")
