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
    """What a client keeps across its restarts. By default nothing is kept."""

    instance_id: bytes | None = None
    """The id that identifies this client also after a restart; None for a new instance."""
    usage: UsageBook = field(default_factory=_no_usage)
    """What the client's links have carried."""
    events: EventLog = field(default_factory=_no_events)
