"""What a client keeps between its runs: an identity of its own, and the log of its events."""

import logging
import os
from pathlib import Path

from tandem.base.directories import default_directory
from tandem.base.private_files import write_private

log = logging.getLogger("tandem.client")

_INSTANCE_SIZE = 8


def instance_id(directory: Path, name: str) -> bytes | None:
    """8 random bytes that identify this client permanently, None where they cannot be kept.

    `name` distinguishes several clients of one user.
    """
    path = directory / "instances" / name
    try:
        kept = path.read_bytes() if path.exists() else b""
        if len(kept) != _INSTANCE_SIZE:  # also where a crash has left it empty
            kept = os.urandom(_INSTANCE_SIZE)
            write_private(path, kept)
    except OSError as error:
        log.info("%s: %s; the server will take a restart for another computer", path, error.strerror)
        return None
    return kept


def events_file(socks_port: int) -> Path:
    """The file in which the client with this SOCKS port keeps its event log."""
    return default_directory() / "events" / f"client-{socks_port}.jsonl"
