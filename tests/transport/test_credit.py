"""Windows, the memory that sessions and streams share, and whose turn it is to use it."""

from typing import Any

import pytest

from tandem_transport.errors import PeerError
from tandem_transport.parameters import MAX_SEGMENT_OVERHEAD, SEND_AHEAD, SESSION_BUFFER
from tandem_transport.streams.flow_control import Budget, PeerWindow, ReceiveWindow, SendCredit, fair_share
from tandem_transport.streams.memory import ReceiveMemory, SendMemory
from tandem_transport.streams.send import SendStream
from tandem_transport.streams.turns import SendTurns
from tandem_transport.wire.frames import Frame, MaxDataFrame

LARGE = 8 << 20

# --- windows ---


def test_a_budget_leaves_as_much_as_it_gives() -> None:
    budget = Budget(1000)
    assert budget.left_for(0) == 500
    budget.used = 400
    assert budget.left_for(100) == 250
    budget.used = 2000
    assert budget.left_for(0) == 0


def test_a_share_is_twice_what_is_left_but_for_a_quarter() -> None:
    assert fair_share(8000, 10_000) == 2 * (8000 - 2500)
    assert fair_share(0, 10_000) == 1024
    assert ReceiveWindow(10_000, LARGE).share_of_each == 15_000


def test_a_window_is_what_may_be_unread() -> None:
    window = ReceiveWindow(1000, 8000)
    assert (window.window, window.limit, window.left, window.received, window.consumed) == (1000, 1000, 1000, 0, 0)
    window.received = 400
    assert window.left == 600


def test_a_limit_is_told_after_half_a_window_or_so_much_as_a_share_asks_for() -> None:
    window = ReceiveWindow(100_000, 100_000)
    assert window.on_consumed(49_999, 1 << 30, rtt=0.1, now=1.0) is None
    assert window.limit == 100_000
    assert window.on_consumed(1, 1 << 30, rtt=0.1, now=1.0) == 150_000
    assert window.limit == 150_000
    window = ReceiveWindow(100_000, 100_000)
    assert window.on_consumed(999, 4000, rtt=0.1, now=1.0) is None
    assert window.tell(4000) is None
    assert window.on_consumed(1, 4000, rtt=0.1, now=1.0) == 101_000
    window = ReceiveWindow(100_000, 100_000)
    assert window.on_consumed(511, 0, rtt=0.1, now=1.0) is None
    assert window.on_consumed(1, 0, rtt=0.1, now=1.0) == 100_512, "never less than 512"


@pytest.mark.parametrize(
    ("rtt", "pause", "grown"), [(0.1, 0.39, 8000), (0.1, 0.41, 4000), (0.0, 0.39, 8000), (0.0, 0.41, 4000)]
)
def test_a_window_grows_where_half_of_it_is_consumed_within_four_rtts(rtt: float, pause: float, grown: int) -> None:
    window = ReceiveWindow(1000, 8000)
    window.on_consumed(499, 0, rtt=rtt, now=1.0)
    assert window.window == 1000
    window.on_consumed(1, 0, rtt=rtt, now=10.0)
    assert window.window == 4000, "the first half always makes it larger"
    window.on_consumed(2000, 0, rtt=rtt, now=10.0 + pause)
    assert window.window == grown


def test_a_window_grows_once_for_each_half_of_it() -> None:
    window = ReceiveWindow(1000, 100_000)
    window.on_consumed(500, 0, rtt=0.1, now=1.0)
    window.on_consumed(1999, 0, rtt=0.1, now=1.1)
    assert window.window == 4000
    window.on_consumed(1, 0, rtt=0.1, now=1.1)
    assert window.window == 16_000


def test_small_windows_become_four_times_as_large_and_large_ones_twice() -> None:
    sizes = {(512 << 10) - 1: (2 << 20) - 4, 512 << 10: 1 << 20, 6 << 20: LARGE, LARGE: LARGE}
    for before, after in sizes.items():
        window = ReceiveWindow(before, LARGE)
        window.received = window.limit
        assert window.on_filled() == (after if after > before else None)
        assert window.window == after


