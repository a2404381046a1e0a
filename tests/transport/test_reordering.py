"""What spurious losses teach a path, and for how long."""

import pytest

from tandem_transport.parameters import (
    MAX_PACKET_THRESHOLD,
    MAX_REMEMBERED_LOSSES,
    PACKET_THRESHOLD,
    REORDERING_MEMORY,
)
from tandem_transport.recovery.reordering import Reordering
from tandem_transport.recovery.rtt import RttEstimator
from tandem_transport.wire.frames import AckFrame

NOW = 1000.0
LOOK_EVERY = 8
RTT = 0.1


def estimator() -> RttEstimator:
    """An RTT of 100 ms, with a variation of 50 ms."""
    rtt = RttEstimator()
    rtt.on_ack(0, RTT, now=0.0)
    return rtt


def look(
    reordering: Reordering, *ranges: tuple[int, int], acked: int = 0, now: float = NOW, rtt: RttEstimator | None = None
) -> None:
    """As many ACKs as it takes to look at one of them."""
    for _ in range(LOOK_EVERY):
        reordering.on_ack(AckFrame(0, 0, 0, 0, ranges), acked, rtt or estimator(), now=now)


def test_an_arrival_of_what_was_lost_is_spurious_loss() -> None:
    reordering = Reordering()
    assert (reordering.spurious, reordering.window, reordering.packet_threshold) == (0, 0.0, PACKET_THRESHOLD)
    for number in (10, 20, 30, 40):
        reordering.on_lost(number, behind=4)
    look(reordering, (30, 50), (10, 20))
    assert reordering.spurious == 4
    look(reordering, (30, 50), (10, 20))
    assert reordering.spurious == 4, "each once"


def test_what_is_not_acknowledged_may_still_come() -> None:
    reordering = Reordering()
    for number in (9, 11, 19, 21, 29, 31, 41):
        reordering.on_lost(number, behind=4)
    look(reordering, (30, 40), (10, 20))
    assert reordering.spurious == 3
    look(reordering, (41, 50), (20, 29), (5, 9))
    assert reordering.spurious == 6, "9 was forgotten when no ACK could tell of it any more"


def test_the_edges_of_ranges_count() -> None:
    reordering = Reordering()
    for number in (10, 12, 20, 22):
        reordering.on_lost(number, behind=4)
    look(reordering, (20, 22), (10, 12))
    assert reordering.spurious == 4


def test_only_every_eighth_ack_is_looked_at() -> None:
    reordering = Reordering()
    reordering.on_lost(5, behind=4)
    ack = AckFrame(0, 0, 0, 0, ((0, 9),))
    for count in range(1, 2 * LOOK_EVERY + 1):
        reordering.on_ack(ack, 0, estimator(), now=NOW)
        assert reordering.spurious == (count >= LOOK_EVERY) + (count >= 2 * LOOK_EVERY)
        if count == LOOK_EVERY:
            reordering.on_lost(6, behind=4)


def test_the_threshold_doubles_how_far_it_was_behind_up_to_a_limit() -> None:
    reordering = Reordering()
    reordering.on_lost(5, behind=4)
    look(reordering, (0, 9))
    assert reordering.packet_threshold == 8
    reordering.on_lost(5, behind=3)
    look(reordering, (0, 9))
    assert reordering.packet_threshold == 8, "never less than before"
    reordering.on_lost(5, behind=MAX_PACKET_THRESHOLD)
    look(reordering, (0, 9))
    assert reordering.packet_threshold == MAX_PACKET_THRESHOLD


@pytest.mark.parametrize(
    ("later", "threshold"), [(REORDERING_MEMORY, 8), (REORDERING_MEMORY + 0.5, PACKET_THRESHOLD)], ids=["last", "over"]
)
def test_the_threshold_is_forgotten_after_a_minute(later: float, threshold: int) -> None:
    reordering = Reordering()
    reordering.on_lost(5, behind=4)
    look(reordering, (0, 9))
    reordering.on_lost(19, behind=4)
    look(reordering, (20, 30), (0, 9), now=NOW + later)
    assert reordering.packet_threshold == threshold


def test_patience_grows_by_an_eighth_of_the_rtt_up_to_a_limit() -> None:
    reordering = Reordering()
    reordering.on_lost(5, behind=4)
    look(reordering, (0, 9))
    assert reordering.window == pytest.approx(RTT / 8)
    for _ in range(100):
        reordering.on_lost(5, behind=4)
        look(reordering, (0, 9))
    # two RTTs and four variations
    assert reordering.window == pytest.approx(2 * RTT + 4 * RTT / 2)


def test_patience_that_more_than_pays_for_itself_is_given_back() -> None:
    reordering = Reordering()
    reordering.on_lost(5, behind=4)
    look(reordering, (0, 9))
    look(reordering, (0, 9), acked=10)
    assert reordering.window == pytest.approx(RTT / 8 * (1 - 80 * 0.003))
    look(reordering, (0, 9), acked=100)
    assert reordering.window == 0.0


def test_losses_are_remembered_up_to_a_limit_and_the_oldest_forgotten() -> None:
    reordering = Reordering()
    for number in range(MAX_REMEMBERED_LOSSES + 10):
        reordering.on_lost(number, behind=4)
    look(reordering, (0, 2 * MAX_REMEMBERED_LOSSES))
    assert reordering.spurious == MAX_REMEMBERED_LOSSES
    for number in range(MAX_REMEMBERED_LOSSES):
        reordering.on_lost(number, behind=4)
    reordering.on_lost(5000, behind=4)
    look(reordering, (0, 0))
    assert reordering.spurious == MAX_REMEMBERED_LOSSES
