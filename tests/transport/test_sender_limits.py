"""Packets whose size is in doubt, addresses without credit, and when a sender has more to do."""

import pytest

from one_path import server_path
from outgoing import bulk, congestion_of, measured, press
from sending_end import PING, Sending, lone, sizes
from tandem_transport.parameters import CHECK_EXTRAS, MIN_DATAGRAM_SIZE
from tandem_transport.path.mtu import COMPANION, COMPANION_SIZE
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.wire.packets import OVERHEAD

# --- packet sizes ---


def test_a_size_probe_is_followed_by_a_packet_of_its_own_kind() -> None:
    sending, path = lone()
    path.recovery.last_acked_at = 0.5
    payloads = sending.payloads(path)
    assert sizes(payloads) == [1472, COMPANION_SIZE]
    assert payloads == [PING + bytes(1472 - OVERHEAD - 1), COMPANION]
    assert [packet.is_mtu_probe for packet in path.recovery.outstanding()] == [True, False]
    assert sending.packets() == []


def checked(path: Path, *, extras: bool = True) -> Sending:
    """A path whose packet size is in doubt."""
    sending = Sending(path)
    path.network.mtu.suspect(4, 0.0, now=1.0)
    if not extras:
        path.network.mtu.extras = 0
    return sending


def test_a_check_sends_all_sizes_outside_of_window_and_pacer() -> None:
    path = measured(0)
    congestion_of(path).congestion_window = 0.0
    path.pacer.next_send_at = 100.0
    sending = checked(path)
    payloads = sending.payloads(path)
    assert sizes(payloads) == [size for probe in (1200, 972, 772, 548, 1200) for size in (probe, COMPANION_SIZE)]
    assert all(payload.rstrip(b"\0") in (PING, COMPANION) for payload in payloads)
    assert path.pacer.next_send_at == 100.0
    assert path.network.mtu.due_rungs() == []
    assert [packet.is_mtu_probe for packet in path.recovery.outstanding()] == [True, False] * 5
    assert sending.packets() == []


def test_a_check_sends_again_what_somebody_waits_for_in_a_small_packet() -> None:
    path = measured(0)
    sending = checked(path, extras=False)
    congestion_of(path).congestion_window = 0.0
    key, other, done, download = press(bytes(100)), press(bytes(200)), press(), bulk(50)
    large, small = press(bytes(MIN_DATAGRAM_SIZE)), press(bytes(7))
    done.is_done = True
    sending.work.send(path, small, now=0.5, size=MIN_DATAGRAM_SIZE)
    sending.work.send(path, key, done, download, large, now=0.5, size=1000)
    sending.work.send(path, key, other, now=0.5, size=1000)
    payloads = sending.payloads(path)
    assert payloads[-1] == key.frame + other.frame
    fits = press(bytes(MIN_DATAGRAM_SIZE - OVERHEAD - 300))
    path = measured(0)
    sending = checked(path, extras=False)
    congestion_of(path).congestion_window = 0.0
    sending.work.send(path, key, other, fits, small, now=0.5, size=1000)
    assert sizes(sending.payloads(path))[-1] == MIN_DATAGRAM_SIZE


def test_a_check_lets_new_data_leave_that_somebody_waits_for() -> None:
    path = measured(0)
    sending = checked(path)
    congestion_of(path).congestion_window = 0.0
    sending.work.write(100_000, is_bulk=True)
    sending.work.write(12_000)
    payloads = sending.payloads(path)[10:]
    assert len(payloads) == CHECK_EXTRAS
    assert all(size <= MIN_DATAGRAM_SIZE for size in sizes(payloads))
    assert path.network.mtu.extras == 0
    assert sending.payloads(path) == []


def test_a_check_lets_no_bulk_data_leave() -> None:
    path = measured(0)
    sending = checked(path)
    congestion_of(path).congestion_window = 0.0
    sending.work.write(100_000, is_bulk=True)
    assert len(sending.payloads(path)) == 10
    assert path.network.mtu.extras == CHECK_EXTRAS


