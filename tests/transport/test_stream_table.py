"""The table of all streams of a session: who may open them, what frames do, when they are gone."""

import pytest

from stream_end import WINDOW, End
from tandem_transport.errors import LocalProtocolError, PeerError
from tandem_transport.events import (
    StreamDataReceived,
    StreamOpened,
    StreamWritable,
)
from tandem_transport.parameters import SEND_AHEAD
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import Budget
from tandem_transport.wire.frames import (
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    StopSendingFrame,
)

# --- opening ---


@pytest.mark.parametrize("is_client", [True, False])
def test_streams_of_the_client_are_even_and_of_the_server_odd(*, is_client: bool) -> None:
    end = End(is_client=is_client)
    first = 0 if is_client else 1
    assert [end.streams.open() for _ in range(3)] == [first, first + 2, first + 4]
    assert (len(end.streams), end.streams.opened) == (3, 3)
    with pytest.raises(LocalProtocolError, match="3 streams are open"):
        end.streams.open()
    end.streams.on_max_streams_frame(MaxStreamsFrame(2))
    with pytest.raises(LocalProtocolError):
        end.streams.open()
    end.streams.on_max_streams_frame(MaxStreamsFrame(4))
    assert end.streams.open() == first + 6


@pytest.mark.parametrize("is_client", [True, False])
def test_the_peer_opens_a_stream_and_all_before_it_by_naming_it(*, is_client: bool) -> None:
    end = End(is_client=is_client)
    first = 1 if is_client else 0
    assert end.receive(first + 4, 0, b"x")
    assert end.told == [StreamOpened(first), StreamOpened(first + 2), StreamOpened(first + 4)]
    assert (len(end.streams), end.streams.opened) == (3, 3)
    end.receive(first + 2, 0, b"x")
    end.streams.open()
    assert end.streams.opened == 4
    assert len(end.told) == 3


def test_the_peer_opens_no_more_than_it_may() -> None:
    end = End()
    end.receive(14, 0, b"x")
    with pytest.raises(PeerError, match="STREAM_LIMIT"):
        end.receive(16, 0, b"x")


def test_frames_of_our_streams_are_for_those_that_we_have_opened() -> None:
    end = End()
    with pytest.raises(PeerError, match="STREAM_STATE"):
        end.receive(1, 0, b"x")
    ours = end.streams.open()
    assert end.receive(ours, 0, b"x")
    end.receive_reset(ours, 1)
    end.reset(ours)
    assert len(end.streams) == 0
    assert not end.receive(ours, 0, b"x"), "it is gone"
    assert end.streams.on_stop_sending_frame(StopSendingFrame(ours, 0)) is None
    end.receive_reset(ours, 1)
    end.streams.on_max_stream_data_frame(MaxStreamDataFrame(ours, 1, 1))


def test_a_stream_of_the_peer_that_is_gone_is_not_opened_again() -> None:
    end = End()
    end.receive(0, 0, b"x", fin=True)
    end.events()
    end.consume(0, 1)
    assert len(end.streams) == 1
    end.finish(0)
    assert len(end.streams) == 0
    assert not end.receive(0, 0, b"x", fin=True)
    assert len(end.streams) == 0
    assert not end.reset(0)
    assert end.streams.send_capacity(0) == 0
    with pytest.raises(LocalProtocolError, match="stream 0 is not open"):
        end.streams.write(0, b"x", end_stream=False)


def test_the_peer_may_open_others_for_those_that_have_ended() -> None:
    end = End()
    for stream_id in (0, 2, 4):
        end.receive(stream_id, 0, b"", fin=True)
        end.events()
        end.finish(stream_id)
    assert end.sent == [MaxStreamsFrame(10)], "after a quarter of those that it may open"
    end.receive(18, 0, b"x")
    with pytest.raises(PeerError):
        end.receive(20, 0, b"x")


def test_streams_of_ours_that_end_allow_the_peer_no_others() -> None:
    end = End()
    for _ in range(3):
        stream_id = end.streams.open()
        end.receive(stream_id, 0, b"", fin=True)
        end.events()
        end.finish(stream_id)
    assert len(end.streams) == 0
    assert end.sent == []


# --- receiving ---


def test_what_has_arrived_in_order_is_told_once() -> None:
    end = End()
    assert end.receive(0, 3, b"def", fin=True)
    assert end.events() == []
    assert end.receive(0, 0, b"abc")
    assert not end.receive(0, 0, b"abc")
    end.receive(2, 0, b"x")
    assert end.events() == [StreamDataReceived(0, b"abcdef", True), StreamDataReceived(2, b"x", False)]
    assert end.events() == []


def test_an_end_alone_is_told() -> None:
    end = End()
    end.receive(0, 0, b"abc")
    end.events()
    assert not end.receive(0, 3, b"", fin=True)
    assert end.events() == [StreamDataReceived(0, b"", True)]


def test_what_is_read_moves_both_windows() -> None:
    end = End(session=1200)
    end.receive(0, 0, bytes(600))
    assert end.sent == [MaxDataFrame(4800, 4800)]
    end.events()
    end.consume(0, 600)
    assert end.sent[1:] == [MaxStreamDataFrame(0, 4600, 4000)]
    end.consume(8, 600)


