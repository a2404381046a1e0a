"""One path: another network, another address, what has come, when it may send."""

import pytest

from one_path import RTT, client_path, on_ack, prove, send, server_path
from tandem_transport.parameters import (
    BASE_DATAGRAM_SIZE,
    DOWN_AFTER,
    MAX_DATAGRAM_QUEUE,
    MAX_OUTSTANDING,
    MAX_OWN_FRAMES,
)
from tandem_transport.path.mtu import COMPANION_SIZE
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import PathUse
from tandem_transport.wire.packets import OVERHEAD

# --- the network ---


def test_a_new_path_knows_nothing() -> None:
    path, _ = client_path()
    assert (path.path_id, path.bit, path.use, path.last_received_at) == (3, 8, PathUse.AVAILABLE, None)
    assert (path.network.rtt.smoothed, path.network.datagram_size) == (0.0, BASE_DATAGRAM_SIZE)
    assert not path.network.has_queue(1 << 30)
    assert path.is_urgent is False
    assert path.network.room == BASE_DATAGRAM_SIZE - OVERHEAD


def test_a_queue_is_one_that_is_longer_than_aimed_at_and_still_fed() -> None:
    path, congestion = client_path()
    path.network.queue.queue_delay = congestion.queue_target
    assert not path.network.has_queue(1 << 30)
    path.network.queue.queue_delay = 0.021
    assert not path.network.has_queue(20_000)
    assert path.network.has_queue(20_001)


def test_on_another_network_all_is_measured_anew() -> None:
    path, _ = client_path()
    send(path, 2, now=0.0)
    on_ack(path, (0, 0), now=RTT)
    assert path.network.rtt.smoothed == pytest.approx(RTT)
    before = path.network
    path.forget_network()
    assert path.network is not before
    assert path.recovery.rtt is path.network.rtt
    on_ack(path, (1, 1), now=RTT)
    assert (path.network.rtt.smoothed, path.network.queue.samples) == (0.0, 0), "its packet crossed the other one"
    send(path, now=1.0)
    on_ack(path, (2, 2), now=1.2)
    assert path.network.rtt.smoothed == pytest.approx(0.2)
    assert path.network.queue.samples == 1


def test_another_socket_is_another_network_and_a_new_beginning() -> None:
    path, _ = client_path()
    send(path, 2, now=0.0)
    path.hearing.arrived, path.recovery.pto_count = 5, 2
    path.probing.reachability = Reachability.SILENT
    path.pacer.next_send_at = 100.0
    before = path.network
    path.rebind(now=50.0)
    assert path.network is not before
    assert (path.hearing.asked_at, path.hearing.arrived) == (None, 0)
    assert (path.recovery.pto_count, path.recovery.unanswered) == (0, 0)
    assert (path.probing.reachability, path.pacer.next_send_at) == (Reachability.ACTIVE, 50.0)
    path.pacer.next_send_at = 100.0
    path.rebind(now=60.0)
    assert path.pacer.next_send_at == 100.0, "it was no news"


def test_after_sleep_one_way_delays_begin_anew_and_round_trips_do_not() -> None:
    path, _ = client_path()
    send(path, 2, now=0.0)
    on_ack(path, (0, 0), now=RTT)
    send(path, now=0.5)
    path.hearing.arrived = 5
    path.on_wake()
    assert path.network.rtt.smoothed == pytest.approx(RTT)
    assert path.network.queue.samples == 0
    assert (path.recovery.unanswered, path.hearing.arrived, path.probing.is_due) == (0, 0, True)
    on_ack(path, (2, 2), now=0.6)
    assert path.network.queue.samples == 0
    send(path, now=1.0)
    on_ack(path, (3, 3), now=1.1)
    assert path.network.queue.samples == 1


# --- addresses ---


def test_a_path_that_is_off_or_whose_address_proves_nothing_is_blocked() -> None:
    path, _ = client_path()
    assert not path.is_blocked
    path.use = PathUse.OFF
    assert path.is_blocked
    path = server_path()
    assert path.is_blocked
    path.on_packet_received(0, 10, "home", now=1.0)
    assert path.is_blocked, "30 bytes"
    path.on_packet_received(1, 100, "home", now=1.0)
    assert not path.is_blocked


def test_an_answer_to_a_challenge_sets_a_blocked_path_going() -> None:
    path = server_path()
    path.on_packet_received(0, 10, "home", now=1.0)
    path.probing.reachability = Reachability.SILENT
    path.on_response(b"x" * 8, now=2.0)
    assert path.probing.reachability is Reachability.SILENT
    path.on_response(path.addresses.take_waiting()[0].frame[-8:], now=2.0)
    assert (path.probing.reachability, path.probing.is_due, path.pacer.next_send_at) == (Reachability.ACTIVE, True, 2.0)
    before = path.network
    path.probing.on_sent()
    prove(path, "away", now=3.0)
    assert path.network is not before, "another host is another network"
    assert path.probing.is_due, "what was on its way home may never arrive"


