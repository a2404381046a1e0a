"""What a receiver remembers of packet numbers, and which of them an ACK tells of."""

import pytest

from tandem_transport.parameters import ACK_EVERY, MAX_ACK_DELAY, MAX_ACK_RANGES, MAX_TRACKED_RANGES
from tandem_transport.recovery.acknowledgement import ReceivedPackets

Ranges = tuple[tuple[int, int], ...]


def record(received: ReceivedPackets, *numbers: int) -> None:
    for number in numbers:
        received.record(number, 100, now=1.0)


def told(received: ReceivedPackets) -> Ranges:
    frame = received.ack_frame(0, now=1.0)
    assert frame is not None
    return frame.ranges


def news(received: ReceivedPackets) -> tuple[bool, float | None]:
    """Whether there is any, and when it is told."""
    return received.has_news, received.ack_at


def newest(count: int, largest: int) -> Ranges:
    """Every second number, so many of them."""
    return tuple((number, number) for number in range(largest, largest - 2 * count, -2))


def test_nothing_has_arrived_at_first() -> None:
    received = ReceivedPackets(0.0)
    assert (received.largest, received.received, received.has_news, received.ack_at) == (-1, 0, False, None)
    assert received.ack_frame(0, now=1.0) is None
    assert received.encode_ack(0, now=1.0) == b""
    assert not received.is_replay(0)
    record(received, 1)
    assert not received.is_replay(0), "a late first packet"


def test_the_first_packet_alone_is_told() -> None:
    received = ReceivedPackets(5.0)
    assert not received.record(0, 100, now=7.0)
    frame = received.ack_frame(3, now=7.25)
    assert frame is not None
    assert (frame.received_at_us, frame.delay_us, frame.ranges) == (2_000_000, 250_000, ((0, 0),))
    assert received.encode_ack(3, now=7.25) == frame.encode()


def test_packets_are_counted() -> None:
    received = ReceivedPackets(0.0)
    record(received, 0, 1, 5)
    assert received.received == 3


def test_the_delay_is_counted_from_the_largest_number_and_not_from_its_twin() -> None:
    received = ReceivedPackets(0.0)
    received.record(4, 100, now=1.0)
    received.record(3, 100, now=2.0)
    received.record(4, 100, now=3.0)
    frame = received.ack_frame(0, now=100.0)
    assert frame is not None
    assert (frame.received_at_us, frame.delay_us) == (1_000_000, 99_000_000)


def test_as_many_ranges_as_are_allowed_are_remembered() -> None:
    received = ReceivedPackets(0.0)
    record(received, *range(1, 2 * MAX_TRACKED_RANGES, 2))
    assert not received.is_replay(0), "nothing is forgotten yet"
    record(received, 2 * MAX_TRACKED_RANGES + 1)
    assert received.is_replay(0)
    assert not received.is_replay(2)


def test_acks_are_due_after_so_many_packets_since_the_last() -> None:
    received = ReceivedPackets(0.0)
    for _ in range(2):
        for number in range(ACK_EVERY):
            assert received.ack_at == (1.0 + MAX_ACK_DELAY if number else None)
            received.on_ack_eliciting(has_gap=False, now=1.0)
        assert received.ack_at == 1.0
        received.on_ack_sent()


def test_news_is_acknowledged_by_the_earliest_deadline() -> None:
    received = ReceivedPackets(0.0)
    assert not received.will_ack_by(100.0)
    received.ack_within(0.5, now=1.0)
    assert received.has_news
    received.ack_within(0.75, now=1.0)
    assert received.ack_at == 1.5
    received.ack_within(0.25, now=1.125)
    assert received.ack_at == 1.375
    assert received.will_ack_by(1.375)
    assert not received.will_ack_by(1.25)
    received.on_ack_sent()
    assert news(received) == (False, None)
    assert not received.will_ack_by(100.0)
    received.on_ack_eliciting(has_gap=True, now=2.0)
    assert received.has_news
    assert received.ack_at == 2.0


def test_a_deadline_without_news_is_no_ack_with_all_news() -> None:
    received = ReceivedPackets(0.0)
    received.ack_at = 1.0
    assert not received.will_ack_by(2.0)


# --- late packets ---


def gappy(*, ranges: int = 2 * MAX_ACK_RANGES) -> tuple[ReceivedPackets, int]:
    """Every second number has arrived; and the largest."""
    received = ReceivedPackets(0.0)
    record(received, *range(0, 2 * ranges, 2))
    return received, 2 * ranges - 2


def test_an_ack_tells_of_the_newest_ranges() -> None:
    received, largest = gappy()
    assert told(received) == newest(MAX_ACK_RANGES, largest)


@pytest.mark.parametrize("late", [(1,), (9, 3), (1, 3)])
def test_late_packets_are_told_instead_of_the_oldest_ranges(late: tuple[int, ...]) -> None:
    received, largest = gappy()
    record(received, *late)
    older = {(number - 1, number + 1) for number in late} if late != (1, 3) else {(0, 4)}
    expected = newest(MAX_ACK_RANGES - len(older), largest) + tuple(sorted(older, reverse=True))
    assert told(received) == expected


def test_a_late_packet_among_the_newest_ranges_takes_no_room() -> None:
    received, largest = gappy()
    oldest_told = largest - 2 * MAX_ACK_RANGES + 2
    record(received, largest - 1)
    assert told(received)[:2] == ((largest - 2, largest), (largest - 4, largest - 4))
    assert len(told(received)) == MAX_ACK_RANGES
    record(received, oldest_told)
    assert told(received)[-1] == (oldest_told - 2, oldest_told - 2)


def test_with_fewer_ranges_than_fit_all_are_told_once() -> None:
    for ranges in (MAX_ACK_RANGES - 1, MAX_ACK_RANGES):
        received, largest = gappy(ranges=ranges + 1)
        record(received, 1)
        assert told(received) == (*newest(ranges - 1, largest), (0, 2))


def test_a_late_packet_is_told_in_some_acks_for_one_may_be_lost() -> None:
    received, largest = gappy()
    received.on_ack_sent()
    received.on_ack_sent()
    record(received, 1)
    acks = [told(received)]
    for _ in range(5):
        received.on_ack_sent()
        acks.append(told(received))
    with_late = [(0, 2) in ranges for ranges in acks]
    assert with_late == [True, True, True, True, False, False]
    assert acks[-1] == newest(MAX_ACK_RANGES, largest)


def test_one_ack_makes_room_for_sixteen_late_packets() -> None:
    received, largest = gappy(ranges=200)
    late = range(1, 80, 4)
    record(received, *late)
    older = tuple((number - 1, number + 1) for number in reversed(late[-16:]))
    assert told(received) == newest(MAX_ACK_RANGES - 16, largest) + older