def test_a_window_grows_only_while_the_budget_has_room() -> None:
    budget = Budget(10_000)
    window = ReceiveWindow(1000, LARGE, budget)
    window.received = 1000
    assert window.on_filled() == 4000
    assert budget.used == 3000
    window.received = 4000
    # 4 x 3 = 12 of 2 that may be taken, 4 are wanted
    assert window.on_filled() is None
    budget.limit = 14_000
    assert window.on_filled() == 8000
    assert budget.used == 7000
    window.release()
    window.release()
    assert budget.used == 0
    window.received = 8000
    assert window.on_filled() is None


def test_a_window_of_which_more_than_half_is_left_is_not_filled() -> None:
    window = ReceiveWindow(1000, LARGE)
    window.received = 499
    assert window.on_filled() is None
    window.received = 500
    assert window.on_filled() == 4000
    unlimited = ReceiveWindow(1000, LARGE)
    unlimited.release()
    unlimited.received = 1000
    assert unlimited.on_filled() is None


def test_a_gap_fills_a_window_whose_reader_is_quick() -> None:
    window = ReceiveWindow(1000, LARGE)
    window.received = 900
    assert window.on_gap(251) is None
    assert window.on_gap(250) == 4000


def test_what_the_peer_has_read_is_what_its_limits_say() -> None:
    window = PeerWindow(1000)
    assert (window.limit, window.window, window.read) == (1000, 1000, 0)
    window.raise_limit(1500, 1000, 900)
    assert (window.limit, window.window, window.read) == (1500, 1000, 500)
    window.raise_limit(5000, 4800, 900)
    assert window.read == 500, "a larger window is no reading"
    window.raise_limit(9000, 4000, 900)
    assert window.read == 900
    credit = SendCredit(1000)
    assert (credit.left, credit.used) == (1000, 0)
    credit.used = 400
    assert credit.left == 600


# --- memory ---


def filled(memory: SendMemory, size: int, *, stream_id: int = 0) -> SendStream:
    stream = SendStream(stream_id, 1 << 30)
    stream.write(bytes(size), end_stream=False)
    memory.reserve(size)
    return stream


def test_capacity_is_what_is_free_and_fair_and_not_too_far_ahead() -> None:
    memory = SendMemory(None)
    assert memory.buffered == 0
    assert memory.capacity(SendStream(0, 10)) == SEND_AHEAD
    assert memory.capacity(filled(memory, 5000)) == SEND_AHEAD - 5000
    memory = SendMemory(None)
    memory.reserve(SESSION_BUFFER - 100)
    assert memory.capacity(SendStream(0, 10)) == 100
    assert memory.writable() == []
    memory.reserve(100)
    assert memory.capacity(SendStream(4, 10)) == 0
    assert memory.writable() == [], "no room"
    memory.reserve(-1)
    assert memory.writable() == [4]
    assert memory.writable() == [], "told once"
    memory = SendMemory(Budget(1 << 40))
    memory.reserve(SESSION_BUFFER - 100)
    assert memory.capacity(SendStream(0, 10)) == 100, "however much others leave"
    memory = SendMemory(Budget(8000))
    stream = filled(memory, 2000)
    # room: (8000 - 2000 - 2000) // 2; share: 2 * (2000 - 4000 // 4)
    assert memory.capacity(stream) == 0
    assert memory.capacity(SendStream(4, 10)) == 2000


def test_a_writer_with_little_waits_for_more_than_a_crumb() -> None:
    memory = SendMemory(None)
    waiting = filled(memory, SEND_AHEAD)
    assert memory.capacity(waiting) == 0
    assert memory.writable() == []
    waiting.cut(1 << 20, (16 << 10) - 1, is_interactive=False)
    waiting.unacked = 0
    assert memory.writable() == []
    waiting.cut(1 << 20, 1, is_interactive=False)
    waiting.unacked = 0
    assert memory.writable() == [0]


@pytest.mark.parametrize(
    ("room", "buffered", "is_woken"),
    [((16 << 10) - 1, 1, False), (16 << 10, 1, True), (20_000, 9076, True), (20_000, 9084, False), (1, 0, True)],
    ids=["too little room", "room", "a fair share", "more than its share", "a byte for who has nothing"],
)
def test_a_writer_is_woken_for_what_is_worth_it(room: int, buffered: int, *, is_woken: bool) -> None:
    budget = Budget(0)
    memory = SendMemory(budget)
    waiting = SendStream(4, 10)
    assert memory.capacity(waiting) == 0
    waiting.unacked = buffered
    memory.reserve(buffered)
    budget.limit = 2 * room + 2 * buffered
    assert memory.writable() == ([4] if is_woken else [])


