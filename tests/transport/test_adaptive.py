"""Mode adaptive: bulk data where it arrives earliest, what is overdue, the order of all."""

import pytest

from outgoing import Work, bulk, congestion_of, lossy, measured, pair, press, suspect, taken
from tandem_transport.parameters import (
    IDLE_AFTER,
    MAX_COPY_QUEUE,
    MAX_STALL_LOOK,
    STALL_LOOK,
)
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.adaptive import Adaptive
from tandem_transport.sending.bulk import SpreadData
from tandem_transport.sending.preference import is_copies_only
from tandem_transport.sending.sources import Draft
from tandem_transport.sending.stalls import StalledChunks
from tandem_transport.wire.frames import PathUse, PingFrame

ACTIVE = Reachability.ACTIVE


# --- bulk data in mode adaptive ---


def spreading(work: Work) -> tuple[SpreadData, StalledChunks]:
    stalls = StalledChunks(max_ack_delay=0.005)
    return SpreadData(work.outbox, work.streams.turns, stalls), stalls


def takes_bulk(work: Work, source: SpreadData, path: Path, paths: list[Path]) -> bool:
    """Asked in both ways."""
    has = source.has(path, paths, now=1.0)
    draft = Draft(10, 10)
    source.take(path, paths, draft, now=1.0)
    assert draft.chunks == []
    return has


def backlogged(size: int) -> Work:
    """Bulk data of so many bytes, which is known to be bulk."""
    work = Work()
    while size:
        part = min(size, 30_000)
        work.write(part, is_bulk=True)
        size -= part
    work.streams.turns.cut(0, now=1.0)
    return work


def test_without_data_nothing_is_taken() -> None:
    work, paths = Work(), pair()
    source, _ = spreading(work)
    assert not source.has(paths[0], paths, now=1.0)
    assert taken(source, paths[0], *paths) == []
    work.write(10)
    assert source.has(paths[1], paths, now=1.0), "somebody waits"
    assert len(taken(source, paths[1], *paths)) == 1


def test_the_best_path_takes_bulk_data_in_any_case() -> None:
    work, paths = backlogged(1000), pair(0.04, 0.1)
    source, _ = spreading(work)
    assert takes_bulk(work, source, paths[0], paths)
    assert not takes_bulk(work, source, paths[1], paths)
    assert taken(source, paths[1], *paths) == []
    assert len(taken(source, paths[0], *paths)) == 1
    paths[0].use = PathUse.METERED
    assert takes_bulk(work, source, paths[1], paths)
    paths[1].use = PathUse.METERED
    suspect(paths[0])
    assert takes_bulk(work, source, paths[0], paths)


@pytest.mark.parametrize(("size", "is_taken"), [(30_000, False), (30_001, True)])
def test_a_slower_path_takes_bulk_where_the_faster_one_is_busy_for_longer(size: int, *, is_taken: bool) -> None:
    # 1 MB/s for half of the 60 ms by which the second one is slower
    paths = pair(0.04, 0.1)
    source, _ = spreading(work := backlogged(size))
    assert takes_bulk(work, source, paths[1], paths) == is_taken


def test_all_faster_paths_count_but_those_that_do_not_work_or_cost_money() -> None:
    paths = [*pair(0.04, 0.05), measured(2, 0.06), measured(3, 0.1)]
    # three times 1 MB/s for 30 ms
    source, _ = spreading(work := backlogged(90_000))
    assert not takes_bulk(work, source, paths[3], paths)
    suspect(paths[1])
    assert takes_bulk(work, source, paths[3], paths)
    paths[1].probing.reachability = ACTIVE
    paths[2].use = PathUse.METERED
    assert takes_bulk(work, source, paths[3], paths)
    assert not takes_bulk(work, source, paths[2], paths) or is_copies_only(paths[2], paths)


def test_a_path_as_fast_as_the_best_takes_bulk() -> None:
    paths = pair(0.04, 0.04)
    source, _ = spreading(work := backlogged(100))
    assert takes_bulk(work, source, paths[1], paths)


