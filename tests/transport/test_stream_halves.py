"""Each half of a stream alone: reassembly and its end, chunks, who waits for what comes next."""

import pytest

from tandem_transport.errors import LocalProtocolError, PeerError
from tandem_transport.parameters import (
    INTERACTIVE_BACKLOG,
    INTERACTIVE_FIRST,
    INTERACTIVE_LEVEL,
    INTERACTIVE_RATE,
    MAX_SEND_AHEAD,
    SEEN_BACKLOG,
    SEND_AHEAD,
)
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.receive import ReceiveStream
from tandem_transport.streams.send import SendStream

SEGMENT_COST = 160

# --- receiving ---


def test_a_frame_tells_how_far_the_stream_moved_and_whether_it_brought_anything() -> None:
    stream = ReceiveStream(0, 1000)
    assert stream.receive(0, b"abc", fin=False) == (3, True)
    assert stream.receive(0, b"abc", fin=False) == (0, False), "a copy"
    assert stream.receive(1, b"bc", fin=False) == (0, False), "a part of one"
    assert stream.receive(6, b"ghi", fin=False) == (6, True)
    assert stream.receive(4, b"ef", fin=False) == (0, True)
    assert stream.receive(2, b"cd", fin=False) == (0, True), "overlaps on one side"
    assert stream.take() == (b"abcdefghi", False)
    assert stream.unread == 9
    assert not stream.has_gap


def test_a_segment_that_waits_gives_way_to_a_longer_one_only() -> None:
    stream = ReceiveStream(0, 1000)
    assert stream.receive(5, b"fgh", fin=False)[1]
    assert stream.buffered == 3 + SEGMENT_COST
    assert not stream.receive(5, b"fgh", fin=False)[1]
    assert not stream.receive(5, b"f", fin=False)[1]
    assert stream.receive(5, b"fghij", fin=False)[1]
    assert stream.buffered == 5 + SEGMENT_COST
    assert stream.receive(12, b"m", fin=False)[1]
    assert stream.buffered == 6 + 2 * SEGMENT_COST
    assert stream.receive(0, b"abcdef", fin=False) == (0, True)
    assert stream.buffered == 1 + SEGMENT_COST
    assert stream.has_gap
    assert stream.take() == (b"abcdefghij", False)


def test_a_segment_that_another_has_covered_is_dropped() -> None:
    stream = ReceiveStream(0, 1000)
    stream.receive(2, b"cd", fin=False)
    stream.receive(4, b"ef", fin=False)
    stream.receive(0, b"abcdef", fin=False)
    assert stream.take() == (b"abcdef", False)
    assert (stream.buffered, stream.has_gap, stream.unread) == (0, False, 6)


def test_all_credit_may_be_used_and_no_more() -> None:
    stream = ReceiveStream(0, 10)
    stream.receive(0, bytes(10), fin=False)
    assert stream.window.left == 0
    with pytest.raises(PeerError, match="FLOW_CONTROL"):
        stream.receive(10, b"x", fin=False)


def test_the_end_may_come_alone_and_twice_but_at_one_place() -> None:
    stream = ReceiveStream(0, 100)
    stream.receive(0, b"abc", fin=False)
    assert not stream.has_ended
    assert stream.receive(3, b"", fin=True) == (0, False)
    assert stream.has_ended
    assert stream.is_complete
    assert stream.receive(3, b"", fin=True) == (0, False)
    for offset, data, fin in ((2, b"", True), (2, b"cd", False), (3, b"d", True)):
        with pytest.raises(PeerError, match="FINAL_SIZE"):
            stream.receive(offset, data, fin=fin)
    assert stream.take() == (b"abc", True)
    assert not stream.is_done
    stream.window.consumed = 2
    assert stream.unread == 1
    stream.window.consumed = 3
    assert stream.is_done


def test_an_end_before_its_data_is_told_with_the_last_of_it() -> None:
    stream = ReceiveStream(0, 100)
    stream.receive(2, b"cd", fin=True)
    assert stream.take() == (b"", False)
    stream.receive(0, b"ab", fin=False)
    assert stream.take() == (b"abcd", True)


def test_a_reset_drops_what_waits_and_tells_how_far_the_stream_moved() -> None:
    stream = ReceiveStream(0, 100)
    stream.receive(0, b"abc", fin=False)
    stream.receive(5, b"fg", fin=False)
    with pytest.raises(PeerError, match="FINAL_SIZE"):
        stream.reset(6)
    assert not stream.is_reset
    assert stream.reset(10) == 3
    assert stream.window.received == 10
    assert (stream.is_reset, stream.is_done, stream.has_ended, stream.has_gap, stream.buffered) == (
        *[True] * 3,
        False,
        0,
    )
    assert stream.take() == (b"", False)
    assert ReceiveStream(0, 100).reset(0) == 0