def test_a_stream_that_has_ended_waits_for_nothing() -> None:
    memory = SendMemory(None)
    memory.reserve(SESSION_BUFFER)
    memory.capacity(SendStream(4, 10))
    memory.forget(4)
    memory.forget(8)
    memory.reserve(-SESSION_BUFFER)
    assert memory.writable() == []


def test_a_session_that_is_over_gives_its_memory_back_once() -> None:
    budget = Budget(1 << 20)
    memory = SendMemory(budget)
    memory.reserve(3000)
    memory.reserve(-1000)
    assert (memory.buffered, budget.used) == (2000, 2000)
    memory.release()
    assert (memory.buffered, budget.used) == (0, 0)
    memory.reserve(500)
    assert budget.used == 0


class Told(list[Frame]):
    """Frames that were sent."""

    def memory(self, window: int, budget: Budget | None = None) -> ReceiveMemory:
        return ReceiveMemory(window, budget, self.append)


def test_the_session_offers_more_where_half_is_received_and_again_where_it_is_read() -> None:
    told = Told()
    memory = told.memory(1000)
    memory.receive(499)
    assert told == []
    memory.receive(1)
    assert told == [MaxDataFrame(4000, 4000)]
    memory.consume(500, rtt=0.1, now=1.0)
    assert told[1:] == []
    memory.consume(600, rtt=0.1, now=1.0)
    assert told[1:] == []
    memory.consume(900, rtt=0.1, now=1.0)
    assert told[1:] == [MaxDataFrame(18_000, 16_000)]


def test_the_session_takes_no_more_than_it_offered() -> None:
    memory = Told().memory(1000, Budget(0))
    memory.receive(1000)
    with pytest.raises(PeerError, match="FLOW_CONTROL"):
        memory.receive(1)


def test_data_out_of_order_has_its_own_limit() -> None:
    for window, most in ((1000, 1 << 20), (1 << 20, MAX_SEGMENT_OVERHEAD << 20)):
        memory = Told().memory(window)
        memory.buffer(most, 0)
        with pytest.raises(PeerError, match="stream 8 overlaps"):
            memory.buffer(1, 8)
        memory.buffer(-1, 0)
        memory.buffer(-1, 0)
        memory.buffer(1, 0)


def test_a_share_that_has_fallen_by_more_than_half_is_told() -> None:
    memory = Told().memory(10_000, Budget(0))
    assert memory.window.share_of_each == 15_000
    memory.window.received = 3750
    assert memory.fallen_share() is None, "7500"
    memory.window.received = 3751
    assert memory.fallen_share() == 7498
    assert memory.fallen_share() is None
    memory.window.received = 0
    assert memory.fallen_share() is None
    memory.window.received = 3751
    assert memory.fallen_share() == 7498, "it had risen again"


# --- turns ---


def speaking(stream_id: int, size: int = 100_000, *, limit: int = 1 << 30) -> SendStream:
    stream = SendStream(stream_id, limit)
    stream.write(bytes(size), end_stream=False)
    return stream


def turns_of(*streams: SendStream, credit: int = LARGE) -> SendTurns:
    turns = SendTurns(credit)
    for stream in streams:
        turns.add(stream)
    return turns


def served(turns: SendTurns, count: int, **options: Any) -> list[int | None]:
    chunks = [turns.cut(1200, now=0.0, **options) for _ in range(count)]
    return [None if chunk is None or chunk.stream is None else chunk.stream.stream_id for chunk in chunks]


def test_streams_are_cut_from_in_turn() -> None:
    turns = turns_of(speaking(0), speaking(4), speaking(8))
    turns.add(speaking(4))
    assert served(turns, 7) == [0, 4, 8, 0, 4, 8, 0]


def test_a_stream_without_data_has_no_turn() -> None:
    turns = turns_of(SendStream(0, 100))
    assert not turns.has_data()
    assert served(turns, 1) == [None]


