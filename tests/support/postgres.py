"""A PostgreSQL of our own, on a free port of loopback, in a directory that is removed afterwards."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from itertools import count
from pathlib import Path

import psutil
import psycopg

from loopback.ports import free_port
from rights import is_root

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_USER = "tandem"


def missing() -> str:
    """Why there can be no PostgreSQL here; empty where there can."""
    if not _BINARIES and shutil.which("initdb") is None:
        return "PostgreSQL is not installed"
    if is_root() and _owner() is None:
        return "PostgreSQL does not run as root, and there is no user for it"
    return ""


class Cluster:
    """A PostgreSQL that can be stopped and started again, with its data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._owner = _owner() if is_root() else None
        if self._owner is not None and sys.platform != "win32":
            os.chown(directory, self._owner, -1)
        self.port = free_port()
        self._numbers = count()
        self._run("initdb", "--auth=trust", f"--username={_USER}", "--no-sync", "--locale=C", "--encoding=UTF8")

    def start(self) -> None:
        """Starts it, and returns when it can be used."""
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories='' -c fsync=off"
        log = self._directory / "log"
        self._run("pg_ctl", "start", "--wait", "--timeout=120", f"--log={log}", "-o", options)

    def stop(self, how: str = "fast") -> None:
        """Stops it; `immediate` is a crash."""
        self._run("pg_ctl", "stop", "--wait", "--timeout=120", f"--mode={how}")

    @contextlib.contextmanager
    def frozen(self) -> Generator[None]:
        """While the block runs it is there, takes connections, and does nothing."""
        main = psutil.Process(int((self._directory / "data" / "postmaster.pid").read_text().split()[0]))
        main.suspend()
        stopped = [main, *main.children(recursive=True)]
        try:
            for process in stopped[1:]:
                process.suspend()
            yield
        finally:
            for process in stopped:
                process.resume()

    def make_database(self, encoding: str = "UTF8") -> str:
        """The URL of a new database."""
        name = f"registry{next(self._numbers)}"
        with psycopg.connect(f"{self._url}/postgres", autocommit=True) as connection:
            connection.execute(f"create database {name} template template0 encoding '{encoding}'".encode())
        return f"{self._url}/{name}"

    @property
    def _url(self) -> str:
        return f"postgresql://{_USER}@127.0.0.1:{self.port}"

    def _run(self, program: str, *arguments: str) -> None:
        found = [str(place / program) for place in _BINARIES[-1:]] or [program]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
        done = subprocess.run(
            [*found, f"--pgdata={self._directory / 'data'}", *arguments],
            cwd=self._directory,
            env=environment | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            user=self._owner,
            timeout=180,
            check=False,
        )
        if done.returncode:
            log = self._directory / "log"
            raise RuntimeError(f"{program}: {done.stdout!r} {log.read_text() if log.exists() else ''}")


@contextlib.contextmanager
def running_cluster() -> Generator[Cluster]:
    """A cluster that runs while the block does."""
    # Not in the tests' own directory, which only root may enter.
    directory = Path(tempfile.mkdtemp(prefix="tandem-postgres-"))
    try:
        cluster = Cluster(directory)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _owner() -> int | None:
    """The user that runs it in root's place."""
    if sys.platform == "win32":
        return None
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    return None