def test_an_abandoned_stream_counts_what_comes_and_keeps_nothing() -> None:
    stream = ReceiveStream(0, 100)
    stream.receive(5, b"fg", fin=False)
    assert not stream.is_abandoned
    stream.abandon()
    assert (stream.is_abandoned, stream.buffered, stream.has_gap) == (True, 0, False)
    assert stream.receive(5, b"fghi", fin=False) == (2, False)
    assert stream.receive(20, b"u", fin=True) == (12, False)
    assert stream.is_complete
    assert stream.unread == 21


# --- sending ---


def cut(stream: SendStream, room: int = 10_000, credit: int = 1 << 30) -> Chunk | None:
    return stream.cut(room, credit, is_interactive=False)


def test_bytes_are_held_until_they_are_acknowledged() -> None:
    stream = SendStream(4, 1 << 20)
    assert (stream.unsent, stream.buffered, stream.offset, stream.is_ready, stream.is_done) == (0, 0, 0, False, False)
    stream.write(bytes(100), end_stream=False)
    stream.write(bytes(50), end_stream=False)
    assert (stream.unsent, stream.buffered, stream.is_ready) == (150, 150, True)
    first, second = cut(stream, credit=60), cut(stream, credit=40)
    assert first is not None
    assert second is not None
    assert (first.data_size, second.data_size, first.stream) == (60, 40, stream)
    assert (stream.unsent, stream.unacked, stream.buffered, stream.offset, stream.unread) == (50, 100, 150, 100, 100)
    stream.on_chunk_acked(first)
    stream.on_chunk_acked(second)
    assert (stream.unsent, stream.unacked, stream.buffered) == (50, 0, 50)


@pytest.mark.parametrize(("room", "size"), [(5 + 31, None), (5 + 32, 32), (5 + 33, 33)])
def test_a_packet_with_little_room_gets_nothing(room: int, size: int | None) -> None:
    stream = SendStream(4, 1 << 20)
    stream.write(bytes(1000), end_stream=False)
    chunk = cut(stream, room)
    assert (None if chunk is None else chunk.data_size) == size


def test_credit_of_one_byte_is_enough_and_of_none_is_not() -> None:
    stream = SendStream(4, 1 << 20)
    stream.write(bytes(10), end_stream=False)
    assert cut(stream, credit=0) is None
    assert cut(stream, credit=-5) is None
    chunk = cut(stream, credit=1)
    assert chunk is not None
    assert chunk.data_size == 1


def test_an_end_is_cut_once_with_the_last_byte_or_alone() -> None:
    stream = SendStream(4, 3)
    stream.write(b"abcd", end_stream=True)
    first = cut(stream)
    assert first is not None
    assert (first.data_size, first.is_fin) == (3, False)
    assert not stream.is_ready, "the peer takes no more"
    assert cut(stream) is None
    stream.raise_limit(9, 9)
    assert stream.is_ready
    last = cut(stream)
    assert last is not None
    assert last.is_fin
    assert not stream.is_ready
    stream.on_chunk_acked(last)
    assert not stream.is_done
    stream.on_chunk_acked(first)
    assert stream.is_done

    empty = SendStream(4, 0)
    assert cut(empty) is None
    empty.write(b"", end_stream=True)
    assert empty.is_ready
    end = cut(empty, credit=0)
    assert end is not None
    assert (end.is_fin, end.data_size) == (True, 0)
    assert not empty.is_ready
    empty.on_chunk_acked(end)
    assert empty.is_done


def test_a_limit_is_never_lowered() -> None:
    stream = SendStream(4, 10)
    stream.write(bytes(20), end_stream=False)
    cut(stream)
    stream.raise_limit(10, 5)
    stream.raise_limit(9, 1)
    assert not stream.is_ready
    assert stream.unread == 10
    stream.raise_limit(11, 6)
    assert stream.is_ready
    assert stream.unread == 5
    stream.raise_limit(40, 10)
    assert stream.unread == 0, "no more was read than was sent"


def test_a_reset_gives_up_what_has_not_arrived() -> None:
    stream = SendStream(4, 1 << 20)
    stream.write(bytes(100), end_stream=False)
    cut(stream, credit=60)
    assert stream.reset() == 60
    assert (stream.buffered, stream.unacked, stream.is_reset, stream.is_done, stream.is_ready) == (
        0,
        0,
        True,
        True,
        False,
    )
    with pytest.raises(LocalProtocolError, match="reset"):
        stream.write(b"x", end_stream=False)


