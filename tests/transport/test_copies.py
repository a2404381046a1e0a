"""Copies of interactive data: how many are planned, when they are due, and what they may cost."""

import pytest

from outgoing import congestion_of, lossy, measured, press
from tandem_transport.parameters import (
    COPY_BUDGET,
    COPY_SHARE,
    COPY_SPACING,
    INITIAL_PTO,
    MAX_COPIES,
    MAX_COPY_QUEUE,
    REPLAN_GROWTH,
    REPLAN_STEPS,
    TINY_LEVEL,
)
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.copies import CopyPlanner
from tandem_transport.streams.send import SendStream

ACK_DELAY = 0.005


def planner(*, max_copies: int = MAX_COPIES) -> CopyPlanner:
    return CopyPlanner(max_copies=max_copies, max_ack_delay=ACK_DELAY)


def due(plans: CopyPlanner, path: Path, *, room: int = 1000) -> list[Chunk]:
    chunks: list[Chunk] = []
    left = plans.take(path, chunks, room)
    assert left == room - sum(len(chunk.frame) for chunk in chunks)
    return chunks


def loud(level: int) -> Chunk:
    """Of a stream that has said so much lately."""
    stream = SendStream(0, 1 << 30)
    stream.level(now=1.0)
    stream.write(bytes(level), end_stream=False)
    while stream.unsent:
        stream.cut(1 << 20, 1 << 20, is_interactive=True)
    return Chunk(b"text", stream)


def copies_planned(chunk: Chunk, *paths: Path, plans: CopyPlanner | None = None) -> list[tuple[float, int]]:
    """When each copy is due after the first packet, in milliseconds, and on which path."""
    plans = plans or planner()
    plans.plan(chunk, paths, now=1.0)
    found: list[tuple[float, int]] = []
    for turn in range(10):
        plans.handle_timeout(paths, now=1.0 + turn * COPY_SPACING + 1e-9)
        found += [(turn * COPY_SPACING * 1000, path.path_id) for path in paths for _ in due(plans, path)]
    return found


# --- how many ---


def test_copies_go_round_the_paths_four_milliseconds_apart() -> None:
    paths = [lossy(0, 3), lossy(1, 3)]
    assert copies_planned(press(), *paths) == [(0, 1), (4, 0), (4, 1), (8, 0)]


def test_each_path_carries_one_at_least() -> None:
    paths = [lossy(path_id, 0) for path_id in range(7)]
    assert [path_id for _, path_id in copies_planned(press(), *paths)] == [1, 2, 3, 4, 5, 6]
    assert copies_planned(press(), measured(0), plans=planner(max_copies=1)) == []


def test_as_many_copies_as_make_a_loss_unlikely() -> None:
    # 0.1 ** 3 is not sure enough by a hair, or just
    (only,) = (lossy(0, 1),)
    sure = 0
    while only.network.loss_rate.value**sure > 0.001:
        sure += 1
    assert len(copies_planned(press(), only)) == sure - 1
    assert len(copies_planned(press(), lossy(0, 9))) == MAX_COPIES - 1


def test_copies_on_a_path_twice_as_slow_do_not_count() -> None:
    assert len(copies_planned(press(), lossy(0, 2), lossy(1, 2, rtt=0.08))) == 4
    fast = [path_id for _, path_id in copies_planned(press(), lossy(0, 1, rtt=0.04), lossy(1, 1, rtt=0.081))]
    even = [path_id for _, path_id in copies_planned(press(), lossy(0, 1, rtt=0.04), lossy(1, 1, rtt=0.080))]
    assert len(fast) > len(even)


def test_a_path_that_has_not_answered_counts_as_a_slow_one() -> None:
    unknown = measured(0, 0.0)
    for _ in range(200):
        unknown.network.loss_rate.on_acked(9)
        unknown.network.loss_rate.on_lost(1)
    quick = lossy(1, 1, rtt=INITIAL_PTO / 2)
    slow = lossy(1, 1, rtt=INITIAL_PTO / 2 - 0.01)
    assert len(copies_planned(press(), quick, unknown)) < len(copies_planned(press(), slow, unknown))
    assert len(copies_planned(press(), unknown)) > 1


@pytest.mark.parametrize(("level", "copies"), [(TINY_LEVEL, 4), (TINY_LEVEL + 1, 1)])
def test_a_stream_that_says_more_than_a_key_press_is_copied_once_on_each_path(level: int, copies: int) -> None:
    assert len(copies_planned(loud(level), lossy(0, 3), lossy(1, 3))) == copies


# --- when ---


def test_a_copy_is_taken_when_it_is_due_and_fits() -> None:
    plans, paths = planner(), [measured(0), measured(1)]
    first, second = press(bytes(60)), press(bytes(50))
    for chunk in (first, second):
        plans.plan(chunk, paths, now=1.0)
    assert not plans.has_due(paths[0])
    assert plans.has_due(paths[1])
    assert due(plans, paths[1], room=59) == []
    assert due(plans, paths[1], room=109) == [first]
    assert due(plans, paths[1], room=50) == [second]
    assert not plans.has_due(paths[1])


def test_a_copy_that_helps_nobody_is_dropped() -> None:
    plans, path = planner(), measured(0)
    done, large, twice, wanted = press(), press(bytes(path.network.room + 1)), press(), press()
    done.is_done = True
    for chunk in (done, large, twice, wanted):
        plans.add_now(chunk, path)
    chunks = [twice]
    assert plans.take(path, chunks, 1000) == 1000 - len(wanted.frame)
    assert chunks == [twice, wanted]
    for chunk in (done, large):
        plans.add_now(chunk, path)
    assert not plans.has_due(path)
    largest = press(bytes(path.network.room))
    plans.add_now(largest, path)
    assert plans.has_due(path)
    assert due(plans, path, room=2000) == [largest]