def test_bulk_comes_after_what_somebody_waits_for() -> None:
    bulk, other = speaking(0), speaking(8)
    bulk.offset = other.offset = 1 << 20
    turns = turns_of(bulk, other, speaking(4, 2000))
    assert served(turns, 2) == [4, 4]
    assert turns.has_data()
    assert turns.has_data(takes_bulk=False), "until its turn comes nobody knows that it has no more"
    assert served(turns, 2, takes_bulk=False) == [None, None]
    assert not turns.has_data(takes_bulk=False)
    assert turns.has_data()
    assert served(turns, 4) == [0, 8, 0, 8]
    turns.add(speaking(12, 100))
    assert served(turns, 2) == [12, 0]


def test_a_chunk_says_whether_somebody_waits_for_it() -> None:
    bulk = speaking(0)
    bulk.offset = 1 << 20
    turns = turns_of(bulk, speaking(4, 100))
    first, second = turns.cut(1200, now=0.0), turns.cut(1200, now=0.0)
    assert first is not None
    assert second is not None
    assert (first.is_interactive, second.is_interactive) == (True, False)


def test_a_stream_that_was_found_to_be_bulk_becomes_interactive_when_it_is_asked_anew() -> None:
    stream = speaking(0, 500)
    stream.offset = 1 << 20
    turns = turns_of(stream)
    assert served(turns, 2) == [0, None]
    stream.write(bytes(10), end_stream=False)
    turns.add(stream)
    chunk = turns.cut(1200, now=0.0)
    assert chunk is not None
    assert chunk.is_interactive


def test_a_backlog_is_that_of_all_bulk_streams() -> None:
    streams = [speaking(0, 20_000), speaking(4, 20_000)]
    for stream in streams:
        stream.offset = 1 << 20
    turns = turns_of(*streams)
    assert not turns.has_backlog(0.0), "nothing is known to be bulk yet"
    turns.cut(0, now=0.0)
    assert turns.has_backlog(39_999.0)
    assert not turns.has_backlog(40_000.0)


def test_the_peer_gives_each_stream_a_fair_share_of_its_credit() -> None:
    first, second = speaking(0, 200_000), speaking(4, 3000)
    turns = turns_of(first, credit=100_000)
    while turns.cut(1200, now=0.0):
        pass
    # 2 * (left - 25000) - sent falls below a crumb
    assert first.offset == pytest.approx(50_000, abs=256)
    assert not turns.has_data()
    turns.add(second)
    assert served(turns, 1) == [4]
    turns.raise_credit(100_000, 200_000)
    turns.remove(4)
    assert served(turns, 1) == [4], "no more credit"
    turns.raise_credit(200_000, 200_000)
    assert served(turns, 2) == [4, 0]


def test_a_stream_that_has_less_to_send_than_a_crumb_needs_no_more_credit() -> None:
    turns = turns_of(speaking(0, 100), credit=100)
    assert served(turns, 1) == [0]
    turns = turns_of(speaking(0, 101), credit=100)
    assert served(turns, 1) == [None]
    turns = turns_of(speaking(0, 300), credit=256)
    assert served(turns, 1) == [0]
    turns = turns_of(speaking(0, 300), credit=255)
    assert served(turns, 1) == [None]


def test_a_starved_stream_is_asked_again_when_the_peer_takes_more_of_it() -> None:
    stream = speaking(0, 1000)
    turns = turns_of(stream, credit=100)
    assert served(turns, 1) == [None]
    turns.revive(stream)
    assert turns.has_data()
    assert served(turns, 1) == [None]
    turns.remove(0)
    turns.raise_credit(10_000, 10_000)
    assert served(turns, 1) == [None], "it has ended"
    narrow = speaking(4, 1000, limit=0)
    turns.add(narrow)
    assert not turns.has_data()
    narrow.raise_limit(10, 10)
    turns.revive(narrow)
    assert served(turns, 1) == [4]


def test_a_stream_that_is_passed_over_may_come_back() -> None:
    stream = speaking(0, 100)
    turns = turns_of(stream)
    assert served(turns, 2) == [0, None]
    stream.write(b"more", end_stream=False)
    turns.add(stream)
    assert served(turns, 1) == [0]


def test_a_packet_without_room_costs_no_turn() -> None:
    turns = turns_of(speaking(0), speaking(4))
    assert turns.cut(10, now=0.0) is None
    assert served(turns, 2) == [0, 4]
