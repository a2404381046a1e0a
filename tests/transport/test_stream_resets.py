"""What a stream leaves behind that either end gives up, and when it is gone."""

from collections.abc import Callable

import pytest

from stream_end import WINDOW, End
from tandem_transport.errors import PeerError
from tandem_transport.events import (
    StopSendingReceived,
    StreamDataReceived,
    StreamOpened,
    StreamReset,
)
from tandem_transport.parameters import SEND_AHEAD
from tandem_transport.streams.flow_control import Budget
from tandem_transport.wire.frames import (
    MaxDataFrame,
    MaxStreamDataFrame,
    ResetStreamFrame,
    StopSendingFrame,
)

Reset = Callable[[End, int], object]


def peer_resets(end: End, stream_id: int) -> None:
    end.receive_reset(stream_id, WINDOW)


BY_EITHER_END: tuple[Reset, ...] = (End.reset, peer_resets)


def test_a_reset_ends_both_directions() -> None:
    end = End()
    stream_id = end.streams.open()
    end.streams.write(stream_id, bytes(3000), end_stream=False)
    end.cut()
    end.receive(stream_id, 0, bytes(300))
    end.receive(stream_id, 500, bytes(100))
    assert end.reset(stream_id)
    assert end.sent == [
        ResetStreamFrame(stream_id, 7, 2 * WINDOW),
        StopSendingFrame(stream_id, 7),
        MaxStreamDataFrame(stream_id, 4600, 4000),
    ]
    assert end.streams.buffered == 0
    assert end.events() == []
    assert len(end.streams) == 1, "the peer has not ended its direction"
    assert end.reset(stream_id)
    assert len(end.sent) == 3
    end.consume(stream_id, 300)
    assert len(end.sent) == 3, "it was counted already"
    assert not end.receive(stream_id, 600, bytes(10), fin=True)
    assert len(end.streams) == 0


def test_a_reset_counts_what_was_not_read_yet() -> None:
    for reset in BY_EITHER_END:
        end = End(session=1200, budget=Budget(0))
        end.receive(0, 0, bytes(WINDOW))
        end.consume(0, 500)
        reset(end, 0)
        assert MaxDataFrame(2200, 1200) in end.sent


def test_a_writer_that_waits_is_not_told_of_a_stream_that_has_ended() -> None:
    end = End()
    end.receive(0, 0, b"", fin=True)
    end.events()
    end.streams.write(0, bytes(SEND_AHEAD), end_stream=True)
    assert end.streams.send_capacity(0) == 0
    end.streams.on_max_stream_data_frame(MaxStreamDataFrame(0, SEND_AHEAD, SEND_AHEAD))
    end.streams.turns.raise_credit(1 << 20, 1 << 20)
    end.deliver()
    assert len(end.streams) == 0
    assert end.events() == []


def test_a_writer_that_waits_is_not_told_of_a_stream_that_was_reset() -> None:
    end = End()
    stream_id = end.streams.open()
    end.streams.write(stream_id, bytes(SEND_AHEAD), end_stream=False)
    end.streams.send_capacity(stream_id)
    end.reset(stream_id)
    assert end.events() == []


def test_a_reset_of_a_stream_whose_peer_has_ended_asks_for_nothing() -> None:
    end = End()
    end.receive(0, 0, b"abc", fin=True)
    assert end.reset(0)
    assert end.sent == [ResetStreamFrame(0, 7, 0)]
    assert len(end.streams) == 0
    assert end.events() == []


def test_a_reset_of_a_stream_that_is_read_to_its_end_counts_nothing_twice() -> None:
    end = End(session=1200, budget=Budget(0))
    end.receive(0, 0, bytes(600), fin=True)
    end.events()
    end.consume(0, 600)
    end.sent.clear()
    assert end.reset(0)
    assert end.sent == [ResetStreamFrame(0, 7, 0)]


