"""What waits to be sent again, and what becomes of chunks whose packets arrive or are lost."""

import pytest

from outgoing import Work, bulk, framed, measured, press
from tandem_transport.errors import PeerError
from tandem_transport.parameters import MAX_CONTROL_QUEUE
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import PathUse, PingFrame, StreamFrame


def waiting(work: Work, *, room: int = 10_000, full: int = 10_000) -> list[Chunk]:
    """Lost chunks, taken out."""
    chunks: list[Chunk] = []
    left = work.outbox.take_waiting(work.outbox.lost, chunks, room, full)
    assert left == room - sum(len(chunk.frame) for chunk in chunks)
    return chunks


def two_paths(rtt: float = 0.04) -> tuple[Work, Path, Path]:
    work, paths = Work(), (measured(0), measured(1, rtt))
    work.outbox.note_blocked(paths)
    return work, *paths


def test_control_frames_are_bounded() -> None:
    work = Work()
    for _ in range(MAX_CONTROL_QUEUE):
        work.control.add(PingFrame())
    assert len(work.outbox.control) == MAX_CONTROL_QUEUE
    assert work.outbox.control[0].frame == PingFrame().encode()
    with pytest.raises(PeerError, match="PROTOCOL_VIOLATION"):
        work.control.add(PingFrame())


# --- sent, acknowledged ---


def test_a_chunk_knows_its_first_packet_and_copies_are_counted() -> None:
    work, first, second = two_paths()
    chunk = bulk(100)
    packet = work.send(first, chunk, now=1.0)
    assert (chunk.first_packet, chunk.first_sent_at) == ((0, packet.number), 1.0)
    assert (chunk.in_flight, chunk.paths_in_flight, work.outbox.copy_bytes) == (1, first.bit, 0)
    work.send(second, chunk, now=2.0)
    work.send(second, chunk, now=2.0)
    assert (chunk.first_packet, chunk.first_sent_at) == ((0, packet.number), 1.0)
    assert (chunk.in_flight, chunk.paths_in_flight, work.outbox.copy_bytes) == (3, 3, 200)


def test_a_chunk_is_done_when_one_of_its_packets_has_arrived() -> None:
    work, first, second = two_paths()
    work.write(500)
    chunks: list[Chunk] = []
    assert work.outbox.take_new(chunks, 1000, now=1.0) == 1000 - len(chunks[0].frame)
    (chunk,) = chunks
    packets = [work.send(path, chunk, now=1.0) for path in (first, second)]
    assert work.streams.buffered == 500
    work.outbox.on_acked(packets[0])
    assert (chunk.is_done, chunk.frame, chunk.in_flight, work.streams.buffered) == (True, b"", 1, 0)
    work.outbox.on_acked(packets[1])
    assert (chunk.in_flight, work.streams.buffered, work.outbox.rescued) == (0, 0, 0)


def test_all_chunks_of_a_packet_have_arrived() -> None:
    work, first, _ = two_paths()
    done, wanted = bulk(), bulk()
    done.is_done = True
    work.outbox.on_acked(work.send(first, done, wanted, now=1.0))
    assert wanted.is_done


def test_new_data_fills_a_packet_that_is_not_nearly_full() -> None:
    work = Work()
    work.write(3000)
    for room, taken in ((63, 0), (64, 1), (1000, 1)):
        chunks: list[Chunk] = []
        left = work.outbox.take_new(chunks, room, now=1.0)
        assert len(chunks) == taken
        assert left == room - sum(len(chunk.frame) for chunk in chunks) < 64
    work = Work()
    work.write(100)
    work.write(100)
    work.write(100, is_bulk=True)
    chunks = []
    work.outbox.take_new(chunks, 1000, takes_bulk=True, now=1.0)
    assert len(chunks) == 3


# --- lost ---


def test_what_no_other_packet_carries_goes_again() -> None:
    work, first, second = two_paths()
    alone, copied = bulk(), bulk()
    lost = work.send(first, alone, copied, now=1.0)
    work.send(second, copied, now=1.0)
    work.outbox.on_lost(lost, first, now=2.0)
    assert (alone.in_flight, alone.paths_in_flight, alone.losses, alone.first_lost_at) == (0, 0, 1, 2.0)
    assert (copied.in_flight, copied.paths_in_flight, copied.is_queued) == (1, second.bit, False)
    assert work.outbox.has_lost()
    assert waiting(work) == [alone]
    assert not alone.is_queued
    assert not work.outbox.has_lost()


def test_what_somebody_waits_for_needs_two_packets() -> None:
    work, paths = Work(), [measured(path_id) for path_id in range(4)]
    work.outbox.note_blocked(paths)
    chunk = press()
    packets = [work.send(path, chunk, now=1.0) for path in paths]
    for number in (0, 1):
        work.outbox.on_lost(packets[number], paths[number], now=2.0)
    assert not work.outbox.has_lost()
    work.outbox.on_lost(packets[2], paths[2], now=2.0)
    assert waiting(work) == [chunk]
    assert chunk.losses == 3


