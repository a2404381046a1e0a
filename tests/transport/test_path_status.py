"""One path: packets that are too large for it, and what people are told of it."""

import pytest

from one_path import RTT, Congestion, client_path, on_ack, send
from tandem_transport.events import PathStatus
from tandem_transport.parameters import DOWN_AFTER, MIN_DATAGRAM_SIZE
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.path.status import DEAF, LATE, MUTE
from tandem_transport.wire.frames import PathUse
from tandem_transport.wire.packets import OVERHEAD


def too_narrow(path: Path) -> None:
    """A check finds that the path takes the least size only."""
    network = path.network
    path.recovery.last_acked_at = 0.0
    network.mtu.suspect(99, 0.0, now=0.0)
    sizes = list(network.mtu.due_rungs())
    checks = [send(path, size=size, now=1.0)[0] for size in sizes]
    network.mtu.on_check_sent(checks, now=1.0)
    network.mtu.suspected = 99
    for packet in checks:
        if packet.size > MIN_DATAGRAM_SIZE:
            network.mtu.on_lost(packet, now=1.1)
            path.recovery.outstanding_packet(packet.number)


def test_a_path_that_has_become_narrow_gives_up_what_is_larger() -> None:
    path, congestion = client_path()
    (large,) = send(path, now=0.5, size=1000)
    too_narrow(path)
    number = path.recovery.next_number - 2
    small = [packet for packet in path.recovery.outstanding() if packet.size == MIN_DATAGRAM_SIZE]
    assert small
    result = on_ack(path, (small[0].number, small[0].number), now=1.2)
    assert number >= small[0].number
    assert path.network.datagram_size == MIN_DATAGRAM_SIZE
    assert large in result.lost
    assert path.recovery.is_idle
    assert congestion.losses == [], "what was too large says nothing of the rest"


def test_a_full_packet_during_a_check_is_one_that_any_network_takes() -> None:
    path, _ = client_path()
    path.network.mtu.suspect(99, 0.0, now=0.0)
    assert path.network.room == MIN_DATAGRAM_SIZE - OVERHEAD


def test_large_packets_that_stay_unanswered_are_checked() -> None:
    path, _ = client_path()
    network, recovery = path.network, path.recovery
    assert network.late_at(recovery, 0.0) is None
    send(path, size=MIN_DATAGRAM_SIZE, now=0.5)
    assert network.late_at(recovery, 0.0) is None
    send(path, now=0.75)[0].is_mtu_probe = True
    assert network.late_at(recovery, 0.0) is None
    send(path, 2, now=1.0)
    assert network.late_at(recovery, 0.0) == pytest.approx(1.3)
    send(path, now=0.0)
    recovery.reordering.window = 0.5
    network.rtt.on_ack(0, RTT, now=0.0)
    assert network.late_at(recovery, 0.2) == pytest.approx(1.0 + 0.3 + 0.2 + 0.5)
    network.watch_size(recovery, 0.2, now=1.99)
    assert not network.mtu.is_checking
    network.watch_size(recovery, 0.2, now=2.01)
    assert network.mtu.is_checking
    due = network.mtu.due_rungs()
    network.watch_size(recovery, 0.2, now=5.0)
    assert network.mtu.due_rungs() is due


def test_a_path_that_loses_much_is_checked_for_more_than_that() -> None:
    path, _ = client_path()
    for _ in range(50):
        path.network.loss_rate.on_acked(7)
        path.network.loss_rate.on_lost(3)
    send(path, 3, now=1.0)
    path.network.watch_size(path.recovery, 0.0, now=5.0)
    assert not path.network.mtu.is_checking
    send(path, 5, now=1.0)
    path.network.watch_size(path.recovery, 0.0, now=5.0)
    assert path.network.mtu.is_checking


# --- status ---


def judged(path: Path, *, now: float, window: float = 5.0) -> tuple[PathStatus, str]:
    path.update_status(window, now=now)
    path.standing.degraded_until = 0.0
    path.update_status(window, now=now)
    return path.standing.status, path.standing.reason


def working() -> tuple[Path, Congestion]:
    """A path that has answered at second 1.1."""
    path, congestion = client_path()
    send(path, now=1.0)
    on_ack(path, (0, 0), now=1.1)
    path.on_packet_received(0, 100, None, now=1.1)
    return path, congestion


def test_the_status_of_a_path_follows_what_it_does() -> None:
    path, _ = client_path()
    assert judged(path, now=0.0) == (PathStatus.PROBING, "no answer yet")
    send(path, now=1.0)
    on_ack(path, (0, 0), now=1.1)
    assert judged(path, now=1.1) == (PathStatus.PROBING, "no answer yet"), "other paths say so; it was not heard"
    path.on_packet_received(0, 100, None, now=1.1)
    assert judged(path, now=1.1) == (PathStatus.USABLE, "")
    assert not path.update_status(5.0, now=1.2)
    send(path, 4, now=2.0)
    path.probing.reachability = Reachability.SUSPECT
    assert judged(path, now=2.0 + LATE - 0.01)[0] is PathStatus.USABLE
    assert judged(path, now=2.0 + LATE) == (PathStatus.DEGRADED, "an answer is late")
    assert judged(path, now=2.0 + DOWN_AFTER) == (PathStatus.DOWN, "no answer")
    assert path.standing.is_down