def test_a_path_that_has_not_answered_takes_no_bulk_while_another_has() -> None:
    paths = pair(0.04, 0.0)
    source, _ = spreading(work := backlogged(90_000))
    assert not takes_bulk(work, source, paths[1], paths)
    paths = pair(0.0, 0.0)
    assert takes_bulk(work, source, paths[1], paths)


def test_a_suspect_path_takes_no_bulk_while_another_is_active() -> None:
    paths = pair(0.04, 0.05)
    source, _ = spreading(work := backlogged(90_000))
    suspect(paths[1])
    assert not takes_bulk(work, source, paths[1], paths)


@pytest.mark.parametrize(("rate", "is_taken"), [(62_499.0, False), (62_500.0, True)])
def test_a_slow_path_with_a_sixteenth_of_the_rate_is_not_worth_waiting_for(rate: float, *, is_taken: bool) -> None:
    paths = pair(0.04, 0.2)
    congestion_of(paths[1]).pacing_rate = rate
    source, _ = spreading(work := backlogged(300_000))
    assert takes_bulk(work, source, paths[1], paths) == is_taken
    paths = pair(0.04, 0.1)
    congestion_of(paths[1]).pacing_rate = 1.0
    assert takes_bulk(work, source, paths[1], paths), "a path that is not slow may add little"


@pytest.mark.parametrize(("size", "is_taken"), [(8000, False), (8001, True)])
def test_a_slow_path_is_tried_with_an_eighth_of_the_backlog(size: int, *, is_taken: bool) -> None:
    paths = pair(0.04, 0.4)
    congestion_of(paths[1]).is_starting = True
    paths[1].recovery.bytes_in_flight = 1000
    source, _ = spreading(work := backlogged(size))
    assert takes_bulk(work, source, paths[1], paths) == is_taken
    paths[1].recovery.bytes_in_flight = 10_000_000
    assert not takes_bulk(work, source, paths[1], paths)


def test_a_path_on_which_something_is_overdue_is_not_the_best() -> None:
    paths = pair(0.04, 0.1)
    source, stalls = spreading(work := backlogged(100))
    work.send(paths[0], bulk(), now=0.0)
    stalls.handle_timeout(paths, now=0.5)
    assert stalls.is_late(paths[0])
    assert not takes_bulk(work, source, paths[0], paths)
    assert takes_bulk(work, source, paths[1], paths)
    work.send(paths[1], bulk(), now=0.0)
    stalls.handle_timeout(paths, now=0.6)
    assert takes_bulk(work, source, paths[0], paths), "of late ones, the first"
    assert not takes_bulk(work, source, paths[1], paths)


def test_of_paths_that_are_late_the_first_that_is_not_spared_is_the_best() -> None:
    paths = [measured(0, 0.04), measured(1, 0.05), measured(2, 0.06)]
    paths[0].use = PathUse.METERED
    source, stalls = spreading(work := backlogged(100))
    for path in paths[1:]:
        work.send(path, bulk(), now=0.0)
    stalls.handle_timeout(paths, now=0.5)
    assert [takes_bulk(work, source, path, paths) for path in paths[1:]] == [True, False]


def test_a_faster_path_that_is_spared_hides_no_other() -> None:
    paths = [measured(0, 0.01), measured(1, 0.04), measured(2, 0.1)]
    paths[0].use = PathUse.METERED
    source, _ = spreading(work := backlogged(30_000))
    assert not takes_bulk(work, source, paths[2], paths)


# --- stalls ---


