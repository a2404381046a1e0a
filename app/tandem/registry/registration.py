"""A registered client: its key, the terms on which it may use the server, and what it has used."""

import re
from dataclasses import dataclass

from tandem.base.errors import UsageError
from tandem.registry.quota import Quota

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

MAX_NOTE = 200
"""Characters of a note."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the server's owner has agreed with one client; None stands for no limit but those of all clients."""

    quota: Quota | None = None
    expires_at: int | None = None
    """When the registration ends, in seconds since the epoch."""
    is_disabled: bool = False
    rate: int | None = None
    """Bytes per second in each direction, for all sessions of the client together."""
    max_streams: int | None = None
    note: str = ""
    """Text of the owner, which the client never sees."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration of a client."""

    name: str
    public_key: bytes
    created: str
    """When it was registered, such as 2026-11-15T08:00:00Z."""
    terms: Terms = Terms()
    used: int = 0
    """Bytes carried in the present period of the quota; without a quota, in this calendar month."""
    seen_at: int | None = None
    """When it last had a session, in seconds since the epoch; None for never."""
    spent_until: int | None = None
    """Until when the quota is used up (seconds since the epoch, or 0), where the registry counts it itself."""
    is_online: bool = False
    """It has a session now, or had one a few seconds ago."""


def check_name(name: str) -> None:
    """Raises UsageError where a client may not be called so."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"client name {name!r} is not allowed", "letters, digits, dots, dashes and underscores, at most 64"
        )
