"""Kinds of data in a packet, one by one: preference of paths, what is lost, copies of everything."""

import pytest

from outgoing import Work, bulk, lossy, measured, pair, press, suspect, taken
from tandem_transport.parameters import (
    BULK_LOSSES,
    MAX_COPY_QUEUE,
)
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.adaptive import CopiedLosses
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.sending.duplicate import Duplicate, NewData, PathCopies
from tandem_transport.sending.preference import is_copies_only, is_slow, may_repair, may_resend
from tandem_transport.sending.sources import ControlFrames, Draft, LostChunks, PlannedCopies, purge
from tandem_transport.wire.frames import PathUse, PingFrame

ACTIVE = Reachability.ACTIVE


# --- preference ---


def test_a_suspect_path_repairs_only_where_no_active_one_exists() -> None:
    paths = pair()
    assert may_repair(paths[1], paths)
    suspect(paths[1])
    assert not may_repair(paths[1], paths)
    suspect(paths[0])
    assert may_repair(paths[1], paths)


@pytest.mark.parametrize(("rtt", "slow"), [(0.12, False), (0.121, True)])
def test_a_path_is_slow_with_three_times_the_best_round_trip(rtt: float, *, slow: bool) -> None:
    paths = pair(0.04, rtt)
    assert is_slow(paths[1], paths) == slow
    assert may_resend(paths[1], paths) != slow
    suspect(paths[0])
    assert not is_slow(paths[1], paths)
    assert may_resend(paths[1], paths)
    assert not is_slow(measured(1, 9.0), [measured(0, 0.0)]), "nothing is known of the best one"
    suspect(paths[1])
    paths[0].probing.reachability = ACTIVE
    assert not may_resend(paths[1], paths)


def test_a_metered_path_carries_copies_only_while_a_free_one_works() -> None:
    paths = pair()
    assert not is_copies_only(paths[1], paths)
    paths[1].use = PathUse.METERED
    assert is_copies_only(paths[1], paths)
    suspect(paths[0])
    assert not is_copies_only(paths[1], paths)
    paths[0].probing.reachability, paths[0].use = ACTIVE, PathUse.METERED
    assert not is_copies_only(paths[1], paths)


# --- simple sources ---


def test_a_draft_counts_its_room() -> None:
    draft = Draft(1000, 800)
    assert (draft.room, draft.full_room, draft.room_for_new, draft.chunks) == (1000, 1000, 800, [])
    chunk = bulk(300)
    draft.add(chunk)
    assert (draft.room, draft.full_room, draft.room_for_new, draft.chunks) == (700, 1000, 500, [chunk])


def test_control_frames_are_taken_while_they_fit() -> None:
    work, (path, _) = Work(), pair()
    source = ControlFrames(work.outbox)
    assert not source.has(path, [path], now=1.0)
    assert taken(source, path) == []
    for _ in range(3):
        work.control.add(PingFrame())
    assert source.has(path, [path], now=1.0)
    assert len(taken(source, path, room=2)) == 2
    assert len(taken(source, path)) == 1


def test_lost_chunks_are_taken_by_paths_that_may_resend() -> None:
    work, paths = Work(), pair(0.04, 0.2)
    work.outbox.note_blocked(paths)
    source = LostChunks(work.outbox)
    assert not source.has(paths[0], paths, now=1.0)
    chunk = bulk()
    work.outbox.on_lost(work.send(paths[0], chunk, now=1.0), paths[0], now=2.0)
    assert source.has(paths[0], paths, now=1.0)
    assert not source.has(paths[1], paths, now=1.0)
    assert taken(source, paths[1], *paths) == []
    assert taken(source, paths[0], *paths) == [chunk]


def test_planned_copies_are_taken_when_due() -> None:
    planner, paths = CopyPlanner(max_ack_delay=0.005), pair()
    source, chunk = PlannedCopies(planner), press()
    assert not source.has(paths[1], paths, now=1.0)
    planner.add_now(chunk, paths[1])
    assert source.has(paths[1], paths, now=1.0)
    assert taken(source, paths[0], *paths) == []
    assert taken(source, paths[1], *paths) == [chunk]


# --- lost data in mode adaptive ---


