"""The server's state directory: its key, and one file for each client. Public keys only, files 0600."""

import base64
import contextlib
import errno
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from tandem.base.errors import TandemError, UsageError
from tandem.base.private_files import create_private, write_private
from tandem_transport import public_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY_SIZE = 32

_RESTORE = (
    "restore server.key from a backup of the state directory; without one, remove the clients/ in it and invite "
    "everybody anew, for their invites name the lost key"
)


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration of a client."""

    name: str
    public_key: bytes
    created: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The contents of the directory of clients at one time."""

    directory: Path
    identity: tuple[int, int] | None
    """Device and inode of the directory, None where it does not exist. A replacement directory has other values."""
    stamp: tuple[tuple[str, int, int], ...]
    """Name, modification time and inode of each file: changes when a client is added, replaced or removed."""
    clients: tuple[Registration, ...] = ()
    problems: dict[str, str] = field(default_factory=dict[str, str])
    """What is wrong with each file that cannot be used, by the client's name."""


class StateDirectory:
    """Reads and writes the state directory; safe while a server runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clients = path / "clients"
        self._seen = path / "seen"

    def server_key(self) -> bytes:
        """The server's private key, created on first use. Raises TandemError."""
        path = self.path / "server.key"
        try:
            if not path.exists() and self._may_make_key(path):
                create_private(path, base64.b64encode(os.urandom(32)) + b"\n")
            key = base64.b64decode(path.read_bytes())
        except OSError as error:
            hint = "the state directory must be this user's: sudo -u USER, or --state DIRECTORY"
            raise TandemError(f"{path}: {error.strerror}", hint) from error
        except ValueError as error:
            raise TandemError(f"{path}: not a key ({error})", _RESTORE) from error
        if len(key) != 32:
            raise TandemError(f"{path}: not a key", _RESTORE)
        return key

    def listing(self, known: Listing | None = None) -> Listing:
        """All registered clients, sorted by name; `known` itself where nothing has changed since that listing.

        Raises TandemError where the directory cannot be read, or existed in `known` and is missing now.
        """
        try:
            identity, stamp = self._stamp()
        except OSError as error:
            raise TandemError(f"{self._clients}: {error.strerror}", "it must be this user's") from error
        if known is not None and not known.problems and (identity, stamp) == (known.identity, known.stamp):
            return known
        if identity is None and known is not None and known.identity is not None:
            raise TandemError(f"{self._clients}: it is gone", "put it back, or start the server anew")
        clients: list[Registration] = []
        problems: dict[str, str] = {}
        for name, _, _ in stamp:
            path = self._clients / name
            try:
                clients.append(_read_client(path))
            except TandemError as error:
                problems[path.stem] = str(error)
        return Listing(self._clients, identity, stamp, tuple(clients), problems)

    def add_client(self, name: str, public: bytes, *, replace: bool) -> None:
        """Registers a client. Raises UsageError for a bad or taken name, TandemError where it cannot be written."""
        if not _NAME.fullmatch(name):
            hint = "letters, digits, dots, dashes and underscores, at most 64"
            raise UsageError(f"client name {name!r} is not allowed", hint)
        path = self._clients / f"{name}.json"
        self._check_directories()
        if _exists(path) and not replace:
            raise UsageError(f"client {name!r} is registered already", "--replace gives it a new key")
        record = {
            "name": name,
            "public_key": base64.b64encode(public).decode(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        try:
            (self._seen / name).unlink(missing_ok=True)  # it belongs to the old key
            write_private(path, json.dumps(record, indent=1).encode() + b"\n")
        except OSError as error:
            raise TandemError(f"{path}: {error.strerror}", "the directory must be writable for this user") from error

    def remove_client(self, name: str) -> None:
        """Removes a registration. Raises UsageError for an unknown name, TandemError where the file stays."""
        path = self._clients / f"{name}.json"
        self._check_directories()
        if not _NAME.fullmatch(name) or not _exists(path):
            known = ", ".join(client.name for client in self.listing().clients) or "none"
            raise UsageError(f"no client {name!r} in {self.path}", f"registered: {known}")
        try:
            path.unlink()
        except OSError as error:
            text = f"{name} IS STILL REGISTERED, and may come in: {path}: {error.strerror}"
            raise TandemError(
                text, "the directory must be writable for this user; a service's needs its user, or root"
            ) from error
        with contextlib.suppress(OSError):
            (self._seen / name).unlink(missing_ok=True)

    def _check_directories(self) -> None:
        """Raises TandemError for symbolic links: the state directory's owner must not redirect the writes of root."""
        for place in (self._clients, self._seen):
            if place.is_symlink():
                raise TandemError(f"{place}: it is a link", "put the directory itself there")

    def note_seen(self, name: str) -> None:
        """Stores the current time as the client's last-seen time. Write errors are ignored; they do no harm."""
        with contextlib.suppress(OSError):
            if not (self._clients / f"{name}.json").exists():
                return  # revoked a moment ago
            self._seen.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._seen / name).touch(mode=0o600)

    def last_seen(self, name: str) -> float | None:
        """When the client last had a session, in seconds since the epoch; None for never."""
        try:
            return (self._seen / name).stat().st_mtime
        except OSError:
            return None

    def _may_make_key(self, path: Path) -> bool:
        """Whether a first key may be created: True, or TandemError where registered clients know a key that is lost."""
        registered = self.listing()
        count = len(registered.clients) + len(registered.problems)
        if count:
            raise TandemError(f"{path} is missing, but {count} clients are registered, who know its key", _RESTORE)
        return True

    def _stamp(self) -> tuple[tuple[int, int] | None, tuple[tuple[str, int, int], ...]]:
        """Identity and stamp of the directory of clients. Raises OSError where it cannot be read."""
        try:
            directory = os.stat(self._clients)
            names = [name for name in os.listdir(self._clients) if name.endswith(".json") and not name.startswith(".")]
        except FileNotFoundError:
            return None, ()
        found: list[tuple[str, int, int]] = []
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed a moment ago
                status = os.stat(self._clients / name)
                found.append((name, status.st_mtime_ns, status.st_ino))
        again = os.stat(self._clients)
        if (again.st_dev, again.st_ino) != (directory.st_dev, directory.st_ino):
            raise OSError(errno.EAGAIN, "another directory has taken its place just now")
        return (directory.st_dev, directory.st_ino), tuple(sorted(found))


def server_public_key(state: StateDirectory) -> bytes:
    """The public key by which clients authenticate the server."""
    return public_key(state.server_key())


def _exists(path: Path) -> bool:
    """Whether a file exists. Raises TandemError where the system does not tell."""
    try:
        return path.exists()
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}", "it must be this user's: sudo -u USER, or as root") from error


def _read_client(path: Path) -> Registration:
    try:
        record = json.loads(path.read_text())
        public = base64.b64decode(record["public_key"], validate=True)
        if len(public) != _KEY_SIZE:
            raise ValueError(f"a key of {len(public)} bytes")
        return Registration(path.stem, public, str(record["created"]))
    except OSError as error:
        raise TandemError(f"{path}: {error.strerror}: it must be readable for the server's user") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TandemError(f"{path}: not a client file ({error}); remove it, and invite that client again") from error
