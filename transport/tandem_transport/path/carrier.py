"""A byte stream that carries the packets of a path, where the network drops UDP (PROTOCOL.md section 8)."""

from collections.abc import Hashable


class Carrier:
    """One TLS connection between the two ends, as a path sees it.

    Nothing that it carries is lost or reordered; what it cannot pass on yet waits at this end. So a path on it sends
    only while it is not full: what waits longest is then still in the session's own queues, where key presses go first.
    """

    __slots__ = ("is_full", "place")

    def __init__(self, place: Hashable) -> None:
        self.place = place
        """What the driver knows of it."""
        self.is_full = False
        """Whether bytes wait at this end for the network; the driver keeps it up to date."""