def test_what_is_overdue_on_one_path_is_offered_to_the_others() -> None:
    work, paths, stalls = Work(), pair(), StalledChunks(max_ack_delay=0.005)
    alone, copied, done, queued = bulk(10), bulk(20), bulk(30), bulk(40)
    work.send(paths[0], alone, copied, done, queued, now=1.0)
    work.send(paths[1], copied, now=1.0)
    done.is_done = queued.is_queued = True
    # smoothed RTT, four variations, the delay of the acknowledgement
    overdue = 1.0 + 0.04 + 4 * 0.02 + 0.005
    assert stalls.next_timeout(paths) == pytest.approx(overdue)
    assert stalls.next_timeout(paths[:1]) is None
    stalls.handle_timeout(paths, now=overdue - 0.006)
    assert not stalls.has(paths[1], paths, now=1.0)
    assert stalls.next_timeout(paths) == pytest.approx(overdue)
    stalls.handle_timeout(paths, now=overdue - 0.002)
    assert not stalls.has(paths[1], paths, now=1.0), "it has just looked"
    assert stalls.next_timeout(paths) == pytest.approx(overdue - 0.006 + STALL_LOOK, abs=0.002)
    stalls.handle_timeout(paths, now=overdue + 0.001)
    assert stalls.has(paths[1], paths, now=1.0)
    assert not stalls.has(paths[0], paths, now=1.0)
    assert taken(stalls, paths[0], *paths) == []
    assert taken(stalls, paths[1], *paths) == [alone]
    assert not stalls.has(paths[1], paths, now=1.0)
    assert stalls.next_timeout(paths) is None
    stalls.handle_timeout(paths, now=overdue + 1)
    assert taken(stalls, paths[1], *paths) == [], "each once"


def test_a_path_looks_at_a_few_of_those_that_are_too_large_for_it_and_finds_what_fits_in_the_end() -> None:
    work, paths, stalls = Work(), pair(), StalledChunks(max_ack_delay=0.005)
    large = [bulk(paths[1].network.room + 1) for _ in range(3 * MAX_STALL_LOOK)]
    fits = bulk(10)
    for chunk in (*large, fits):
        work.send(paths[0], chunk, now=1.0)
    stalls.handle_timeout(paths, now=9.0)
    looks = 0
    while not stalls.has(paths[1], paths, now=9.0):
        looks += 1
    assert looks == 3
    assert taken(stalls, paths[1], *paths) == [fits]
    paths[1].network.datagram_size += 1
    (first,) = taken(stalls, paths[1], *paths, room=paths[1].network.room)
    assert first in large, "its packets are large enough now"


def test_one_path_alone_has_nobody_to_help() -> None:
    work, path, stalls = Work(), measured(0), StalledChunks(max_ack_delay=0.005)
    work.send(path, bulk(), now=1.0)
    stalls.handle_timeout([path], now=9.0)
    assert not stalls.is_late(path)


def test_packets_are_overdue_one_after_the_other() -> None:
    work, paths, stalls = Work(), pair(), StalledChunks(max_ack_delay=0.0)
    chunks = [bulk(10), bulk(20), bulk(30)]
    for number, chunk in enumerate(chunks):
        work.send(paths[0], chunk, now=1.0 + number / 10)
    stalls.handle_timeout(paths, now=1.0 + 0.125)
    assert taken(stalls, paths[1], *paths) == chunks[:1]
    assert stalls.next_timeout(paths) == pytest.approx(1.1 + 0.12)
    stalls.handle_timeout(paths, now=1.33)
    assert taken(stalls, paths[1], *paths) == chunks[1:]


def overdue_after(path: Path, best: Path) -> float:
    """Age at which a packet on `path` is overdue."""
    stalls, work = StalledChunks(max_ack_delay=0.0), Work()
    path.recovery.bytes_in_flight = 0
    work.send(path, bulk(), now=1.0, size=0)
    at = stalls.next_timeout([best, path])
    assert at is not None
    return at - 1.0


def test_jitter_and_what_is_in_flight_make_packets_overdue_later_but_not_without_end() -> None:
    best, path = pair(0.04, 0.1)
    variation = path.network.rtt.variation = 0.001
    assert overdue_after(path, best) == pytest.approx(0.1 + 4 * variation)
    path.network.queue.packet_noise = 0.005
    path, noisy = measured(1, 0.1), path
    assert overdue_after(noisy, best) == pytest.approx(0.1 + 4 * 0.005)
    # the minimum, four deviations, and twice a queue as it should be and the best path's round trip
    path.network.rtt.variation, path.network.queue.packet_noise = 1.0, 0.002
    assert overdue_after(path, best) == pytest.approx(0.1 + 0.008 + 2 * (0.02 + 0.04))
    path = measured(1, 0.1)
    path.network.rtt.variation = 0.0
    congestion_of(path).capacity = 1000.0
    stalls, work = StalledChunks(max_ack_delay=0.0), Work()
    work.send(path, bulk(), now=1.0, size=150)
    assert stalls.next_timeout([best, path]) == pytest.approx(1.0 + 0.15)