def test_a_first_packet_and_one_from_the_same_address_ask_for_nothing() -> None:
    path = server_path()
    path.on_packet_received(0, 1000, "home", now=1.0)
    path.on_packet_received(1, 1000, "home", now=1.0)
    assert not path.probing.is_due
    path.on_response(path.addresses.take_waiting()[0].frame[-8:], now=1.0)
    assert not path.probing.is_due, "it was not blocked"
    path.on_packet_received(0, 1000, "away", now=2.0)
    assert path.addresses.current == "home", "a late one"
    path.on_packet_received(2, 1000, "away", now=2.0)
    assert path.probing.is_due


# --- policy ---


def test_a_path_that_is_switched_off_forgets_what_waits_and_on_again_is_asked() -> None:
    path, _ = client_path()
    path.own_frames.append(b"once")
    path.datagram_frames.append(b"message")
    path.follow(PathUse.BACKUP, 1000)
    assert (path.use, path.pacer.max_rate, len(path.own_frames), len(path.datagram_frames)) == (
        PathUse.BACKUP,
        1000,
        1,
        1,
    )
    assert not path.probing.is_due
    path.follow(PathUse.OFF, None)
    assert (path.use, path.pacer.max_rate) == (PathUse.OFF, None)
    assert (len(path.own_frames), len(path.datagram_frames)) == (0, 0)
    send(path, now=1.0)
    path.hearing.arrived = 5
    path.follow(PathUse.OFF, None)
    assert (path.probing.is_due, path.hearing.arrived) == (False, 5)
    path.follow(PathUse.AVAILABLE, None)
    assert (path.probing.is_due, path.hearing.arrived, path.recovery.unanswered) == (True, 0, 0)


# --- receiving ---


def test_what_has_come_is_counted_and_a_gap_is_told() -> None:
    path, _ = client_path()
    assert not path.on_packet_received(0, 100, None, now=1.0)
    assert path.on_packet_received(2, 100, None, now=1.5)
    assert not path.on_packet_received(1, 100, None, now=1.5)
    assert (path.last_received_at, path.hearing.heard_at, path.received.received) == (1.5, 1.5, 3)
    assert path.counters.bytes_received == 300
    assert path.counters.received_and_missing(now=1.5) == (3, 0)
    path.on_packet_received(5, 100, None, now=1.5)
    assert path.counters.received_and_missing(now=1.5) == (4, 2)


@pytest.mark.parametrize(("pause", "missing"), [(DOWN_AFTER, 7), (DOWN_AFTER + 0.1, 0)])
def test_what_an_outage_swallowed_is_no_loss(pause: float, missing: int) -> None:
    path, _ = client_path()
    path.on_packet_received(5, 100, None, now=1.0)
    assert path.counters.received_and_missing(now=1.0) == (1, 0)
    path.on_packet_received(13, 100, None, now=1.0 + pause)
    assert path.counters.received_and_missing(now=1.0 + pause) == (2, missing)
    path.on_packet_received(12, 100, None, now=1.0 + pause)
    assert path.counters.received_and_missing(now=1.0 + pause) == (3, max(0, missing - 1))


@pytest.mark.parametrize(
    ("reachability", "pause", "is_due"),
    [
        (Reachability.SILENT, DOWN_AFTER, False),
        (Reachability.SILENT, DOWN_AFTER + 0.1, True),
        (Reachability.SUSPECT, 100.0, False),
    ],
)
def test_a_peer_that_is_back_is_asked_at_once(reachability: Reachability, pause: float, *, is_due: bool) -> None:
    path, _ = client_path()
    path.on_packet_received(0, 100, None, now=1.0)
    path.probing.reachability = reachability
    path.on_packet_received(1, 100, None, now=1.0 + pause)
    assert path.probing.is_due == is_due


def test_a_peer_that_was_never_heard_is_asked_at_once() -> None:
    path, _ = client_path()
    path.probing.reachability = Reachability.SILENT
    path.on_packet_received(0, 100, None, now=1.0)
    assert path.probing.is_due


# --- sending ---


def test_pacer_window_and_memory_say_when_to_send() -> None:
    path, congestion = client_path()
    assert path.may_send(now=0.0)
    path.pacer.next_send_at = 1.0
    assert not path.may_send(now=0.9)
    assert path.may_send(now=1.0)
    path.recovery.bytes_in_flight = int(congestion.congestion_window) - BASE_DATAGRAM_SIZE
    assert path.may_send(now=1.0)
    assert not path.is_window_limited()
    path.recovery.bytes_in_flight += 1
    assert not path.may_send(now=1.0)
    assert path.is_window_limited()


def test_an_address_without_credit_holds_everything_up() -> None:
    path = server_path()
    path.on_packet_received(0, 399, "home", now=0.0)
    assert not path.may_send(now=0.0)
    assert path.is_window_limited()
    path.on_packet_received(1, 1, "home", now=0.0)
    assert path.may_send(now=0.0)
    assert not path.is_window_limited()
    path.on_packet_sent(None, 1, "home", now=0.0)
    assert not path.may_send(now=0.0)
    path.on_response(path.addresses.take_waiting()[0].frame[-8:], now=0.0)
    assert path.may_send(now=0.0)


