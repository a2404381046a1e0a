"""The interface between a path and its congestion controller."""

from typing import NamedTuple, Protocol

from tandem_transport.congestion.delivery_rate import DeliverySample


class AckSummary(NamedTuple):
    """The measurements of a path as of one acknowledgement."""

    now: float
    round: int
    """Round trips so far; a round ends when a packet sent after its beginning is acknowledged."""
    is_round_start: bool
    queue_delay: float
    delay_samples: int
    """Queue delay samples so far."""
    min_rtt: float
    """Minimum RTT of the last 10 s in seconds, 0 before the first sample."""
    smoothed_rtt: float
    """Smoothed RTT in seconds, 0 before the first sample."""
    sample: DeliverySample | None
    acked_below_capacity: int
    """Newly acknowledged packets that were sent below capacity (`is_sending_below_capacity`)."""
    acked: int = 0
    """Newly acknowledged packets."""
    noise: float = 0.0
    """Standard deviation of `queue_delay` caused by jitter alone, in seconds."""
    is_reordering: bool = False
    """Whether packets of the path overtake each other, so that a missing packet may only be late."""
    spurious: int = 0
    """Spurious losses so far: packets that were declared lost and arrived after all."""
    packet_noise: float | None = None
    """Standard deviation of single packets' delay caused by jitter, in seconds; None where it is not measured."""
    min_queue_delay: float | None = None
    """Queue delay of the fastest of the newest few packets, in seconds; None where it is not measured."""


class CongestionController(Protocol):
    """Decides how fast a path may send, and how much may be in flight."""

    @property
    def pacing_rate(self) -> float:
        """Rate at which the path may send, in bytes per second."""
        ...

    @property
    def congestion_window(self) -> float:
        """Bytes that may be in flight on the path."""
        ...

    @property
    def capacity(self) -> float:
        """Bytes per second that the path carries, lost bytes included; 0 before the first sample."""
        ...

    @property
    def queue_target(self) -> float:
        """Queue delay, in seconds, that the controller tries not to exceed."""
        ...

    @property
    def is_starting(self) -> bool:
        """Whether the controller is in start-up: the path may be faster than any rate tried so far."""
        ...

    @property
    def is_policed(self) -> bool:
        """Whether the path drops what exceeds a rate, without a queue."""
        ...

    @property
    def is_sending_below_capacity(self) -> bool:
        """Whether the loss of packets sent now is random loss; each packet is marked with this."""
        ...

    def on_ack(self, ack: AckSummary) -> float:
        """Processes an acknowledgement. Returns seconds by which the route has become longer, else 0."""
        ...

    def on_packets_lost(self, lost_below_capacity: int, lost: int = 0, runs: int = 0) -> None:
        """Packets are lost; `runs` counts the runs of consecutive losses that begin among them.

        The caller does not report the losses of an outage, because they say nothing about the loss rate.
        """
        ...