def test_at_an_address_without_proof_a_check_needs_credit_for_all_of_it() -> None:
    rungs = (1200, 972, 772, 548, 1200)
    needed = sum(rungs) + len(rungs) * COMPANION_SIZE
    for credit, count in ((needed, 10), (needed - 1, 0)):
        path = server_path()
        path.on_packet_received(0, (credit + 2) // 3, "home", now=1.0)
        path.addresses.take_waiting()
        surplus = path.addresses.allowance - credit
        path.addresses.on_sent(int(surplus), "home")
        path.received.on_ack_sent()
        sending = checked(path, extras=False)
        assert len(sending.packets()) == count


# --- when again ---


def test_a_path_whose_window_is_full_waits_for_an_acknowledgement() -> None:
    sending, path = lone()
    sending.work.write(60_000, is_bulk=True)
    congestion_of(path).congestion_window = 3000.0
    congestion_of(path).pacing_rate = 1e9
    path.pacer.next_send_at = 0.9995
    sent = sending.payloads(path)
    assert len(sent) == 2
    assert not path.delivery_rate.is_app_limited
    late_at = path.network.late_at(path.recovery, 0.0)
    assert sending.sender.wake_at(sending.paths, now=1.0) == late_at
    assert late_at is not None
    assert sending.sender.wake_at(sending.paths, now=late_at) is None


def test_the_earliest_of_all_paths_counts() -> None:
    sending = Sending()
    first, second = sending.paths
    first.datagram_frames.append(b"\x01")
    second.datagram_frames.append(b"\x01")
    first.pacer.next_send_at, second.pacer.next_send_at = 9.0, 8.0
    assert sending.sender.wake_at(sending.paths, now=1.0) == 8.0
    first.pacer.next_send_at = 7.0
    assert sending.sender.wake_at(sending.paths, now=1.0) == 7.0


def test_the_schedulers_timer_counts_and_fires() -> None:
    sending = Sending()
    first, second = sending.paths
    chunk = Chunk(b"\x01")
    sending.work.send(first, chunk, now=1.0, size=100)
    at = sending.sender.wake_at(sending.paths, now=1.0)
    assert at == pytest.approx(1.12), "a stall"
    assert at is not None
    sending.sender.handle_timeout(sending.paths, now=at + 0.001)
    assert sending.payloads(second, now=at + 0.001) == [b"\x01"]


def test_silent_paths_carry_nothing_while_others_work() -> None:
    sending = Sending()
    first, second = sending.paths
    first.probing.reachability = Reachability.SILENT
    sending.work.write(9000, is_bulk=True)
    assert {path_id for path_id, _ in sending.packets()} == {second.path_id}


def test_an_address_without_credit_is_the_senders_limit() -> None:
    path = server_path()
    path.on_packet_received(0, 100, "home", now=1.0)
    sending = Sending(path)
    sending.work.write(9000)
    assert not path.delivery_rate.is_app_limited
    sending.packets()
    assert path.delivery_rate.is_app_limited


def test_a_path_whose_window_is_full_hides_no_other() -> None:
    sending = Sending(measured(0), measured(1, 0.05))
    first, second = sending.paths
    congestion_of(first).congestion_window = 0.0
    second.datagram_frames.append(b"\x01")
    second.pacer.next_send_at = 9.0
    assert sending.sender.wake_at(sending.paths, now=1.0) == 9.0


def test_an_idle_moment_is_looked_for_with_and_without_news() -> None:
    sending = Sending(measured(0), measured(1))
    first, second = sending.paths
    chunk = bulk()
    sending.sender._scheduler.on_sent([chunk], first, paths=sending.paths, now=1.0)  # pyright: ignore[reportPrivateUsage]
    sending.work.send(first, chunk, now=1.0, size=100)
    second.on_packet_received(0, 100, None, now=2.0)
    second.received.on_ack_eliciting(has_gap=False, now=2.0)
    assert sending.payloads(second, now=2.0) == []
    assert sending.sender.wake_at(sending.paths, now=2.001) is not None
    (payload, *_) = sending.payloads(second, now=2.002)
    assert payload.endswith(chunk.frame)


def in_check(credit: int) -> Sending:
    """An address without proof that has so much credit beyond what a check of the packet size takes."""
    needed = sum((1200, 972, 772, 548, 1200)) + 5 * COMPANION_SIZE + credit
    path = server_path()
    path.on_packet_received(0, (needed + 2) // 3, "home", now=1.0)
    path.addresses.take_waiting()
    path.addresses.on_sent(int(path.addresses.allowance) - needed, "home")
    path.received.on_ack_sent()
    return checked(path)


@pytest.mark.parametrize(("credit", "count"), [(500, 10), (MIN_DATAGRAM_SIZE, 11)])
def test_what_leaves_beside_a_check_needs_credit_too(credit: int, count: int) -> None:
    sending = in_check(credit)
    sending.work.write(12_000)
    assert len(sending.packets()) == count
    sending = in_check(credit)
    path = sending.paths[0]
    path.network.mtu.extras = 0
    packet = sending.work.send(path, press(), now=0.5, size=1000)
    path.addresses.on_sent(-packet.size, "home")
    assert len(sending.packets()) == count
