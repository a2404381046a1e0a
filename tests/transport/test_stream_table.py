"""The table of all streams of a session: who may open them, what frames do, when they are gone."""

import pytest

from tandem_transport.errors import LocalProtocolError, PeerError
from tandem_transport.events import (
    Event,
    StopSendingReceived,
    StreamDataReceived,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tandem_transport.parameters import SEND_AHEAD
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import Budget
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import (
    Frame,
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    ResetStreamFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.wire.transport_parameters import TransportParameters

WINDOW = 1000


class End:
    """The streams of one end, which is the server unless told otherwise, and what they send and tell."""

    def __init__(
        self,
        *,
        is_client: bool = False,
        session: int = 100_000,
        window: int = WINDOW,
        max_streams: int = 8,
        budget: Budget | None = None,
    ) -> None:
        self.sent: list[Frame] = []
        self.told: list[Event] = []
        local = TransportParameters(initial_max_data=session, initial_max_stream_data=window, max_streams=max_streams)
        remote = TransportParameters(initial_max_data=50_000, initial_max_stream_data=2 * WINDOW, max_streams=3)
        self.streams = Streams(
            is_client=is_client,
            local=local,
            remote=remote,
            send_control=self.sent.append,
            emit=self.told.append,
            send_budget=budget,
            receive_budget=budget,
        )

    def receive(self, stream_id: int, offset: int, data: bytes, *, fin: bool = False) -> bool:
        return self.streams.on_stream_frame(StreamFrame(stream_id, offset, data, fin), rtt=0.1, now=1.0)

    def events(self) -> list[Event]:
        return list(self.streams.events())

    def consume(self, stream_id: int, size: int, *, rtt: float = 0.1, now: float = 1.0) -> None:
        self.streams.consume(stream_id, size, rtt=rtt, now=now)

    def reset(self, stream_id: int) -> bool:
        return self.streams.reset(stream_id, 7, rtt=0.1, now=1.0) is not None

    def receive_reset(self, stream_id: int, final_size: int) -> None:
        self.streams.on_reset_frame(ResetStreamFrame(stream_id, 5, final_size), rtt=0.1, now=1.0)

    def cut(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        while chunk := self.streams.turns.cut(1200, now=1.0):
            chunks.append(chunk)
        return chunks

    def deliver(self) -> None:
        """Everything that may be sent arrives."""
        for chunk in self.cut():
            self.streams.on_chunk_acked(chunk)

    def finish(self, stream_id: int) -> None:
        """Our direction ends, and its end has arrived."""
        self.streams.write(stream_id, b"", end_stream=True)
        self.deliver()


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


@pytest.mark.parametrize(("pause", "has_grown"), [(3.9, True), (4.1, False)])
def test_what_is_quick_depends_on_the_round_trip(pause: float, *, has_grown: bool) -> None:
    end = End(session=1000)
    end.consume(0, 0)
    end.receive(0, 0, bytes(400))
    for now in (1.0, 1.0 + pause):
        for _ in range(20):
            end.consume(0, 200, rtt=1.0, now=now)
    windows = [frame.window for frame in end.sent if isinstance(frame, MaxDataFrame | MaxStreamDataFrame)]
    assert (max(windows) > 16_000) == has_grown


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
    assert end.streams.held == 3000
    chunks = end.cut()
    assert sum(chunk.data_size for chunk in chunks) == 2 * WINDOW, "what the peer takes"
    for chunk in chunks:
        end.streams.on_chunk_acked(chunk)
    assert end.streams.held == WINDOW
    end.streams.on_max_stream_data_frame(MaxStreamDataFrame(stream_id, 3 * WINDOW, WINDOW))
    end.deliver()
    assert end.streams.held == 0
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


# --- resets ---


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
    assert end.streams.held == 0
    assert end.events() == []
    assert len(end.streams) == 1, "the peer has not ended its direction"
    assert end.reset(stream_id)
    assert len(end.sent) == 3
    end.consume(stream_id, 300)
    assert len(end.sent) == 3, "it was counted already"
    assert not end.receive(stream_id, 600, bytes(10), fin=True)
    assert len(end.streams) == 0


def test_a_reset_counts_what_was_not_read_yet() -> None:
    for reset in (End.reset, lambda end, stream_id: End.receive_reset(end, stream_id, 900)):
        end = End(session=1200, budget=Budget(0))
        end.receive(0, 0, bytes(900))
        end.consume(0, 500)
        reset(end, 0)
        assert MaxDataFrame(2100, 1200) in end.sent


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
    for reset in (End.reset, lambda end, stream_id: End.receive_reset(end, stream_id, 1000)):
        end = End(session=2000, max_streams=2000, budget=Budget(0))
        for stream_id in range(0, 4000, 2):
            for offset in range(1, 11, 2):
                end.receive(stream_id, offset, b"x")
            reset(end, stream_id)
            end.receive_reset(stream_id, 1000)
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
    assert end.streams.held == 0
    assert end.streams.on_stop_sending_frame(StopSendingFrame(stream_id, 9)) is None
    end.streams.on_chunk_acked(chunks[0])
    assert end.streams.held == 0, "an acknowledgement that comes too late"
    end.receive(stream_id, 0, b"", fin=True)
    end.events()
    assert len(end.streams) == 0


def test_a_stream_whose_direction_to_the_peer_ends_last_is_gone_then() -> None:
    for end_it in (
        lambda end: end.finish(0),
        lambda end: end.streams.on_stop_sending_frame(StopSendingFrame(0, 9)),
        lambda end: end.reset(0),
    ):
        end = End()
        end.receive(0, 0, b"x", fin=True)
        end.events()
        end.consume(0, 1)
        assert len(end.streams) == 1
        end_it(end)
        assert len(end.streams) == 0


def test_a_stream_with_something_to_read_is_not_gone() -> None:
    end = End()
    end.receive(0, 0, b"", fin=True)
    end.finish(0)
    assert len(end.streams) == 1
    assert end.events() == [StreamDataReceived(0, b"", True)]
    assert len(end.streams) == 0