def test_the_best_path_says_how_long_others_may_take() -> None:
    work, paths, stalls = Work(), pair(0.04, 0.5), StalledChunks(max_ack_delay=0.0)
    paths[0].network.rtt.variation = 1.0
    chunk = bulk()
    work.send(paths[0], chunk, now=1.0)
    stalls.handle_timeout(paths, now=1.17)
    assert taken(stalls, paths[1], *paths) == [chunk]


def test_a_path_is_late_until_something_newer_arrives() -> None:
    work, paths, stalls = Work(), pair(), StalledChunks(max_ack_delay=0.0)
    path = paths[0]
    assert not stalls.is_late(path)
    work.send(path, bulk(), now=1.0)
    work.send(path, bulk(), now=1.0)
    stalls.handle_timeout(paths, now=2.0)
    assert stalls.is_late(path)
    path.recovery.largest_acked = 0
    assert stalls.is_late(path)
    congestion_of(path).is_starting = True
    assert not stalls.is_late(path)
    congestion_of(path).is_starting = False
    path.recovery.largest_acked = 1
    assert not stalls.is_late(path)


def test_stalled_chunks_that_are_too_large_for_one_path_wait_for_another() -> None:
    work, stalls = Work(), StalledChunks(max_ack_delay=0.0)
    narrow, wide, origin = measured(0), measured(1), measured(2)
    wide.network.datagram_size = 1472
    paths = [narrow, wide, origin]
    large, small, other = bulk(narrow.network.room + 1), bulk(10), bulk(narrow.network.room)
    work.send(origin, large, small, other, now=1.0)
    stalls.handle_timeout(paths, now=2.0)
    assert taken(stalls, narrow, *paths, room=2000) == [small, other]
    assert not stalls.has(narrow, paths, now=2.0)
    assert stalls.has(wide, paths, now=2.0)
    assert taken(stalls, wide, *paths, room=large.data_size - 1) == []
    assert taken(stalls, wide, *paths, room=large.data_size) == [large]


def test_a_stalled_chunk_that_is_done_or_in_the_packet_is_dropped() -> None:
    work, paths, stalls = Work(), pair(), StalledChunks(max_ack_delay=0.0)
    done, twice, wanted = bulk(10), bulk(20), bulk(30)
    work.send(paths[0], done, twice, wanted, now=1.0)
    stalls.handle_timeout(paths, now=2.0)
    done.is_done = True
    draft = Draft(1000, 1000)
    draft.add(twice)
    stalls.take(paths[1], paths, draft, now=2.0)
    assert draft.chunks == [twice, wanted]
    assert draft.room == 950


def test_stalled_chunks_are_bounded() -> None:
    work, paths, stalls = Work(), pair(), StalledChunks(max_ack_delay=0.0)
    work.send(paths[0], *[Chunk(b"x") for _ in range(MAX_COPY_QUEUE + 1)], now=1.0)
    stalls.handle_timeout(paths, now=2.0)
    assert len(stalls._stalled) == MAX_COPY_QUEUE // 2  # pyright: ignore[reportPrivateUsage]


# --- mode adaptive as a whole ---


def test_mode_adaptive_plans_copies_of_what_leaves_for_the_first_time() -> None:
    work, paths = Work(), [lossy(0, 3), lossy(1, 3)]
    scheduler = Adaptive(work.outbox, work.streams.turns, max_ack_delay=0.005)
    assert scheduler.next_timeout(paths=paths, now=1.0) is None
    again, key, download = press(b"again"), press(), bulk()
    again.first_packet = (0, 0)
    scheduler.on_sent([again, download, key], paths[1], paths=paths, now=1.0)
    assert scheduler.has_work_for(paths[0], paths=paths, now=1.0)
    assert scheduler.select(paths[0], 1000, 1000, paths=paths, now=1.0) == [key], "the copy begins where it was not"
    assert scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.0) == []
    at = scheduler.next_timeout(paths=paths, now=1.0)
    assert at == pytest.approx(1.004)
    assert at is not None
    scheduler.handle_timeout(paths=[], now=at)
    scheduler.handle_timeout(paths=paths, now=at)
    assert scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.0) == [key]