def test_a_stream_is_ahead_by_what_is_on_its_way_or_a_fixed_amount() -> None:
    stream = SendStream(4, 1 << 30)
    assert stream.ahead == SEND_AHEAD
    stream.write(bytes(3 * SEND_AHEAD), end_stream=False)
    assert stream.ahead == -2 * SEND_AHEAD
    cut(stream, 1 << 30, credit=2 * SEND_AHEAD)
    assert stream.ahead == SEND_AHEAD


def test_a_stream_whose_buffer_runs_dry_while_its_writer_waits_is_further_ahead_the_next_time() -> None:
    stream = SendStream(4, 1 << 30)
    for ahead in (SEND_AHEAD, 2 * SEND_AHEAD, 4 * SEND_AHEAD, 8 * SEND_AHEAD, MAX_SEND_AHEAD, MAX_SEND_AHEAD):
        assert stream.ahead == ahead
        stream.write(bytes(ahead), end_stream=False)
        cut(stream, 1 << 30, credit=1 << 30)
        stream.unacked = 0
        stream.on_awaited()
    stream.write(bytes(SEND_AHEAD // 2 - 1), end_stream=False)
    stream.on_awaited()
    assert stream.ahead + stream.unsent == MAX_SEND_AHEAD, "little is left: neither dry nor too much"
    stream.write(b"x", end_stream=False)
    for ahead in (8 * SEND_AHEAD, 4 * SEND_AHEAD, 2 * SEND_AHEAD, SEND_AHEAD, SEND_AHEAD):
        stream.on_awaited()
        assert stream.ahead + stream.unsent == ahead, "the link has become slower"


def test_what_a_well_filled_buffer_has_behind_it() -> None:
    stream = SendStream(4, 1 << 40)
    stream.write(bytes(SEND_AHEAD), end_stream=False)
    cut(stream, 1 << 30, credit=SEND_AHEAD // 2 + 1)
    assert stream.backlog == stream.unsent == SEND_AHEAD // 2 - 1
    stream.write(b"x", end_stream=False)
    assert stream.backlog == SEND_AHEAD // 2 + (SEND_AHEAD // 2 + 1) // 4
    stream.offset = 100 * SEEN_BACKLOG
    assert stream.backlog == SEND_AHEAD // 2 + SEEN_BACKLOG
    stream.write(b"", end_stream=True)
    assert stream.backlog == SEND_AHEAD // 2


def old(*, level: int = 0, unsent: int = 0) -> SendStream:
    """A stream past its first bytes, which has cut so many at second 100 and has others to say."""
    stream = SendStream(4, 1 << 30)
    stream.write(bytes(INTERACTIVE_FIRST), end_stream=False)
    cut(stream, 1 << 20)
    stream.level(now=100.0)
    stream.write(bytes(level), end_stream=False)
    cut(stream, 1 << 20)
    stream.write(bytes(unsent), end_stream=False)
    return stream


def test_a_young_stream_is_interactive_whatever_it_has() -> None:
    stream = SendStream(4, 1 << 30)
    stream.write(bytes(1 << 20), end_stream=False)
    assert stream.is_interactive(now=0.0)
    cut(stream, 1 << 20, credit=INTERACTIVE_FIRST - 1)
    assert stream.is_interactive(now=0.0)
    cut(stream, 1 << 20, credit=1)
    assert not stream.is_interactive(now=0.0)


def test_an_old_stream_is_interactive_while_it_says_little() -> None:
    assert old(unsent=INTERACTIVE_BACKLOG).is_interactive(now=100.0)
    assert not old(unsent=INTERACTIVE_BACKLOG + 1).is_interactive(now=100.0)
    assert old(level=INTERACTIVE_LEVEL - 1).is_interactive(now=100.0)
    assert not old(level=INTERACTIVE_LEVEL).is_interactive(now=100.0)


def test_what_was_cut_lately_is_forgotten_at_a_rate() -> None:
    stream = old(level=20_000)
    stream.write(bytes(10_000), end_stream=False)
    cut(stream, 1 << 20)
    assert stream.level(now=100.0) == 30_000
    assert stream.level(now=100.02) == pytest.approx(30_000 - 0.02 * INTERACTIVE_RATE)
    assert stream.level(now=100.04) == pytest.approx(30_000 - 0.04 * INTERACTIVE_RATE)
    assert stream.level(now=101.0) == 0.0
    assert SendStream(4, 10).level(now=0.0) == 0.0