def test_what_a_stream_held_out_of_order_is_free_after_a_reset() -> None:
    for reset in BY_EITHER_END:
        end = End(session=2000, max_streams=2000, budget=Budget(0))
        for stream_id in range(0, 4000, 2):
            for offset in range(1, 11, 2):
                end.receive(stream_id, offset, b"x")
            reset(end, stream_id)
            end.receive_reset(stream_id, WINDOW)
            end.reset(stream_id)


def test_the_peer_resets_its_direction() -> None:
    end = End(session=2000, budget=Budget(0))
    end.receive(0, 0, bytes(300))
    end.receive_reset(0, 1000)
    assert end.told == [StreamOpened(0), StreamReset(0, 5)]
    assert end.sent == [MaxDataFrame(3000, 2000)], "what never arrives is read"
    assert end.events() == []
    end.receive_reset(0, 1000)
    assert not end.receive(0, 300, bytes(10))
    end.consume(0, 300)
    assert (len(end.told), len(end.sent), len(end.streams)) == (2, 1, 1)
    end.finish(0)
    assert len(end.streams) == 0


def test_a_reset_counts_for_the_session_too() -> None:
    end = End(session=1500, budget=Budget(0))
    end.receive(0, 0, bytes(WINDOW))
    with pytest.raises(PeerError, match="FLOW_CONTROL"):
        end.receive_reset(2, 501)


def test_a_reset_of_a_stream_that_nobody_wants_is_not_told() -> None:
    end = End()
    end.receive(0, 0, b"abc")
    end.reset(0)
    end.receive_reset(0, 3)
    assert end.told == [StreamOpened(0)]
    assert len(end.streams) == 0


def test_what_comes_of_a_stream_that_nobody_wants_is_read_at_once() -> None:
    end = End(session=1200, budget=Budget(0))
    end.receive(0, 0, bytes(100))
    end.reset(0)
    end.sent.clear()
    assert not end.receive(0, 100, bytes(500))
    assert end.sent == [MaxDataFrame(1800, 1200), MaxStreamDataFrame(0, 4600, 4000)]
    assert end.events() == []


def test_the_peer_wants_no_more_of_ours() -> None:
    end = End()
    stream_id = end.streams.open()
    end.streams.write(stream_id, bytes(3000), end_stream=False)
    chunks = end.cut()
    sending = end.streams.on_stop_sending_frame(StopSendingFrame(stream_id, 9))
    assert sending is not None
    assert sending.stream_id == stream_id
    assert end.sent == [ResetStreamFrame(stream_id, 9, 2 * WINDOW)]
    assert end.told == [StopSendingReceived(stream_id, 9)]
    assert end.streams.buffered == 0
    assert end.streams.on_stop_sending_frame(StopSendingFrame(stream_id, 9)) is None
    end.streams.on_chunk_acked(chunks[0])
    assert end.streams.buffered == 0, "an acknowledgement that comes too late"
    end.receive(stream_id, 0, b"", fin=True)
    end.events()
    assert len(end.streams) == 0


def finish(end: End, stream_id: int) -> None:
    end.finish(stream_id)


def stop(end: End, stream_id: int) -> None:
    end.streams.on_stop_sending_frame(StopSendingFrame(stream_id, 9))


def test_a_stream_whose_direction_to_the_peer_ends_last_is_gone_then() -> None:
    for end_it in (finish, stop, End.reset):
        end = End()
        end.receive(0, 0, b"x", fin=True)
        end.events()
        end.consume(0, 1)
        assert len(end.streams) == 1
        end_it(end, 0)
        assert len(end.streams) == 0


def test_a_stream_with_something_to_read_is_not_gone() -> None:
    end = End()
    end.receive(0, 0, b"", fin=True)
    end.finish(0)
    assert len(end.streams) == 1
    assert end.events() == [StreamDataReceived(0, b"", True)]
    assert len(end.streams) == 0
