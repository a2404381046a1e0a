"""What all paths of one session have in common."""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_transport.congestion.controller import CongestionController
from tandem_transport.crypto.handshake import Randomness
from tandem_transport.path.addresses import HostOf, PathAddresses


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTerms:
    """What the owner of a session and its handshake have fixed for every path."""

    is_client: bool
    randomness: Randomness
    host_of: HostOf
    """Returns what addresses have in common where only the port differs."""
    make_congestion: Callable[[], CongestionController]
    epoch: float
    """When the session began, in seconds of this end's clock."""
    max_ack_delay: float
    """Seconds for which the peer may delay an acknowledgement."""

    def make_addresses(self) -> PathAddresses:
        """The addresses of a new path."""
        return PathAddresses(is_fixed=self.is_client, randomness=self.randomness, host_of=self.host_of)
