"""What a client keeps across its restarts."""

from dataclasses import dataclass, field

from tandem.client.events import EventLog
from tandem.client.usage import UsageBook


def _no_usage() -> UsageBook:
    return UsageBook(None)


def _no_events() -> EventLog:
    return EventLog(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecords:
    """By default nothing is kept."""

    instance_id: bytes | None = None
    """What this client was called before it was restarted; None for another instance."""
    usage: UsageBook = field(default_factory=_no_usage)
    """What its links have carried."""
    events: EventLog = field(default_factory=_no_events)
