"""What the server may use of this machine, where its owner says nothing."""

import psutil

from tandem.base.errors import UsageError
from tandem.base.units import format_size, parse_size
from tandem.config.server_sections import ServerConfig
from tandem_transport import Placement, ServerLimits, ServerTerms
from tandem_transport.parameters import MAX_SESSIONS, SERVER_BUFFER

_MEMORY_SHARE = 4
"""The part of the machine's memory that the buffers of all sessions may take: one in this many."""

_PER_SESSION = 512 << 10
"""Bytes of these buffers for each session of the default limit."""


def server_terms(section: ServerConfig, placement: Placement) -> ServerTerms:
    """The terms of one of several workers, which share what the server may use. Raises UsageError."""
    workers = placement.workers
    memory = parse_size(section.memory) if section.memory else max(SERVER_BUFFER, _machine_memory() // _MEMORY_SHARE)
    sessions = section.sessions or max(MAX_SESSIONS, memory // _PER_SESSION)
    try:
        limits = ServerLimits(-(-sessions // workers), memory // workers, section.resets / workers)
    except ValueError as error:
        least = format_size(sessions * 2 * (128 << 10))
        hint = f"{sessions} sessions need a `memory` of {least} or more in [server]"
        raise UsageError(f"[server]: {error} (in each of {workers} workers)", hint) from error
    return ServerTerms(limits, placement)


def _machine_memory() -> int:
    """Bytes of memory that this machine has."""
    return psutil.virtual_memory().total
