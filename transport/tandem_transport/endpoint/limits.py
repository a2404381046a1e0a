"""What a server may use (sessions, memory, resets), and which of several workers it is."""

from dataclasses import dataclass
from typing import Final

from tandem_transport.endpoint.placement import Placement
from tandem_transport.parameters import INITIAL_SESSION_WINDOW, MAX_SESSIONS, RESETS_PER_SECOND, SERVER_BUFFER

MIN_MEMORY_PER_SESSION: Final = 2 * INITIAL_SESSION_WINDOW
"""Bytes of `memory` for each session: half of all memory is for receiving, and guarantees each session a window."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits of one endpoint. Raises ValueError where the memory is too small for the sessions."""

    sessions: int = MAX_SESSIONS
    """Confirmed sessions at the same time."""
    memory: int = SERVER_BUFFER
    """Bytes that all sessions buffer together, half of them in each direction."""
    resets: float = RESETS_PER_SECOND
    """Stateless resets in a second."""

    def __post_init__(self) -> None:
        if self.sessions < 1 or self.memory < self.sessions * MIN_MEMORY_PER_SESSION:
            raise ValueError(f"{self.memory} bytes of memory are too few for {self.sessions} sessions")


_LIMITS, _ALONE = ServerLimits(), Placement()


@dataclass(frozen=True, slots=True)
class ServerTerms:
    """The terms on which one endpoint serves."""

    limits: ServerLimits = _LIMITS
    placement: Placement = _ALONE


DEFAULT_TERMS = ServerTerms()
"""The terms of a server that is one process."""