def test_only_the_first_packet_says_when_a_chunk_was_lost() -> None:
    work, first, second = two_paths()
    chunk = bulk()
    packets = [work.send(path, chunk, now=1.0) for path in (first, second, first)]
    work.outbox.on_lost(packets[1], second, now=2.0)
    work.outbox.on_lost(packets[2], first, now=3.0)
    assert chunk.first_lost_at is None
    work.outbox.on_lost(packets[0], first, now=4.0)
    assert chunk.first_lost_at == 4.0


def test_a_copy_that_arrives_rescues_a_chunk_if_it_left_before_the_loss_was_known() -> None:
    work, first, second = two_paths()
    for sent_at, rescued in ((1.5, 1), (2.0, 1), (2.5, 1)):
        chunk = bulk()
        lost = work.send(first, chunk, now=1.0)
        work.outbox.on_lost(lost, first, now=2.0)
        work.outbox.on_acked(work.send(second, chunk, now=sent_at))
        assert work.outbox.rescued == rescued
    chunk = bulk()
    lost = work.send(first, chunk, now=1.0)
    work.outbox.on_acked(work.send(second, chunk, now=1.0))
    work.outbox.on_lost(lost, first, now=2.0)
    assert work.outbox.rescued == 2, "also where the copy has arrived first"
    other = bulk()
    lost = work.send(first, other, now=1.0)
    work.outbox.on_lost(lost, first, now=2.0)
    work.outbox.on_acked(work.send(second, other, now=1.5))
    assert work.outbox.rescued == 3
    assert not chunk.is_queued


@pytest.mark.parametrize(("rtt", "is_queued"), [(0.08, False), (0.081, True)])
def test_a_copy_on_a_path_twice_as_slow_comes_too_late(rtt: float, *, is_queued: bool) -> None:
    work, first, second = two_paths(rtt)
    chunk = bulk()
    lost = work.send(first, chunk, now=1.0)
    work.send(second, chunk, now=1.0)
    work.outbox.on_lost(lost, first, now=2.0)
    assert chunk.is_queued == is_queued


def test_no_copy_comes_too_late_for_a_path_that_is_in_doubt() -> None:
    work, first, second = two_paths(9.0)
    first.probing.reachability = Reachability.SUSPECT
    chunk = bulk()
    lost = work.send(first, chunk, now=1.0)
    work.send(second, chunk, now=1.0)
    work.outbox.on_lost(lost, first, now=2.0)
    assert not chunk.is_queued


def test_lost_chunks_that_are_not_wanted_any_more_are_dropped() -> None:
    work, first, _ = two_paths()
    chunks = [bulk(), bulk(), bulk()]
    work.outbox.on_lost(work.send(first, *chunks, now=1.0), first, now=2.0)
    work.outbox.on_lost(work.send(first, chunks[0], now=3.0), first, now=4.0)
    assert len(work.outbox.lost) == 3, "each is queued once"
    chunks[0].is_done = True
    assert work.outbox.has_lost()
    assert not chunks[0].is_queued
    assert list(work.outbox.lost) == chunks[1:]
    chunks[2].is_done = True
    assert waiting(work) == [chunks[1]]
    assert not chunks[2].is_queued


def test_what_does_not_fit_waits_for_the_next_packet() -> None:
    work, first, _ = two_paths()
    chunks = [bulk(100), bulk(200), bulk(50)]
    work.outbox.on_lost(work.send(first, *chunks, now=1.0), first, now=2.0)
    assert waiting(work, room=299) == chunks[:1]
    assert waiting(work, room=200) == chunks[1:2]
    assert waiting(work) == chunks[2:]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_lost_chunks_wait_in_the_order_of_their_first_sending(order: tuple[int, ...]) -> None:
    work, first, _ = two_paths()
    chunks = [bulk(), bulk(), bulk()]
    packets = [work.send(first, chunk, now=1.0 + number) for number, chunk in enumerate(chunks)]
    for number in order:
        work.outbox.on_lost(packets[number], first, now=9.0)
    assert waiting(work) == chunks


# --- split ---


@pytest.mark.parametrize("fin", [False, True])
def test_a_chunk_cut_for_a_wide_path_is_split_for_a_narrow_one(*, fin: bool) -> None:
    work, first, _ = two_paths()
    chunk, small = framed(1000, offset=70, fin=fin), bulk(10)
    work.outbox.on_lost(work.send(first, chunk, small, now=1.0), first, now=2.0)
    taken = waiting(work, full=400)
    *pieces, last = taken
    assert last is small
    assert (chunk.is_done, chunk.frame) == (True, b"")
    frames = [decode_frames(piece.frame)[0] for piece in pieces]
    assert all(isinstance(frame, StreamFrame) for frame in frames)
    data = b"".join(frame.data for frame in frames if isinstance(frame, StreamFrame))
    assert data == bytes(number % 251 for number in range(1000))
    assert next(frame.offset for frame in frames if isinstance(frame, StreamFrame)) == 70
    assert [piece.is_fin for piece in pieces] == [*[False] * (len(pieces) - 1), fin]
    assert [frame.fin for frame in frames if isinstance(frame, StreamFrame)] == [piece.is_fin for piece in pieces]
    assert sum(piece.data_size for piece in pieces) == 1000
    assert all(len(piece.frame) <= 400 for piece in pieces)
    assert len(pieces) == 3
    assert all(piece.stream is chunk.stream and not piece.is_interactive for piece in pieces)
    assert all(piece.first_sent_at == 1.0 and not piece.is_queued for piece in pieces)