@pytest.mark.parametrize(("pause", "window"), [(3.9, 16_000), (4.1, 4000)])
def test_what_is_quick_depends_on_the_round_trip(pause: float, window: int) -> None:
    end = End(session=1000)
    end.receive(0, 0, bytes(400))
    end.consume(0, 500, rtt=1.0, now=1.0)
    end.consume(0, 2000, rtt=1.0, now=1.0 + pause)
    windows = {type(frame): frame.window for frame in end.sent if isinstance(frame, MaxDataFrame | MaxStreamDataFrame)}
    assert windows == {MaxDataFrame: window, MaxStreamDataFrame: window}


def test_what_is_read_counts_for_the_session_and_streams_that_have_ended_hear_no_limit() -> None:
    end = End(session=1200, budget=Budget(0))
    end.receive(0, 0, bytes(900), fin=True)
    end.events()
    end.consume(0, 900)
    assert end.sent == [MaxDataFrame(2100, 1200)]


def test_a_gap_makes_the_window_of_a_quick_reader_grow() -> None:
    end = End()
    end.receive(0, 100, bytes(600))
    assert end.sent == [MaxStreamDataFrame(0, 4000, 4000)]
    end.receive(2, 0, bytes(300))
    end.receive(2, 400, bytes(300))
    assert len(end.sent) == 1, "300 bytes are unread"
    end.receive(4, 0, bytes(700))
    assert len(end.sent) == 1, "no gap"
    end.receive(6, 0, bytes(600))
    end.consume(6, 400)
    end.receive(6, 600, bytes(10))
    assert len(end.sent) == 1, "200 bytes are unread, but there is no gap"


def test_the_session_takes_no_more_on_all_streams_together_than_it_offered() -> None:
    end = End(session=1500, budget=Budget(0))
    end.receive(0, 0, bytes(WINDOW))
    with pytest.raises(PeerError, match="FLOW_CONTROL"):
        end.receive(2, 0, bytes(501))


def test_where_shares_fall_streams_hear_of_what_was_read_before() -> None:
    end = End(session=20_000, window=4000, budget=Budget(0))
    for stream_id, size, fin in ((0, 600, False), (2, 599, False), (4, 600, True)):
        end.receive(stream_id, 0, bytes(700), fin=fin)
        end.consume(stream_id, size)
    end.events()
    assert end.sent == [], "less than half a window"
    for stream_id, size in ((6, 4000), (8, 4000), (10, 3700)):
        end.receive(stream_id, 0, bytes(size))
    # left: 20000 - 13800; the share of each: 2 * (6200 - 20000 // 4)
    end.events()
    assert end.sent == [MaxStreamDataFrame(0, 4600, 4000)]
    end.events()
    assert len(end.sent) == 1


# --- sending ---


def test_what_is_written_is_held_until_it_has_arrived() -> None:
    end = End()
    stream_id = end.streams.open()
    end.streams.write(stream_id, bytes(3000), end_stream=False)
    assert end.streams.buffered == 3000
    chunks = end.cut()
    assert sum(chunk.data_size for chunk in chunks) == 2 * WINDOW, "what the peer takes"
    for chunk in chunks:
        end.streams.on_chunk_acked(chunk)
    assert end.streams.buffered == WINDOW
    end.streams.on_max_stream_data_frame(MaxStreamDataFrame(stream_id, 3 * WINDOW, WINDOW))
    end.deliver()
    assert end.streams.buffered == 0
    end.streams.on_chunk_acked(Chunk(b"control"))


def test_the_peer_tells_of_limits_for_streams_that_it_opens_so() -> None:
    end = End()
    end.streams.on_max_stream_data_frame(MaxStreamDataFrame(0, 5 * WINDOW, WINDOW))
    assert end.told == [StreamOpened(0)]
    end.streams.write(0, bytes(9000), end_stream=False)
    assert sum(chunk.data_size for chunk in end.cut()) == 5 * WINDOW


def test_a_writer_that_found_no_room_is_told_of_it() -> None:
    end = End()
    stream_id = end.streams.open()
    assert end.streams.send_capacity(stream_id) == SEND_AHEAD
    end.streams.write(stream_id, bytes(SEND_AHEAD), end_stream=False)
    assert end.streams.send_capacity(stream_id) == 0
    assert end.events() == []
    end.streams.on_max_stream_data_frame(MaxStreamDataFrame(stream_id, 40_000, 40_000))
    end.deliver()
    assert end.events() == [StreamWritable(stream_id)]
    assert end.events() == []


def test_a_session_that_is_over_holds_nothing_that_is_shared() -> None:
    budget = Budget(1 << 20)
    end = End(session=1000, budget=budget)
    stream_id = end.streams.open()
    end.streams.write(stream_id, bytes(500), end_stream=False)
    end.receive(0, 0, bytes(800))
    assert budget.used == 500 + 3000
    end.streams.release()
    assert budget.used == 0


def test_all_that_was_written_is_counted_once() -> None:
    end = End()
    assert end.streams.bytes_written == 0
    first, second = end.streams.open(), end.streams.open()
    end.streams.write(first, bytes(300), end_stream=False)
    end.streams.write(second, bytes(50), end_stream=True)
    assert end.streams.bytes_written == 350
