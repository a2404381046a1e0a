"""Copies in moments in which nothing else is to be sent."""

import pytest

from outgoing import Work, bulk, congestion_of, measured, pair, taken
from tandem_transport.parameters import (
    GRANULARITY,
    IDLE_AFTER,
    MAX_COPY_QUEUE,
    MAX_IDLE_LOOK,
)
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.sending.idle_copies import IdleCopies
from tandem_transport.sending.sources import Draft
from tandem_transport.wire.frames import PathUse

# --- idle moments ---


def idle_with(*chunks: Chunk, now: float = 1.0) -> tuple[IdleCopies, Work]:
    work = Work()
    source = IdleCopies(work.streams.turns)
    for chunk in chunks:
        source.on_new(chunk, now=now)
    return source, work


def test_in_an_idle_moment_the_oldest_that_is_missing_is_copied() -> None:
    chunks = [bulk(100), bulk(200), bulk(300)]
    (source, _), paths = idle_with(*chunks), pair()
    chunks[1].paths_in_flight = paths[1].bit
    idle_at = 1.0 + IDLE_AFTER
    assert source.next_timeout(paths, now=1.0) == pytest.approx(idle_at)
    assert not source.has(paths[1], paths, now=idle_at - 0.001)
    assert not source.has(paths[1], paths, now=idle_at), "who fills the streams gets a turn first"
    assert source.next_timeout(paths, now=idle_at) == pytest.approx(idle_at + GRANULARITY)
    assert source.has(paths[1], paths, now=idle_at + 0.001)
    assert source.next_timeout(paths, now=idle_at + 0.001) is None, "it is idle, and nothing changes that by itself"
    assert taken(source, paths[1], *paths, room=399, now=2.0) == [chunks[0]]
    assert taken(source, paths[1], *paths, room=400, now=2.0) == [chunks[0], chunks[2]]
    assert taken(source, paths[1], *paths, room=63, now=2.0) == []
    assert taken(source, paths[0], *paths, now=2.0) == chunks


def test_after_the_end_of_a_stream_nobody_takes_breath() -> None:
    chunk = bulk()
    chunk.is_fin = True
    (source, _), paths = idle_with(chunk), pair()
    assert source.next_timeout(paths, now=1.0) == pytest.approx(1.0 + GRANULARITY)
    assert not source.has(paths[0], paths, now=1.0)
    assert source.has(paths[0], paths, now=1.001)


def test_a_packet_with_something_in_it_takes_no_idle_copies() -> None:
    (source, _), paths = idle_with(bulk()), pair()
    source.has(paths[0], paths, now=2.0)
    draft = Draft(1000, 1000)
    draft.add(bulk(5))
    source.take(paths[0], paths, draft, now=3.0)
    assert len(draft.chunks) == 1


def test_while_new_data_waits_nothing_is_idle() -> None:
    (source, work), paths = idle_with(bulk()), pair()
    source.has(paths[0], paths, now=2.0)
    assert source.has(paths[0], paths, now=3.0)
    work.write(100)
    assert not source.has(paths[0], paths, now=3.0)


def test_paths_that_cost_money_are_slow_or_have_a_queue_carry_no_idle_copies() -> None:
    (source, _), paths = idle_with(bulk()), pair(0.04, 0.04)
    source.has(paths[1], paths, now=2.0)
    assert source.has(paths[1], paths, now=3.0)
    paths[1].use = PathUse.METERED
    assert not source.has(paths[1], paths, now=3.0)
    paths[1].use = PathUse.AVAILABLE
    paths[1].network.queue.queue_delay, paths[1].recovery.bytes_in_flight = 0.5, 1_000_000
    assert not source.has(paths[1], paths, now=3.0)
    paths[1].recovery.bytes_in_flight = 0
    assert source.has(paths[1], paths, now=3.0)
    assert not source.has(measured(2, 0.5), paths, now=3.0)


def test_nothing_that_waits_needs_no_timer() -> None:
    (source, _), paths = idle_with(), pair()
    assert source.next_timeout(paths, now=1.0) is None
    assert not source.has(paths[0], paths, now=9.0)
    chunk = bulk()
    source.on_new(chunk, now=1.0)
    for path in paths:
        congestion_of(path).congestion_window = 0.0
    assert source.next_timeout(paths, now=1.0) is None, "no window"
    congestion_of(paths[0]).congestion_window = 1e9
    assert source.next_timeout(paths, now=1.0) is not None


def test_what_is_queued_done_or_too_large_is_no_idle_copy() -> None:
    chunks = [bulk(100), bulk(100), bulk(5000), bulk(50)]
    (source, _), paths = idle_with(*chunks), pair()
    chunks[0].is_done = chunks[1].is_queued = True
    source.has(paths[0], paths, now=2.0)
    assert taken(source, paths[0], *paths, now=3.0) == [chunks[3]]


def test_only_so_many_of_the_oldest_are_looked_at_and_remembered() -> None:
    chunks = [bulk(10) for _ in range(MAX_IDLE_LOOK + 1)]
    (source, _), paths = idle_with(*chunks), pair()
    for chunk in chunks[:-1]:
        chunk.is_queued = True
    source.has(paths[0], paths, now=2.0)
    assert not source.has(paths[0], paths, now=3.0)
    chunks[-2].is_queued = False
    assert source.has(paths[0], paths, now=3.0)
    for chunk in chunks[:5]:
        chunk.is_done = True
    source.on_new(bulk(), now=3.0)
    assert len(source._unacked) == MAX_IDLE_LOOK + 2 - 5  # pyright: ignore[reportPrivateUsage]
    for _ in range(MAX_COPY_QUEUE):
        source.on_new(bulk(1), now=3.0)
    assert len(source._unacked) <= MAX_COPY_QUEUE  # pyright: ignore[reportPrivateUsage]
