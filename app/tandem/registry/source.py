"""What a server asks a registry, whatever it is: its own database, a shared one, or an HTTP service."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tandem.registry.registration import Registration


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one client has carried since it was last told to the registry."""

    size: int
    """Bytes, both directions together, each counted once however often it was sent."""
    is_online: bool
    """The client has a session now."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a revision of the registry."""

    revision: int
    """The present revision, to ask with next time."""
    changed: frozenset[bytes] = frozenset()
    """Public keys whose registration was added, changed or removed."""
    kicked: frozenset[bytes] = frozenset()
    """Public keys whose sessions should end; the clients may come back."""
    is_complete: bool = True
    """False where more may have changed than is named: all that a server remembers must be asked for again."""
    problem: str = ""
    """Why the registry cannot be followed fully; empty where it can."""


class ClientSource(Protocol):
    """Tells who a client is. All methods block and raise TandemError where the registry cannot be asked."""

    @property
    def place(self) -> str:
        """Where the registry is, without secrets."""
        ...

    @property
    def memory(self) -> float:
        """Seconds for which a server may remember a registration without asking; infinite where it tells of changes."""
        ...

    @property
    def file(self) -> Path | None:
        """The file that is written whenever the registry changes; None where it has to be asked."""
        ...

    def find(self, public: bytes) -> Registration | None:
        """The registration of a key, None where it has none."""
        ...

    def is_quiet(self) -> bool:
        """Whether nothing can have changed since the last question. Never blocks; False where that is not known."""
        ...

    def changes_since(self, revision: int | None) -> Changes:
        """What has changed since a revision; `None` asks for the present revision alone."""
        ...

    def account(self, traffic: Mapping[bytes, Traffic]) -> Mapping[bytes, Registration | None]:
        """Adds what clients have carried; returns what is known of them by now, None for those who are unknown now."""
        ...

    def count(self) -> int | None:
        """The number of registered clients, None where the registry does not tell."""
        ...

    def close(self) -> None:
        """Closes all connections."""
        ...
