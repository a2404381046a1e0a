"""The seam between a path and its congestion controller."""

from typing import NamedTuple, Protocol

from tandem_transport.congestion.delivery_rate import DeliverySample


class AckSummary(NamedTuple):
    """What one acknowledgement taught about a path."""

    now: float
    round: int
    """Round trips so far; a round ends when a packet sent after its beginning is acknowledged."""
    is_round_start: bool
    queue_delay: float
    delay_samples: int
    """Queue delay samples so far."""
    min_rtt: float
    """0 before the first sample."""
    smoothed_rtt: float
    """0 before the first sample."""
    sample: DeliverySample | None
    acked_below_capacity: int
    """Newly acknowledged packets that were sent below capacity (`is_sending_below_capacity`)."""
    acked: int = 0
    """Newly acknowledged packets."""
    noise: float = 0.0
    """Standard deviation of `queue_delay` by chance alone, in seconds."""
    is_reordering: bool = False
    """Packets overtake each other: those that are missing may only be late."""
    spurious: int = 0
    """Packets so far that were declared lost and arrived after all."""
    packet_noise: float | None = None
    """Standard deviation of the delay of single packets by chance, in seconds; None where it is not known apart."""
    min_queue_delay: float | None = None
    """Queue delay of the fastest of the newest few packets; None where it is not known apart."""


class CongestionController(Protocol):
    """Decides how fast a path may send, and how much may be in flight."""

    @property
    def pacing_rate(self) -> float:
        """Bytes per second."""
        ...

    @property
    def congestion_window(self) -> float:
        """Bytes."""
        ...

    @property
    def capacity(self) -> float:
        """Bytes per second that the path carries, lost bytes included; 0 before the first sample."""
        ...

    @property
    def queue_target(self) -> float:
        """Queue delay that is aimed at, at most, in seconds."""
        ...

    @property
    def is_starting(self) -> bool:
        """The path may be faster than anything that has been tried on it."""
        ...

    @property
    def is_policed(self) -> bool:
        """The path drops what exceeds a rate, without a queue."""
        ...

    @property
    def is_sending_below_capacity(self) -> bool:
        """Whether packets sent now teach random loss; stamped on each packet."""
        ...

    def on_ack(self, ack: AckSummary) -> float:
        """Returns seconds by which the route has turned out to be longer, else 0."""
        ...

    def on_packets_lost(self, lost_below_capacity: int, lost: int = 0, runs: int = 0) -> None:
        """Packets are lost, in so many `runs` of consecutive ones that begin here.

        Losses of an outage are not reported: they are not a loss rate.
        """
        ...
