"""What the owner of a session decides, and what its sessions share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tandem_transport.congestion.controller import CongestionController
from tandem_transport.congestion.lc2 import Lc2
from tandem_transport.crypto.handshake import Established, Randomness
from tandem_transport.events import Event
from tandem_transport.path.addresses import HostOf
from tandem_transport.path.terms import PathTerms
from tandem_transport.streams.flow_control import Budget
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import Frame
from tandem_transport.wire.transport_parameters import TransportParameters


def _itself(address: object) -> object:
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Options that are the same for all sessions of one owner."""

    is_client: bool
    parameters: TransportParameters
    """The transport parameters of this end."""
    randomness: Randomness
    host_of: HostOf = field(default=_itself)
    """Returns what addresses have in common where only the port differs."""
    send_budget: Budget | None = None
    """Memory for data to send, shared with other sessions; None for no shared limit."""
    receive_budget: Budget | None = None
    """Memory for received data, shared with other sessions; None for no shared limit."""
    make_congestion: Callable[[], CongestionController] = field(default=Lc2)

    def path_terms(self, established: Established, *, now: float) -> PathTerms:
        """The terms for the paths of a session that begins now."""
        return PathTerms(
            is_client=self.is_client,
            randomness=self.randomness,
            host_of=self.host_of,
            make_congestion=self.make_congestion,
            epoch=now,
            max_ack_delay=established.peer_parameters.max_ack_delay,
        )

    def make_streams(
        self, established: Established, send_control: Callable[[Frame], None], emit: Callable[[Event], None]
    ) -> Streams:
        """The streams of one session."""
        return Streams(
            is_client=self.is_client,
            local=self.parameters,
            remote=established.peer_parameters,
            send_control=send_control,
            emit=emit,
            send_budget=self.send_budget,
            receive_budget=self.receive_budget,
        )
