"""What a congestion controller is told about an acknowledgement."""

from tandem_transport.congestion.controller import AckSummary
from tandem_transport.congestion.delivery_rate import DeliverySample
from tandem_transport.congestion.queue_delay import QueueDelayEstimator
from tandem_transport.recovery.recovery import AckResult, Recovery


def summarize(
    result: AckResult,
    sample: DeliverySample | None,
    *,
    recovery: Recovery,
    queue: QueueDelayEstimator,
    is_reordering: bool,
    now: float,
) -> AckSummary:
    """The summary of an acknowledgement; `sample` is None where it says nothing about the delivery rate."""
    return AckSummary(
        now=now,
        round=recovery.round,
        is_round_start=result.is_round_start,
        queue_delay=queue.queue_delay,
        delay_samples=queue.samples,
        min_rtt=recovery.rtt.minimum,
        smoothed_rtt=recovery.rtt.smoothed,
        sample=sample,
        acked_below_capacity=sum(packet.is_below_capacity for packet in result.acked),
        acked=len(result.acked),
        noise=queue.noise,
        packet_noise=queue.packet_noise,
        is_reordering=is_reordering,
        spurious=recovery.reordering.spurious,
        min_queue_delay=queue.min_queue_delay,
    )