def test_a_path_that_was_heard_and_never_answered_is_probing() -> None:
    path, _ = client_path()
    path.on_packet_received(0, 100, None, now=1.1)
    assert judged(path, now=1.1) == (PathStatus.PROBING, "no answer yet")


@pytest.mark.parametrize("packets", [29, 30])
def test_loss_in_either_direction_degrades_a_path_when_there_are_enough_packets(packets: int) -> None:
    path, congestion = working()
    path.counters.on_acked(packets - 11, now=2.0)
    path.counters.on_lost(10, now=2.0)
    assert (judged(path, now=2.0)[1] == "loss over 10%") == (packets == 30)
    congestion.is_policed, congestion.capacity = True, 250_000.0
    assert judged(path, now=2.0) == (PathStatus.USABLE, "drops what exceeds 2 Mbit/s")
    path, _ = working()
    path.counters.on_received(100, packets - 1, now=2.0)
    assert (judged(path, now=2.0)[1] == "loss over 10%") == (packets == 30)


def test_the_capacity_of_a_path_without_a_policer_is_no_limit() -> None:
    path, congestion = working()
    congestion.capacity = 250_000.0
    assert judged(path, now=2.0) == (PathStatus.USABLE, "")


def test_a_slow_path_is_degraded_by_its_queue_where_it_has_one() -> None:
    path, _ = working()
    path.network.rtt.smoothed = 0.4
    assert judged(path, now=1.2) == (PathStatus.DEGRADED, "round trip over 3 x its minimum")
    path.network.queue.queue_delay = 0.2
    assert judged(path, now=1.2)[1] == "round trip over 3 x its minimum", "nothing of ours is in it"
    send(path, 30, now=1.2)
    assert judged(path, now=1.2)[1] == "queue of 200 ms"


def test_a_link_that_cannot_be_used_says_why() -> None:
    path, _ = working()
    path.use = PathUse.OFF
    assert judged(path, now=1.2) == (PathStatus.DOWN, "switched off")
    path.standing.link_error = "wlan0 is gone"
    assert judged(path, now=1.2) == (PathStatus.DOWN, "wlan0 is gone")


def test_a_path_that_was_down_is_usable_when_something_comes_over_it() -> None:
    path, _ = working()
    path.standing.link_error = "gone"
    assert judged(path, now=2.0)[0] is PathStatus.DOWN
    path.standing.link_error = ""
    send(path, now=3.0)
    on_ack(path, (1, 1), now=3.1, own=False)
    assert judged(path, now=3.0 + DOWN_AFTER - 0.01)[0] is PathStatus.USABLE
    path.standing.link_error = "gone"
    judged(path, now=4.0)
    path.standing.link_error = ""
    assert judged(path, now=3.0 + DOWN_AFTER) == (PathStatus.DOWN, "no answer")
    path.on_packet_received(1, 100, None, now=6.0)
    assert judged(path, now=6.0)[0] is PathStatus.USABLE


def test_directions_are_judged_with_the_patience_that_is_given() -> None:
    path, _ = working()
    for tenth in range(40):
        path.on_packet_received(tenth + 1, 100, None, now=1.2 + tenth / 10)
    send(path, 8, now=2.0)
    assert judged(path, now=5.3, window=0.1)[1] == "no answer"
    assert judged(path, now=5.3, window=0.3) == (PathStatus.DEGRADED, MUTE)


def test_only_the_oldest_packets_are_looked_at_for_late_ones() -> None:
    path, _ = client_path()
    send(path, 31, size=MIN_DATAGRAM_SIZE, now=1.0)
    assert path.network.late_at(path.recovery, 0.0) is None
    send(path, 2, now=1.0)
    assert path.network.late_at(path.recovery, 0.0) == pytest.approx(1.3)
    path.network.watch_size(path.recovery, 0.0, now=9.0)
    assert not path.network.mtu.is_checking, "one is the thirty-second, the other beyond"
    path, _ = client_path()
    send(path, 32, size=MIN_DATAGRAM_SIZE, now=1.0)
    send(path, 2, now=1.0)
    assert path.network.late_at(path.recovery, 0.0) is None


def test_the_first_packets_of_a_path_may_be_too_large() -> None:
    path, _ = client_path()
    send(path, 2, now=1.0)
    path.network.watch_size(path.recovery, 0.0, now=1.29)
    assert not path.network.mtu.is_checking
    path.network.watch_size(path.recovery, 0.0, now=1.31)
    assert path.network.mtu.is_checking


def test_a_path_is_mute_when_the_last_of_enough_packets_had_its_time() -> None:
    path, _ = working()
    for tenth in range(40):
        path.on_packet_received(tenth + 1, 100, None, now=1.2 + tenth / 10)
    send(path, 8, now=2.0, gap=0.3)
    assert judged(path, now=4.35)[1] == "no answer"
    assert judged(path, now=4.45)[1] == MUTE


def test_a_path_that_hears_nothing_says_so() -> None:
    path, _ = working()
    path.hearing.is_deaf = True
    assert judged(path, now=1.2) == (PathStatus.DEGRADED, DEAF)


def test_one_loss_alone_makes_no_check() -> None:
    path, _ = client_path()
    path.network.mtu.suspected = 1
    path.network.watch_size(path.recovery, 0.0, now=9.0)
    assert not path.network.mtu.is_checking
    send(path, now=1.0)
    path.network.watch_size(path.recovery, 0.0, now=9.0)
    assert path.network.mtu.is_checking
