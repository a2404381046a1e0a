"""Files that only their owner may read: written whole or not at all, and not read where others have access.

Imports little, because `tandem connect` must start fast.
"""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

from tandem.base.errors import UsageError


def is_open_to_others(path: Path) -> bool:
    """Whether anybody except its owner has access to a file; always False on Windows. Raises OSError.

    The group may read a file of root, because a service user needs that.
    """
    if sys.platform == "win32":
        return False
    status = path.stat()
    strangers = 0o037 if status.st_uid == 0 else 0o077
    return bool(status.st_mode & strangers)


def read_private(path: Path, what: str, hint: str) -> str:
    """The text of a file that contains `what`. Raises UsageError where others have access or it cannot be read.

    `hint` tells the user how to name a file.
    """
    path = path.expanduser()
    try:
        if is_open_to_others(path):
            raise UsageError(f"{path}: others can read this {what}", f"chmod 600 {path}")
        return read_text(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint) from error


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8 or, as Windows may write it, in UTF-16 or with a byte order mark.

    Raises OSError, and UsageError where it is not text.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is no text in UTF-8 (byte {error.start})", "save it as UTF-8") from error


@contextlib.contextmanager
def acting_as_owner(directory: Path) -> Generator[None]:
    """Gives root the rights of a directory's owner in the block; does nothing for others, and on Windows.

    So whoever owns the directory cannot redirect what root does there, and what is made there belongs to the owner.
    """
    owner = _owner(directory)
    if owner is None or sys.platform == "win32":
        yield
        return
    groups = os.getgroups()
    os.setgroups([owner[1]])
    os.setegid(owner[1])
    os.seteuid(owner[0])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all. Raises OSError.

    A file that root writes belongs to the owner of the directory. Otherwise the service that runs there could
    not read it.
    """
    _write(path, data, lambda temporary: temporary.replace(path))


def create_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all; an existing file stays. Raises OSError."""
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
            if owner is not None and sys.platform != "win32":
                os.fchown(file.fileno(), *owner)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _owner(directory: Path) -> tuple[int, int] | None:
    """The user id and group id for a new file in `directory`, None where its writer stays the owner.

    The directory may be a symbolic link: what counts is who owns the link.
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
    """Writes a directory to disk, so that the name of a new file survives a crash of the machine."""
    if sys.platform == "win32":
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