def test_mode_adaptive_knows_three_timers() -> None:
    work, paths = Work(), [lossy(0, 3), lossy(1, 3)]
    scheduler = Adaptive(work.outbox, work.streams.turns, max_ack_delay=0.0)
    chunk = bulk()
    work.send(paths[0], chunk, now=1.0)
    assert scheduler.next_timeout(paths=paths, now=1.0) == pytest.approx(1.12), "stalls"
    scheduler.on_sent([bulk()], paths[0], paths=paths, now=1.0)
    assert scheduler.next_timeout(paths=paths, now=1.0) == pytest.approx(1.0 + IDLE_AFTER)
    scheduler.on_sent([press()], paths[0], paths=paths, now=1.0)
    assert scheduler.next_timeout(paths=paths, now=1.0) == pytest.approx(1.004), "copies"
    scheduler.handle_timeout(paths=paths, now=1.13)
    assert chunk in scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.13)


def test_a_metered_path_of_mode_adaptive_carries_copies_alone() -> None:
    work, paths = Work(), pair()
    paths[1].use = PathUse.METERED
    scheduler = Adaptive(work.outbox, work.streams.turns, max_ack_delay=0.0)
    work.control.add(PingFrame())
    work.write(100)
    assert not scheduler.has_work_for(paths[1], paths=paths, now=1.0)
    key = press()
    scheduler.on_sent([key], paths[0], paths=paths, now=1.0)
    assert scheduler.select(paths[1], 1000, 1000, paths=paths, now=1.0) == [key]


def test_mode_adaptive_copies_what_was_lost_as_it_leaves_again() -> None:
    work, paths = Work(), pair()
    work.outbox.note_blocked(paths)
    scheduler = Adaptive(work.outbox, work.streams.turns, max_ack_delay=0.0)
    key = press()
    work.outbox.on_lost(work.send(paths[0], key, now=1.0), paths[0], now=2.0)
    for path in paths:
        assert scheduler.select(path, 1000, 1000, paths=paths, now=2.0) == [key]
    assert not scheduler.has_work_for(paths[0], paths=paths, now=2.0)


def test_mode_adaptive_waits_for_idle_moments_and_for_plans_to_be_made_anew() -> None:
    work, paths = Work(), pair()
    scheduler = Adaptive(work.outbox, work.streams.turns, max_ack_delay=0.0)
    scheduler._copies.watch(press(), paths, now=1.0)  # pyright: ignore[reportPrivateUsage]
    at = paths[0].network.rtt.probe_timeout(0.0)
    assert scheduler.next_timeout(paths=paths, now=1.0) == pytest.approx(1.0 + at)
    scheduler.on_sent([bulk()], paths[0], paths=paths, now=1.0)
    assert not scheduler.has_work_for(paths[1], paths=paths, now=1.0 + IDLE_AFTER)
    assert scheduler.has_work_for(paths[1], paths=paths, now=1.1 + IDLE_AFTER)


def test_mode_adaptive_carries_control_then_losses_then_copies_then_stalls_then_new_data() -> None:
    work, paths = Work(), pair()
    work.outbox.note_blocked(paths)
    scheduler = Adaptive(work.outbox, work.streams.turns, max_ack_delay=0.0)
    lost, stalled, key = bulk(20), bulk(30), press()
    work.send(paths[0], stalled, now=1.0)
    scheduler.handle_timeout(paths=paths, now=2.0)
    work.outbox.on_lost(work.send(paths[0], lost, now=1.0), paths[0], now=2.0)
    scheduler.on_sent([key], paths[0], paths=paths, now=2.0)
    work.control.add(PingFrame())
    work.write(50)
    control = work.outbox.control[0]
    chunks = scheduler.select(paths[1], 1000, 1000, paths=paths, now=2.0)
    assert chunks[:4] == [control, lost, key, stalled]
    assert [chunk.data_size for chunk in chunks[4:]] == [50]
