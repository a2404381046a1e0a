"""What the owner of a server says of a client's key: a name, a reason to refuse it, or that the answer comes later."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tandem_transport.crypto.handshake import Refusal


@dataclass(frozen=True, slots=True)
class Denial:
    """A client that is known by its key, or may be, and may not have a session now."""

    code: Refusal
    until: int = 0
    """When the reason ends, in seconds since the epoch; 0 where that is not known."""


class Pending(Enum):
    """The type of PENDING."""

    PENDING = 0


PENDING = Pending.PENDING
"""The key is being looked up. The owner calls `on_client_found` of the endpoint when it knows."""

Lookup = Callable[[bytes], str | Denial | Pending | None]
"""Says who a public key is, without waiting: the client's name, None for a stranger, a denial, or PENDING."""