@pytest.mark.parametrize(
    ("chunk", "losses", "is_metered", "is_copied"),
    [
        (press(), 1, False, True),
        (press(), 1, True, True),
        (bulk(), BULK_LOSSES - 1, False, False),
        (bulk(), BULK_LOSSES, False, True),
        (bulk(), BULK_LOSSES, True, False),
    ],
)
def test_what_is_lost_is_copied_as_it_leaves_again(
    chunk: Chunk, losses: int, *, is_metered: bool, is_copied: bool
) -> None:
    work, paths, planner = Work(), pair(), CopyPlanner(max_ack_delay=0.005)
    work.outbox.note_blocked(paths)
    paths[1].use = PathUse.METERED if is_metered else PathUse.AVAILABLE
    source = CopiedLosses(work.outbox, planner)
    work.outbox.on_lost(work.send(paths[0], chunk, now=1.0), paths[0], now=2.0)
    chunk.losses = losses
    earlier = press(b"earlier")
    draft = Draft(1000, 1000)
    draft.add(earlier)
    source.take(paths[0], paths, draft, now=1.0)
    assert draft.chunks == [earlier, chunk]
    copies: list[Chunk] = []
    planner.take(paths[1], copies, 1000)
    assert copies == ([chunk] if is_copied else [])
    assert not planner.has_due(paths[0])


def test_one_path_alone_copies_nothing() -> None:
    work, path, planner = Work(), measured(0), CopyPlanner(max_ack_delay=0.005)
    source, chunk = CopiedLosses(work.outbox, planner), press()
    work.outbox.on_lost(work.send(path, chunk, now=1.0), path, now=2.0)
    assert taken(source, path) == [chunk]
    assert not planner.has_due(path)
    assert taken(source, path) == []


# --- mode duplicate ---


def test_what_one_path_carries_the_others_carry_too() -> None:
    source, paths = PathCopies(), [*pair(), measured(2)]
    first, second = bulk(10), bulk(20)
    source.on_sent([first, second], paths[1], paths)
    assert [source.has(path, paths, now=1.0) for path in paths] == [True, False, True]
    assert taken(source, paths[1], *paths) == []
    assert taken(source, paths[0], *paths) == [first, second]
    assert not source.has(paths[0], paths, now=1.0)
    assert taken(source, paths[2], *paths, room=63) == [], "a packet that is nearly full"
    assert taken(source, paths[2], *paths, room=64) == [first]


def test_a_copy_is_not_copied_again() -> None:
    source, paths = PathCopies(), pair()
    copy, new = bulk(), bulk()
    copy.paths_in_flight = paths[0].bit
    source.on_sent([copy], paths[1], paths)
    assert not source.has(paths[0], paths, now=1.0)
    source.on_sent([copy, new], paths[1], paths)
    assert taken(source, paths[0], *paths) == [new]


def test_copies_that_are_not_worth_it_are_skipped() -> None:
    source, paths = PathCopies(), pair()
    path = paths[0]
    chunks = [bulk(10 + number) for number in range(6)]
    done, queued, carried, large, wanted, last = chunks
    large.frame = bytes(path.network.room + 1)
    wanted.frame = bytes(path.network.room)
    source.on_sent(chunks, paths[1], paths)
    done.is_done = queued.is_queued = True
    carried.paths_in_flight = path.bit
    assert taken(source, path, *paths, room=path.network.room - 1) == []
    assert taken(source, path, *paths, room=path.network.room) == [wanted]
    draft = Draft(1000, 1000)
    draft.chunks.append(last)
    source.take(path, paths, draft, now=1.0)
    assert draft.chunks == [last]


def test_the_copy_of_a_retransmission_goes_first() -> None:
    source, paths = PathCopies(), pair()
    first, urgent = bulk(10), bulk(20)
    urgent.first_lost_at = 1.0
    source.on_sent([first], paths[1], paths)
    source.on_sent([urgent], paths[1], paths)
    assert taken(source, paths[0], *paths) == [urgent, first]


def test_a_metered_path_copies_only_what_somebody_waits_for() -> None:
    source, paths = PathCopies(), pair()
    paths[1].use = PathUse.METERED
    key, download, other = press(), bulk(), press()
    source.on_sent([key, download, other], paths[0], paths)
    assert taken(source, paths[1], *paths) == [key, other]


def test_copies_that_wait_are_bounded_and_the_oldest_are_dropped() -> None:
    source, paths = PathCopies(), pair()
    chunks = [Chunk(b"x") for _ in range(MAX_COPY_QUEUE + 1)]
    source.on_sent(chunks[:-1], paths[1], paths)
    assert len(source._queues[0]) == MAX_COPY_QUEUE  # pyright: ignore[reportPrivateUsage]
    chunks[5].is_done = True
    source.on_sent(chunks[-1:], paths[1], paths)
    queue = source._queues[0]  # pyright: ignore[reportPrivateUsage]
    assert len(queue) == MAX_COPY_QUEUE // 2
    assert queue[-1] is chunks[-1]
    queue.clear()
    queue.extend(chunks[:10])
    purge(queue)
    assert list(queue) == [*chunks[:5], *chunks[6:10]]