def test_pieces_wait_at_the_front_and_count_as_queued() -> None:
    work, first, _ = two_paths()
    work.outbox.on_lost(work.send(first, framed(1000), bulk(10), now=1.0), first, now=2.0)
    assert len(waiting(work, room=400, full=400)) == 1
    assert [chunk.is_queued for chunk in work.outbox.lost] == [True] * 3
    assert len(work.outbox.lost[-1].frame) == 10


def test_pieces_of_one_size_end_where_the_chunk_ends() -> None:
    work, first, _ = two_paths()
    chunk = framed(764, fin=True)
    chunk.is_interactive = True
    overhead = len(chunk.frame) - 764
    work.outbox.on_lost(work.send(first, chunk, now=1.0), first, now=2.0)
    pieces = waiting(work, full=382 + overhead + 7)
    assert [(piece.data_size, piece.is_fin, piece.is_interactive) for piece in pieces] == [
        (382, False, True),
        (382, True, True),
    ]


def test_a_chunk_that_fits_an_empty_packet_is_not_split() -> None:
    work, first, _ = two_paths()
    chunk = framed(100)
    work.outbox.on_lost(work.send(first, chunk, now=1.0), first, now=2.0)
    assert waiting(work, room=50, full=len(chunk.frame)) == []
    assert waiting(work, full=len(chunk.frame)) == [chunk]
    control = Chunk(bytes(500))
    work.outbox.control.append(control)
    chunks: list[Chunk] = []
    work.outbox.take_waiting(work.outbox.control, chunks, 1000, 400)
    assert chunks == [control], "a control frame is never split"


# --- paths that carry nothing any more ---


def test_what_only_a_silent_path_carries_goes_elsewhere() -> None:
    work, first, second = two_paths()
    third = measured(2)
    work.outbox.note_blocked((first, second, third))
    alone, copied, dead, done = bulk(), bulk(), bulk(), bulk()
    work.send(first, alone, copied, dead, done, now=1.0)
    work.send(second, copied, now=1.0)
    work.send(third, dead, now=1.0)
    third.probing.reachability = Reachability.SILENT
    done.is_done = True
    work.outbox.move_away_from(first)
    assert waiting(work) == [alone, dead]


def test_a_path_that_becomes_blocked_gives_up_what_it_carries_once() -> None:
    work, first, second = two_paths()
    chunk, other = bulk(), bulk()
    work.send(first, chunk, now=1.0)
    work.send(second, other, now=1.0)
    first.use = PathUse.OFF
    work.outbox.note_blocked((first, second))
    assert first.probing.reachability is Reachability.SILENT
    assert waiting(work) == [chunk]
    work.outbox.note_blocked((first, second))
    assert waiting(work) == []
    first.use = PathUse.AVAILABLE
    work.outbox.note_blocked((first, second))
    first.use = PathUse.OFF
    work.outbox.note_blocked((first, second))
    assert waiting(work) == [chunk]


def test_copies_on_several_paths_may_all_come_too_late() -> None:
    for make_late in (False, True):
        work, paths = Work(), [measured(1), measured(2, 0.2), measured(3, 0.2)]
        if not make_late:
            paths = [measured(1), measured(2), measured(3)]
            paths[1].use = paths[2].use = PathUse.OFF
        work.outbox.note_blocked(paths)
        chunk, alone = bulk(), bulk()
        lost = work.send(paths[0], chunk, now=1.0)
        for path in paths[1:]:
            work.send(path, chunk, now=1.0)
        work.outbox.on_lost(lost, paths[0], now=2.0)
        assert waiting(work) == [chunk]
        work.outbox.on_lost(work.send(paths[0], alone, now=1.0), paths[0], now=2.0)
        assert waiting(work) == [alone]


def test_a_copy_on_the_first_path_of_all_is_in_time() -> None:
    for reachability in (Reachability.ACTIVE, Reachability.SUSPECT):
        work, first, second = two_paths()
        second.probing.reachability = reachability
        chunk = bulk()
        lost = work.send(second, chunk, now=1.0)
        work.send(first, chunk, now=1.0)
        work.outbox.on_lost(lost, second, now=2.0)
        assert not chunk.is_queued
    work = Work()
    chunk = bulk()
    lost = work.send(measured(1), chunk, now=1.0)
    work.send(measured(0), chunk, now=1.0)
    work.outbox.on_lost(lost, measured(1), now=2.0)
    assert not chunk.is_queued


def test_a_copy_on_a_blocked_path_never_arrives() -> None:
    work, first, second = two_paths()
    second.use = PathUse.OFF
    work.outbox.note_blocked((first, second))
    chunk = bulk()
    lost = work.send(first, chunk, now=1.0)
    work.send(second, chunk, now=1.0)
    work.outbox.on_lost(lost, first, now=2.0)
    assert waiting(work) == [chunk]
