"""The server's state directory: its key, and one file for each client. Public keys only, files 0600."""

import base64
import contextlib
import json
import logging
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tandem.errors import TandemError, UsageError
from tandem_transport import public_key

log = logging.getLogger("tandem.state")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RELOAD_LEAST = 0.1
"""Seconds between two looks at the directory that an unknown key may cause."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client."""

    name: str
    public_key: bytes
    created: str


def default_directory() -> Path:
    """Where the state is when nobody says."""
    if directory := os.environ.get("STATE_DIRECTORY"):  # systemd sets it
        return Path(directory.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/tandem")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "tandem"


class StateDirectory:
    """Reads and writes it; safe while a server runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clients = path / "clients"
        self._seen = path / "seen"

    def server_key(self) -> bytes:
        """The server's private key, made on first use. Raises TandemError."""
        path = self.path / "server.key"
        try:
            if not path.exists():
                write_private(path, base64.b64encode(os.urandom(32)) + b"\n")
            key = base64.b64decode(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TandemError(f"{path}: {error}", "the state directory must be readable and writable") from error
        if len(key) != 32:
            raise TandemError(f"{path}: not a key", "restore it from a backup; a new key needs new invites")
        return key

    def clients(self) -> list[Client]:
        """All registered clients, by name. Raises TandemError."""
        if not self._clients.is_dir():
            return []
        return [_read_client(path) for path in sorted(self._clients.glob("*.json"))]

    def add_client(self, name: str, public: bytes, *, replace: bool) -> None:
        """Registers a client. Raises UsageError for a bad or taken name, TandemError where it cannot be written."""
        if not _NAME.fullmatch(name):
            hint = "letters, digits, dots, dashes and underscores, at most 64"
            raise UsageError(f"client name {name!r} is not allowed", hint)
        path = self._clients / f"{name}.json"
        if path.exists() and not replace:
            raise UsageError(f"client {name!r} is registered already", "--replace gives it a new key")
        record = {
            "name": name,
            "public_key": base64.b64encode(public).decode(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        try:
            (self._seen / name).unlink(missing_ok=True)  # that was another key
            write_private(path, json.dumps(record, indent=1).encode() + b"\n")
        except OSError as error:
            raise TandemError(f"{path}: {error.strerror}") from error

    def remove_client(self, name: str) -> None:
        """Raises UsageError for a name that is not registered."""
        path = self._clients / f"{name}.json"
        if not _NAME.fullmatch(name) or not path.exists():
            known = ", ".join(client.name for client in self.clients()) or "none"
            raise UsageError(f"no client {name!r} in {self.path}", f"registered: {known}")
        path.unlink()
        (self._seen / name).unlink(missing_ok=True)

    def note_seen(self, name: str) -> None:
        """A client has a session now. What cannot be written is not told, and does no harm."""
        if not (self._clients / f"{name}.json").exists():
            return  # revoked a moment ago
        with contextlib.suppress(OSError):
            self._seen.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._seen / name).touch(mode=0o600)

    def last_seen(self, name: str) -> float | None:
        """Seconds since the epoch, None for never."""
        try:
            return (self._seen / name).stat().st_mtime
        except OSError:
            return None

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes whenever a client is added, replaced or removed."""
        if not self._clients.is_dir():
            return ()
        found: list[tuple[str, int, int]] = []
        for entry in self._clients.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # removed a moment ago
                stat = entry.stat()
                found.append((entry.name, stat.st_mtime_ns, stat.st_ino))
        return tuple(sorted(found))


class ClientRegistry:
    """The registered clients as a running server knows them; follows the directory."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._names: dict[bytes, str] = {}
        self._gone: set[bytes] = set()
        """Keys that are gone and that `reload` has not told of yet."""
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._looked_at = 0.0
        self.reload()

    def __len__(self) -> int:
        return len(self._names)

    def reload(self) -> set[bytes]:
        """Reads the directory where it has changed; returns the public keys that are gone since it last did so.

        Raises TandemError where the directory cannot be read; the clients stay as they were.
        """
        self._read()
        gone, self._gone = self._gone, set()
        return gone

    def lookup(self, public: bytes) -> str | None:
        """A client's name; looks again where it is unknown, ten times a second at most. Never raises."""
        if public not in self._names and time.monotonic() - self._looked_at >= _RELOAD_LEAST:
            try:
                self._read()
            except TandemError as error:
                log.error("%s; the clients stay as they were", error)
        return self._names.get(public)

    def _read(self) -> None:
        self._looked_at = time.monotonic()
        try:
            stamp = self._state.stamp()
            if stamp == self._stamp:
                return
            names = {client.public_key: client.name for client in self._state.clients()}
        except OSError as error:
            raise TandemError(f"{self._state.path}: {error}") from error
        self._gone |= set(self._names) - set(names)
        self._names, self._stamp = names, stamp


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def instance_id(directory: Path, name: str) -> bytes | None:
    """8 random bytes that are this client's for good; None where they cannot be kept.

    `name` tells several clients of one user apart.
    """
    path = directory / "instances" / name
    try:
        if not path.exists():
            write_private(path, os.urandom(8))
        kept = path.read_bytes()
    except OSError as error:
        log.info("%s: %s; the server will take a restart for another computer", path, error.strerror)
        return None
    return kept if len(kept) == 8 else None


def events_file(socks_port: int) -> Path:
    """Where the client with this SOCKS port keeps its event log."""
    return default_directory() / "events" / f"client-{socks_port}.jsonl"


def server_public_key(state: StateDirectory) -> bytes:
    """What clients know the server by."""
    return public_key(state.server_key())


def _read_client(path: Path) -> Client:
    try:
        record = json.loads(path.read_text())
        return Client(record["name"], base64.b64decode(record["public_key"]), record["created"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TandemError(f"{path}: not a client file ({error})", "remove it, and invite that client again") from error