def test_queues_are_bounded() -> None:
    plans, path = planner(), measured(0)
    for _ in range(MAX_COPY_QUEUE + 5):
        plans.add_now(press(b""), path)
        plans.watch(press(b""), [path], now=1.0)
    assert len(plans._due[0]) == MAX_COPY_QUEUE  # pyright: ignore[reportPrivateUsage]
    assert len(plans._again) == MAX_COPY_QUEUE  # pyright: ignore[reportPrivateUsage]


def test_a_later_copy_has_a_time_and_goes_elsewhere_where_its_path_is_gone() -> None:
    plans, paths = planner(), [lossy(0, 3), lossy(1, 3)]
    chunk = press()
    plans.plan(chunk, paths, now=1.0)
    assert plans.next_timeout(paths) == pytest.approx(1.0 + COPY_SPACING)
    plans.handle_timeout(paths, now=1.0 + COPY_SPACING - 0.001)
    assert due(plans, paths[0]) == []
    due(plans, paths[1])
    plans.handle_timeout(paths[:1], now=1.0 + COPY_SPACING)
    assert due(plans, paths[1]) == []
    assert due(plans, paths[0]) == [chunk]
    chunk.is_done = True
    assert plans.next_timeout(paths) is None
    plans.handle_timeout(paths, now=9.0)
    assert not plans.has_due(paths[0])


# --- again ---


def test_plans_are_made_anew_ever_more_slowly() -> None:
    plans, path = planner(max_copies=1), measured(0)
    chunk, now, waits = press(), 1.0, list[float]()
    wait = path.network.rtt.probe_timeout(ACK_DELAY)
    plans.plan(chunk, [path], now=now)
    for _ in range(6):
        at = plans.next_timeout([path])
        assert at is not None
        plans.handle_timeout([path], now=at - 0.0001)
        assert due(plans, path) == []
        plans.handle_timeout([path], now=at)
        assert due(plans, path) == [chunk]
        waits.append(at - now)
        now = at
    growth = [min(step, REPLAN_STEPS) for step in range(6)]
    assert waits == pytest.approx([wait * REPLAN_GROWTH**step for step in growth])


def test_the_quickest_path_says_how_long_to_wait() -> None:
    plans, paths = planner(), [measured(0, 0.2), measured(1, 0.04)]
    plans.watch(press(), paths, now=1.0)
    assert plans.next_timeout(paths) == pytest.approx(1.0 + paths[1].network.rtt.probe_timeout(ACK_DELAY))


def test_what_was_acknowledged_is_not_planned_anew() -> None:
    plans, paths = planner(), [measured(0), measured(1)]
    chunk = press()
    plans.watch(chunk, paths, now=1.0)
    chunk.is_done = True
    plans.handle_timeout(paths, now=9.0)
    assert not plans.has_due(paths[0])
    assert plans.next_timeout(paths) is None


def test_while_all_paths_are_silent_nothing_is_planned() -> None:
    plans, paths = planner(), [measured(0), measured(1)]
    chunk = press()
    plans.watch(chunk, paths, now=1.0)
    paths[0].probing.reachability = Reachability.SILENT
    assert plans.next_timeout(paths) is None
    plans.handle_timeout(paths, now=9.0)
    assert not plans.has_due(paths[0])
    assert plans.next_timeout([]) is None
    plans.handle_timeout([], now=9.0)
    paths[0].probing.reachability = Reachability.SUSPECT
    plans.handle_timeout(paths, now=9.0)
    assert due(plans, paths[0]) == due(plans, paths[1]) == [chunk]


# --- budget ---


def test_the_budget_is_refilled_by_a_share_of_what_the_paths_carry() -> None:
    plans, paths = planner(max_copies=1), [measured(0), measured(1)]
    for path in paths:
        congestion_of(path).pacing_rate = 40_000.0
    size = COPY_BUDGET // 4
    for _ in range(5):
        plans.plan(press(bytes(size)), paths, now=0.0)
    assert plans._budget == -size  # pyright: ignore[reportPrivateUsage]
    plans.plan(press(bytes(10)), paths, now=1.0)
    assert plans._budget == -size + COPY_SHARE * 80_000  # pyright: ignore[reportPrivateUsage]
    plans.plan(press(bytes(10)), paths, now=2.0)
    assert plans._budget == -size + 2 * COPY_SHARE * 80_000 - 10  # pyright: ignore[reportPrivateUsage]
    plans.plan(press(bytes(10)), paths, now=1000.0)
    assert plans._budget == COPY_BUDGET - 10, "and no more than that"  # pyright: ignore[reportPrivateUsage]


def test_where_the_budget_is_short_there_is_one_copy_and_where_it_is_overdrawn_none() -> None:
    plans, paths = planner(), [lossy(0, 5), lossy(1, 5)]
    for path in paths:
        congestion_of(path).pacing_rate = 0.0
    large = COPY_BUDGET // 4 + 1
    assert len(copies_planned(press(bytes(900)), *paths, plans=plans)) == 4
    plans.plan(press(bytes(large)), paths, now=1.0)
    assert plans._budget == COPY_BUDGET - 3600 - large  # pyright: ignore[reportPrivateUsage]
    for _ in range(3):
        plans.plan(press(bytes(large)), paths, now=1.0)
    assert plans._budget < 0  # pyright: ignore[reportPrivateUsage]
    before = len(plans._again)  # pyright: ignore[reportPrivateUsage]
    plans.plan(press(), paths, now=1.0)
    assert len(plans._again) == before  # pyright: ignore[reportPrivateUsage]