def test_bulk_data_does_not_begin_on_a_slow_path() -> None:
    work, paths = Work(), pair(0.04, 0.2)
    source = NewData(work.outbox, work.streams.turns)
    assert not source.has(paths[0], paths, now=1.0)
    work.write(100_000, is_bulk=True)
    key = work.write(10)
    (chunk,) = taken(source, paths[1], *paths)
    assert chunk.stream is not None
    assert chunk.stream.stream_id == key
    assert not source.has(paths[1], paths, now=1.0)
    assert source.has(paths[0], paths, now=1.0)
    assert len(taken(source, paths[0], *paths)) == 1


def test_new_data_fits_a_packet_that_any_path_could_carry() -> None:
    work, path = Work(), measured(0)
    work.write(100_000)
    draft = Draft(1400, 1100)
    draft.add(bulk(100))
    NewData(work.outbox, work.streams.turns).take(path, [path], draft, now=1.0)
    assert 950 < len(draft.chunks[1].frame) <= 1000


def test_mode_duplicate_carries_control_then_losses_then_copies_then_new_data() -> None:
    work, paths = Work(), pair()
    work.outbox.note_blocked(paths)
    scheduler = Duplicate(work.outbox, work.streams.turns, max_ack_delay=0.005)
    assert not scheduler.has_work_for(paths[0], paths=paths, now=1.0)
    assert scheduler.next_timeout(paths=paths, now=1.0) is None
    copied, lost = press(b"copied"), bulk(20)
    scheduler.on_sent([copied], paths[1], paths=paths, now=1.0)
    work.outbox.on_lost(work.send(paths[1], lost, now=1.0), paths[1], now=2.0)
    work.write(50)
    work.control.add(PingFrame())
    control = work.outbox.control[0]
    chunks = scheduler.select(paths[0], 1000, 1000, paths=paths, now=1.0)
    assert chunks[:3] == [control, lost, copied]
    assert len(chunks) == 4
    assert chunks[3].data_size == 50


def test_mode_duplicate_copies_again_what_nobody_acknowledges() -> None:
    work, paths = Work(), pair()
    scheduler = Duplicate(work.outbox, work.streams.turns, max_ack_delay=0.005)
    key, again = press(), press()
    again.first_packet = (0, 1)
    scheduler.on_sent([bulk(), again, key], paths[0], paths=paths, now=1.0)
    at = scheduler.next_timeout(paths=paths, now=1.0)
    assert at == pytest.approx(1.0 + paths[0].network.rtt.probe_timeout(0.005))
    scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.0)
    scheduler.handle_timeout(paths=[], now=9.0)
    scheduler.handle_timeout(paths=paths, now=9.0)
    assert scheduler.select(paths[0], 1000, 1000, paths=paths, now=9.0) == [key]
    assert scheduler.select(paths[1], 1000, 1000, paths=paths, now=9.0) == [key]


def test_a_metered_path_of_mode_duplicate_carries_copies_alone() -> None:
    work, paths = Work(), pair()
    paths[1].use = PathUse.METERED
    scheduler = Duplicate(work.outbox, work.streams.turns, max_ack_delay=0.005)
    work.control.add(PingFrame())
    work.write(100)
    assert not scheduler.has_work_for(paths[1], paths=paths, now=1.0)
    assert scheduler.has_work_for(paths[0], paths=paths, now=1.0)
    key = press()
    scheduler.on_sent([key], paths[0], paths=paths, now=1.0)
    assert scheduler.has_work_for(paths[1], paths=paths, now=1.0)
    assert scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.0) == [key]


def test_mode_duplicate_copies_once_on_each_path_however_much_is_lost() -> None:
    work, paths = Work(), [lossy(0, 5), lossy(1, 5)]
    scheduler = Duplicate(work.outbox, work.streams.turns, max_ack_delay=0.005)
    key = press()
    scheduler.on_sent([key], paths[0], paths=paths, now=1.0)
    scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.0)
    scheduler.handle_timeout(paths=paths, now=9.0)
    for path in paths:
        assert scheduler.select(path, 1000, 1000, paths=paths, now=9.0) == [key]
    at = scheduler.next_timeout(paths=paths, now=9.0)
    assert at is not None
    assert at > 9.1, "the next plan, and no copy before it"


def test_mode_duplicate_sends_again_once_on_a_path_that_is_alone() -> None:
    work, path = Work(), lossy(0, 5)
    scheduler = Duplicate(work.outbox, work.streams.turns, max_ack_delay=0.005)
    key = press()
    scheduler.on_sent([key], path, paths=[path], now=1.0)
    scheduler.handle_timeout(paths=[path], now=9.0)
    assert scheduler.select(path, 1000, 1000, paths=[path], now=9.0) == [key]
    scheduler.handle_timeout(paths=[path], now=9.01)
    assert scheduler.select(path, 1000, 1000, paths=[path], now=9.01) == []