def test_a_path_with_as_many_packets_as_it_may_remember_sends_no_more() -> None:
    path, _ = client_path()
    send(path, MAX_OUTSTANDING - 1, size=1, now=0.0)
    path.recovery.last_acked_at = 0.0
    assert path.may_send(now=1.0)
    assert path.mtu_probe_size(now=1.0) == 1472
    send(path, now=1.0)
    assert not path.may_send(now=2.0)
    assert path.is_window_limited()
    assert path.mtu_probe_size(now=2.0) is None


def test_larger_packets_are_tried_on_a_path_that_has_answered() -> None:
    path, _ = client_path()
    assert path.mtu_probe_size(now=0.0) is None
    path.recovery.last_acked_at = 0.0
    assert path.mtu_probe_size(now=0.0) == 1472
    path.network.mtu.on_probe_sent(SentPacket(0, 1472, 0.0, []))
    assert path.mtu_probe_size(now=0.0) is None
    path = server_path()
    path.recovery.last_acked_at = 0.0
    path.on_packet_received(0, 981, "home", now=0.0)
    assert path.mtu_probe_size(now=0.0) is None, "the address has credit for less than two"
    path.on_packet_received(1, 1, "home", now=0.0)
    assert path.mtu_probe_size(now=0.0) == 1472


def test_something_is_urgent() -> None:
    path, _ = client_path()
    path.probing.request()
    assert path.is_urgent
    path.probing.on_sent()
    assert not path.is_urgent
    path.own_frames.append(b"x")
    assert path.is_urgent
    path.own_frames.clear()
    path.network.mtu.suspect(99, 0.0, now=0.0)
    assert path.is_urgent
    path = server_path()
    path.on_packet_received(0, 100, "home", now=0.0)
    assert path.is_urgent


def test_packets_are_stamped_paced_and_counted() -> None:
    path, congestion = client_path()
    congestion.is_sending_below_capacity = True
    path.network.datagram_size = 1400
    (packet,) = send(path, now=1.0)
    assert (packet.is_below_capacity, packet.full_size, packet.sent_bytes) == (True, 1400, 1000)
    assert path.counters.bytes_sent == 1000
    assert path.hearing.asked_at == 1.0
    paced = path.pacer.next_send_at
    assert paced == pytest.approx(1.0 - path.pacer.quantum + 0.001)
    path.on_packet_sent(None, 500, path.addresses.current, now=1.0)
    assert (path.pacer.next_send_at, path.counters.bytes_sent) == (paced, 1500)
    (packet,) = send(path, now=1.0)
    assert packet.sent_bytes == 2500, "what is not acknowledged uses the link too"


def test_a_sender_that_is_late_was_the_limit_unless_acknowledgements_were_missing() -> None:
    path, congestion = client_path()
    send(path, now=1.0)
    (late,) = send(path, now=5.0)
    assert late.is_app_limited
    path, congestion = client_path()
    path.pacer.next_send_at = 1.0
    send(path, now=1.0)
    congestion.congestion_window = 0.0
    assert not path.may_send(now=4.0)
    congestion.congestion_window = 100_000.0
    (waited,) = send(path, now=5.0)
    assert not waited.is_app_limited
    (late,) = send(path, now=9.0)
    assert late.is_app_limited


def test_a_rate_is_measured_from_idle_where_the_sender_was_the_limit() -> None:
    path, congestion = client_path()
    for number in range(12):
        path.pacer.next_send_at = float(number)
        send(path, now=float(number))
        on_ack(path, (number, number), now=number + RTT)
    reference = send(path, now=20.0)[0].reference
    assert reference[3] == 20.0, "after a pause"
    assert reference[1] == pytest.approx(20.0 + RTT / 2, abs=0.01), "when it arrives, not when the last one did"
    assert len(congestion.acks) == 12


def test_what_waits_for_one_path_is_bounded() -> None:
    path, _ = client_path()
    for number in range(1000):
        path.own_frames.append(b"%d" % number)
        path.datagram_frames.append(b"%d" % number)
    assert (len(path.own_frames), len(path.datagram_frames)) == (MAX_OWN_FRAMES, MAX_DATAGRAM_QUEUE)
    assert path.own_frames[-1] == path.datagram_frames[-1] == b"999"


def test_a_size_probe_of_the_peer_that_is_missing_is_no_loss() -> None:
    path, _ = client_path()
    path.on_packet_received(0, 100, None, now=1.0)
    path.on_packet_received(2, COMPANION_SIZE, None, now=1.0)
    assert path.counters.received_and_missing(now=1.0) == (2, 0)


def test_a_packet_to_another_address_uses_its_credit() -> None:
    path = server_path()
    prove(path, "home", now=1.0)
    path.on_packet_received(1, 100, "away", now=2.0)
    path.on_packet_sent(None, 100, "away", now=2.0)
    assert path.addresses.allowance == 200
    path.on_response(path.addresses.take_waiting()[0].frame[-8:], now=2.0)
    assert path.addresses.current == "home"
    path.on_packet_sent(None, 50, "away", now=2.0)
    assert path.addresses.may_send(150, to="away")
    assert not path.addresses.may_send(151, to="away")
