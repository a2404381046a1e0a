"""Packets as they leave: which kinds, on which path, with which frames."""

import pytest

from one_path import prove, server_path
from outgoing import bulk, congestion_of, measured
from sending_end import PING, Sending, lone, sizes
from tandem_transport.parameters import BASE_DATAGRAM_SIZE
from tandem_transport.path.path import Path
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import AckFrame, Mode, PathUse, PingFrame
from tandem_transport.wire.packets import OVERHEAD


def acks(payload: bytes) -> list[AckFrame]:
    return [frame for frame in decode_frames(payload) if isinstance(frame, AckFrame)]


# --- streams ---


def test_nothing_to_say_makes_no_packet() -> None:
    sending, path = lone()
    assert sending.packets() == []
    assert path.delivery_rate.is_app_limited
    assert sending.sender.wake_at(sending.paths, now=1.0) is None
    assert sending.sender.wake_at([], now=1.0) is None


def test_data_leaves_on_the_best_path_as_fast_as_it_may() -> None:
    sending = Sending()
    first, second = sending.paths
    first.pacer.next_send_at = 1.0
    sending.work.write(60_000, is_bulk=True)
    sent = sending.packets()
    assert {path_id for path_id, _ in sent} == {0}
    assert all(size <= BASE_DATAGRAM_SIZE for size in sizes([payload for _, payload in sent]))
    assert first.pacer.next_send_at > 1.0
    assert first.recovery.bytes_in_flight == sum(sizes([payload for _, payload in sent]))
    assert second.recovery.is_idle
    assert sending.sender.wake_at(sending.paths, now=1.0) == pytest.approx(
        max(first.pacer.next_send_at, 1.0 + first.pacer.quantum / 2)
    )
    assert not first.delivery_rate.is_app_limited


def test_a_chunk_alone_is_the_whole_payload_and_is_remembered() -> None:
    sending, path = lone()
    sending.work.control.add(PingFrame())
    chunk = sending.work.outbox.control[0]
    assert sending.payloads(path) == [PING]
    (packet,) = path.recovery.outstanding()
    assert packet.chunks == [chunk]
    assert (packet.sent_at, packet.size, packet.number) == (1.0, OVERHEAD + 1, 0)
    assert (chunk.first_packet, chunk.in_flight, chunk.paths_in_flight) == ((0, 0), 1, path.bit)


def test_in_mode_duplicate_everything_leaves_twice_and_in_mode_adaptive_what_somebody_waits_for() -> None:
    for mode, is_bulk, count in (
        (Mode.DUPLICATE, True, 2),
        (Mode.ADAPTIVE, True, 1),
        (Mode.DUPLICATE, False, 2),
        (Mode.ADAPTIVE, False, 2),
    ):
        sending = Sending(mode=mode)
        sending.work.write(9000 if is_bulk else 500, is_bulk=is_bulk)
        by_path = {path_id for path_id, _ in sending.packets()}
        assert len(by_path) == count, (mode, is_bulk)


def test_the_mode_may_change_while_data_is_on_its_way() -> None:
    sending = Sending(mode=Mode.ADAPTIVE)
    sending.work.write(500)
    sending.packets()
    before = sending.sender._scheduler  # pyright: ignore[reportPrivateUsage]
    sending.packets()
    assert sending.sender._scheduler is before  # pyright: ignore[reportPrivateUsage]
    sending.policy.choose(Mode.DUPLICATE, ())
    sending.work.write(20_000, is_bulk=True)
    assert {path_id for path_id, _ in sending.packets(now=2.0)} == {0, 1}
    after = sending.sender._scheduler  # pyright: ignore[reportPrivateUsage]
    sending.packets(now=3.0)
    assert sending.sender._scheduler is after  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("other", "size"), [(1300, 1300), (1472, 1400), (1199, 1400)])
def test_new_packets_fit_every_path_but_very_narrow_ones(other: int, size: int) -> None:
    sending = Sending()
    first, second = sending.paths
    first.network.datagram_size, second.network.datagram_size = 1400, other
    sending.work.write(20_000, is_bulk=True)
    assert max(sizes(sending.payloads(first))) == pytest.approx(size, abs=2)


# --- acknowledgements ---


def owes_ack(path: Path, number: int) -> None:
    """A packet has come that asks for an acknowledgement."""
    path.on_packet_received(number, 100, None, now=1.0)
    path.received.on_ack_eliciting(has_gap=False, now=1.0)


def test_an_acknowledgement_travels_with_data() -> None:
    sending = Sending()
    first, second = sending.paths
    owes_ack(first, 0)
    owes_ack(second, 1)
    assert sending.packets() == [], "it has its time"
    sending.work.write(5000, is_bulk=True)
    payloads = sending.payloads(first)
    assert [frame.path_id for frame in acks(payloads[0])] == [0, 1]
    assert all(acks(payload) == [] for payload in payloads[1:])
    assert not first.received.has_news
    assert second.received.has_news
    assert sizes(payloads)[0] <= BASE_DATAGRAM_SIZE


