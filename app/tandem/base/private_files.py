"""Files that are their owner's alone: written whole or not at all, or not read. Imports little: `tandem connect` must
start fast.
"""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tandem.base.errors import UsageError


def is_open_to_others(path: Path) -> bool:
    """Whether somebody but its owner may do anything with it; never on Windows. Raises OSError.

    A group that root has let read a file of root's is no stranger: a service user needs one.
    """
    if sys.platform == "win32":
        return False
    status = path.stat()
    strangers = 0o037 if status.st_uid == 0 else 0o077
    return bool(status.st_mode & strangers)


def read_private(path: Path, what: str, hint: str) -> str:
    """The text of a file that holds `what`; `hint` says how a file is named. Raises UsageError."""
    path = path.expanduser()
    try:
        if is_open_to_others(path):
            raise UsageError(f"{path}: others can read this {what}", f"chmod 600 {path}")
        return read_text(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint) from error


def read_text(path: Path) -> str:
    """A text file, also one that Windows has written: UTF-16, or with a mark before UTF-8.

    Raises OSError, and UsageError where it is no text.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is no text in UTF-8 (byte {error.start})", "save it as UTF-8") from error


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all. Raises OSError.

    What root writes belongs to whoever owns the directory, or the service that runs there could not read it.
    """
    _write(path, data, lambda temporary: temporary.replace(path))


def create_private(path: Path, data: bytes) -> None:
    """The same for a file that must be written once only: one that is there stays. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        _write(path, data, lambda temporary: os.link(temporary, path))


def _write(path: Path, data: bytes, put: Callable[[Path], object]) -> None:
    owner = _owner(path.parent)
    _make_directory(path.parent, owner)
    if owner is not None and (path.parent.is_symlink() or path.parent.stat().st_uid != owner[0]):
        raise PermissionError(errno.EPERM, "it leads elsewhere, or belongs to somebody else than what it is in")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _owner(directory: Path) -> tuple[int, int] | None:
    """Whose a new file there should be, where that is somebody else than its writer.

    The owner may have put a link there: what counts is who owns the link.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    while not directory.exists():
        directory = directory.parent
    status = directory.lstat()
    return (status.st_uid, status.st_gid) if status.st_uid != 0 else None


def _make_directory(directory: Path, owner: tuple[int, int] | None) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent, owner)
    directory.mkdir(mode=0o700, exist_ok=True)
    if owner is not None and sys.platform != "win32":
        os.chown(directory, *owner, follow_symlinks=False)


def _sync_directory(directory: Path) -> None:
    """So that a crash of the machine does not take the name of the file back."""
    if sys.platform == "win32":
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