def test_an_acknowledgement_that_is_due_travels_alone_with_its_own_path_first() -> None:
    sending = Sending()
    first, second = sending.paths
    owes_ack(first, 0)
    owes_ack(second, 1)
    first.received.ack_at = None
    at = second.received.ack_at
    assert at is not None
    assert sending.packets(now=at - 0.0001) == []
    ((path_id, payload),) = sending.packets(now=at)
    assert path_id == 1
    assert [frame.path_id for frame in acks(payload)] == [1, 0]
    assert (second.received.has_news, second.received.ack_at) == (False, None)
    assert (second.recovery.is_idle, second.recovery.next_number) == (True, 1)
    assert second.counters.bytes_sent == len(payload) + OVERHEAD
    second.received.ack_at = 1.0
    second.standing.link_error = "gone"
    assert sending.packets(now=2.0) == []


def test_a_large_acknowledgement_travels_alone() -> None:
    sending = Sending()
    first, second = sending.paths
    for path in (first, second):
        for number in range(0, 400, 2):
            path.on_packet_received(number << 20, 100, None, now=1.0)
        path.received.on_ack_eliciting(has_gap=False, now=1.0)
    alone = len(first.received.encode_ack(0, now=1.0))
    room = BASE_DATAGRAM_SIZE - OVERHEAD
    assert alone < room - 300 < 2 * alone or 2 * alone < room - 300
    sending.work.write(9000, is_bulk=True)
    payloads = sending.payloads(first)
    assert bool(acks(payloads[0])) == (2 * alone <= room - 300)


def test_what_was_acknowledged_is_not_acknowledged_with_each_packet() -> None:
    sending, path = lone()
    owes_ack(path, 0)
    sending.work.write(500)
    (payload,) = sending.payloads(path)
    assert acks(payload)
    sending.work.write(500)
    (payload,) = sending.payloads(path, now=1.1)
    assert not acks(payload)


def test_a_packet_with_acknowledgements_is_no_larger_than_the_path_takes() -> None:
    sending, path = lone()
    owes_ack(path, 0)
    chunk = bulk(BASE_DATAGRAM_SIZE - OVERHEAD)
    sending.work.outbox.on_lost(sending.work.send(path, chunk, now=0.9), path, now=1.0)
    assert max(sizes(sending.payloads(path))) == BASE_DATAGRAM_SIZE


@pytest.mark.parametrize(("paths", "is_beside"), [(5, True), (6, False)])
def test_acknowledgements_leave_room_for_data_beside_them(paths: int, *, is_beside: bool) -> None:
    sending = Sending(*(measured(path_id, 0.04 if path_id == 0 else 0.5) for path_id in range(paths)))
    for path in sending.paths:
        for number in range(0, 80, 2):
            path.on_packet_received(number << 14, 100, None, now=1.0)
    total = sum(len(path.received.encode_ack(path.path_id, now=1.0)) for path in sending.paths)
    room = BASE_DATAGRAM_SIZE - OVERHEAD
    assert room - 300 - 200 < total < room + 300
    assert (total <= room - 300) == is_beside
    first = sending.paths[0]
    first.received.has_news = True
    sending.work.write(9000, is_bulk=True)
    assert bool(acks(sending.payloads(first)[0])) == is_beside


def test_acknowledgements_of_many_paths_travel_in_as_few_packets_as_hold_them() -> None:
    paths = [measured(path_id) for path_id in range(9)]
    sending = Sending(*paths)
    for path in paths:
        for number in range(0, 100, 2):
            path.on_packet_received(number << 14, 100, None, now=1.0)
    paths[4].received.ack_at = 1.0
    payloads = sending.payloads(paths[4])
    assert [frame.path_id for payload in payloads for frame in acks(payload)] == [4, 0, 1, 2, 3, 5, 6, 7, 8]
    assert len(payloads) > 1
    room, each = BASE_DATAGRAM_SIZE - OVERHEAD, max(len(path.received.encode_ack(8, now=1.0)) for path in paths)
    assert all(room - each < len(payload) <= room for payload in payloads[:-1])


def test_an_acknowledgement_needs_credit_at_an_address_that_is_not_proven() -> None:
    path = server_path()
    path.on_packet_received(0, 10, "home", now=1.0)
    path.received.ack_at = 1.0
    sending = Sending(path)
    path.addresses.take_waiting()
    assert sending.packets() == []
    path.on_packet_received(1, 100, "home", now=1.0)
    path.received.ack_at = 1.0
    assert len(sending.packets()) == 1


# --- urgent packets ---


def test_a_probe_is_a_full_packet_at_first_then_a_ping_with_the_oldest_data() -> None:
    sending, path = lone()
    congestion_of(path).congestion_window = 0.0
    path.pacer.next_send_at = 100.0
    path.probing.request()
    assert sending.payloads(path) == [PING + bytes(BASE_DATAGRAM_SIZE - OVERHEAD - 1)]
    assert sending.packets() == [], "once"
    path.probing.request()
    assert sending.payloads(path) == [PING]
    done, oldest, newer = bulk(10), bulk(20), bulk(30)
    sending.work.send(path, done, now=0.0)
    sending.work.send(path, done, oldest, now=0.0)
    sending.work.send(path, newer, now=0.0)
    done.is_done = True
    path.probing.request()
    assert sending.payloads(path) == [PING + oldest.frame]
    assert oldest.in_flight == 2


def test_a_probe_carries_no_data_that_does_not_fit_beside_the_ping() -> None:
    sending, path = lone()
    path.probing.on_full_sent()
    room = BASE_DATAGRAM_SIZE - OVERHEAD - 1
    large, fitting = bulk(room + 1), bulk(room)
    sending.work.send(path, large, now=0.0)
    path.probing.request()
    assert sending.payloads(path)[0] == PING
    sending.work.send(path, fitting, now=0.0)
    path.probing.request()
    assert len(sending.payloads(path, now=2.0)[0]) == room + 1


def test_a_path_that_is_off_sends_nothing_urgent() -> None:
    sending, path = lone()
    path.probing.request()
    path.use = PathUse.OFF
    assert sending.packets() == []
    path.use = PathUse.AVAILABLE
    assert len(sending.packets()) == 1


def test_frames_for_one_path_leave_together_and_at_once() -> None:
    sending, path = lone()
    path.pacer.next_send_at = 100.0
    room = BASE_DATAGRAM_SIZE - OVERHEAD
    frames = [bytes([1]) * 600, bytes([1]) * (room - 600), bytes([1]) * 5, bytes([1]) * (room + 1), bytes([1]) * 7]
    path.own_frames.extend(frames)
    assert sending.payloads(path) == [frames[0] + frames[1], frames[2], frames[4]]
    assert not path.own_frames


def test_a_challenge_goes_to_the_address_that_is_asked_if_it_has_credit() -> None:
    path = server_path()
    path.on_packet_received(0, 100, "home", now=1.0)
    path.on_response(path.addresses.take_waiting()[0].frame[-8:], now=1.0)
    path.received.on_ack_sent()
    path.probing.on_sent()
    path.on_packet_received(1, 100, "away", now=2.0)
    path.probing.on_sent()
    sending = Sending(path)
    sent = sending.sender.packets(sending.paths, now=2.0)
    assert [transmit.address for transmit in sent] == ["home", "away"]
    assert path.addresses.allowance == 300 - len(sent[1].data)
    path = server_path()
    path.on_packet_received(0, 12, "home", now=1.0)
    assert Sending(path).packets() == [], "36 bytes"
    path.probing.request()
    path.own_frames.append(PING)
    path.addresses.on_received("home", 2, is_newest=True, now=1.0)
    path.addresses.take_waiting()
    assert Sending(path).packets() == [], "42 bytes"
    path.addresses.on_received("home", 1, is_newest=True, now=1.0)
    assert len(Sending(path).packets()) == 1, "45 bytes"
    assert list(path.own_frames) == [PING], "it waits for credit"


def test_home_is_asked_though_the_new_address_has_no_credit() -> None:
    path = server_path()
    prove(path, "home", now=1.0)
    path.received.on_ack_sent()
    path.on_packet_received(1, 10, "away", now=2.0)
    path.probing.on_sent()
    sending = Sending(path)
    assert [transmit.address for transmit in sending.sender.packets(sending.paths, now=2.0)] == ["home"]


def test_packets_go_to_the_current_address() -> None:
    path = server_path()
    path.on_packet_received(0, 1000, "home", now=1.0)
    path.addresses.take_waiting()
    path.received.ack_at = 1.0
    sending = Sending(path)
    (acknowledgement,) = sending.sender.packets(sending.paths, now=1.0)
    assert acknowledgement.address == "home"
    assert path.addresses.allowance == 3000 - len(acknowledgement.data)
    path.probing.request()
    (probe,) = sending.sender.packets(sending.paths, now=1.0)
    assert probe.address == "home"


# --- DATAGRAM frames ---


def test_datagram_frames_go_ahead_of_streams_while_the_path_may_send() -> None:
    sending, path = lone()
    room = BASE_DATAGRAM_SIZE - OVERHEAD
    frames = [bytes([1]) * (room - 10), bytes([1]) * 10, bytes([1]) * (room + 1), bytes([1]) * 9]
    path.datagram_frames.extend(frames)
    sending.work.write(9000, is_bulk=True)
    payloads = sending.payloads(path)
    assert payloads[:2] == [frames[0] + frames[1], frames[3]]
    assert len(payloads) > 2


def test_datagram_frames_wait_for_the_pacer() -> None:
    sending, path = lone()
    path.datagram_frames.append(b"\x01")
    path.pacer.next_send_at = 100.0
    assert sending.payloads(path) == []
    assert len(path.datagram_frames) == 1
    assert sending.sender.wake_at(sending.paths, now=50.0) == 100.0
