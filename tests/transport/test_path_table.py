"""All paths of a session: who begins one, which are preferred, where acknowledgements go, what the policy says."""

from collections.abc import Hashable

import pytest

from tandem_transport.congestion.lc2 import Lc2
from tandem_transport.errors import PeerError
from tandem_transport.parameters import (
    BASE_DATAGRAM_SIZE,
    KEEPALIVE_ACTIVE,
    MAX_ACK_DELAY,
    MAX_DATAGRAM_HEAD,
    MAX_PACKET_NUMBER,
    MAX_PATHS,
)
from tandem_transport.path.order import in_order
from tandem_transport.path.path import Path
from tandem_transport.path.policy import Policy
from tandem_transport.path.probing import Reachability
from tandem_transport.path.table import PathTable
from tandem_transport.path.terms import PathTerms
from tandem_transport.wire.frames import Mode, PathPolicyFrame, PathPreference, PathUse
from tandem_transport.wire.packets import OVERHEAD


def same(address: Hashable) -> Hashable:
    return address


def table(*, paths: int = 0, is_client: bool = False, policy: Policy | None = None) -> PathTable:
    terms = PathTerms(
        is_client=is_client, randomness=bytes, host_of=same, make_congestion=Lc2, epoch=0.0, max_ack_delay=0.5
    )
    made = PathTable(policy or Policy(), terms)
    for path_id in range(paths):
        made.make(path_id, now=1.0)
    return made


def measured(path: Path, rtt: float) -> None:
    path.network.rtt.on_ack(0, rtt, now=1.0)


# --- making ---


def test_the_client_begins_paths_by_sending_on_them() -> None:
    made = table()
    path = made.accept(4, now=7.0)
    assert made.accept(4, now=8.0) is path
    assert (made.by_id, made.all) == ({4: path}, [path])
    assert (path.path_id, path.recovery.last_sent_at, path.max_ack_delay) == (4, 7.0, 0.5)
    made.accept(MAX_PATHS - 1, now=7.0)
    with pytest.raises(PeerError, match="PROTOCOL_VIOLATION"):
        made.accept(MAX_PATHS, now=7.0)


def test_the_server_begins_none() -> None:
    made = table(paths=1, is_client=True)
    assert made.is_client
    assert made.accept(0, now=1.0) is made.all[0]
    with pytest.raises(PeerError):
        made.accept(1, now=1.0)


def test_a_new_path_is_used_as_the_policy_says() -> None:
    policy = Policy()
    policy.take(
        PathPolicyFrame(1, Mode.ADAPTIVE, (PathPreference(1, PathUse.BACKUP, 5000), PathPreference(9, PathUse.OFF, 0)))
    )
    made = table(paths=3, policy=policy)
    assert [(path.use, path.pacer.max_rate) for path in made.all] == [
        (PathUse.AVAILABLE, None),
        (PathUse.BACKUP, 5000),
        (PathUse.AVAILABLE, None),
    ]
    policy.take(PathPolicyFrame(2, Mode.ADAPTIVE, ()))
    policy.apply(made.by_id)
    assert [(path.use, path.pacer.max_rate) for path in made.all] == [(PathUse.AVAILABLE, None)] * 3


# --- order ---


def order(made: PathTable) -> list[int]:
    return [path.path_id for path in in_order(made.all)]


def test_active_paths_come_first_then_the_quicker_ones_then_those_that_have_not_answered() -> None:
    made = table(paths=5)
    for path, rtt in zip(made.all[1:], (0.3, 0.1, 0.05, 1.5), strict=True):
        measured(path, rtt)
    made.all[3].probing.reachability = Reachability.SUSPECT
    assert order(made) == [2, 1, 0, 4, 3]
    assert order(table()) == []


def test_silent_paths_and_backups_are_for_need() -> None:
    made = table(paths=3)
    made.all[0].use = PathUse.OFF
    made.all[1].use = PathUse.BACKUP
    assert order(made) == [2]
    made.all[2].probing.reachability = Reachability.SILENT
    assert order(made) == [1]
    made.all[1].probing.reachability = Reachability.SILENT
    assert order(made) == [2]
    made.all[2].use = PathUse.BACKUP
    measured(made.all[2], 0.1)
    assert order(made) == [2, 1]
    made.all[1].use = made.all[2].use = PathUse.OFF
    assert order(made) == []


def test_two_paths_are_sorted_too() -> None:
    made = table(paths=2)
    measured(made.all[0], 0.2)
    measured(made.all[1], 0.1)
    assert order(made) == [1, 0]


# --- acknowledgements ---


def heard(*, paths: int = 2) -> PathTable:
    made = table(paths=paths)
    for path in made.all:
        path.received.record(0, 100, now=1.0)
    return made


def due(made: PathTable) -> list[float | None]:
    return [path.received.ack_at for path in made.all]


def test_acknowledgements_are_due_on_all_paths() -> None:
    made = heard(paths=3)
    made.schedule_acks(made.all[1], has_gap=False, now=2.0)
    assert due(made) == [2.0 + MAX_ACK_DELAY] * 3
    made.schedule_acks(made.all[1], has_gap=True, now=2.001)
    assert due(made) == [2.0 + MAX_ACK_DELAY, 2.001, 2.0 + MAX_ACK_DELAY]


def test_a_path_whose_ack_is_due_soon_is_not_asked_for_another() -> None:
    made = heard()
    made.all[0].received.ack_at = 2.0 + MAX_ACK_DELAY
    made.all[0].received.has_news = True
    made.schedule_acks(made.all[1], has_gap=False, now=2.0)
    made.all[0].received.has_news = False
    made.schedule_acks(made.all[1], has_gap=False, now=1.0)
    assert made.all[0].received.has_news
    assert made.all[0].received.ack_at == 1.0 + MAX_ACK_DELAY


@pytest.mark.parametrize(
    ("use", "reachability", "is_copied"),
    [
        (PathUse.METERED, Reachability.ACTIVE, False),
        (PathUse.METERED, Reachability.SUSPECT, True),
        (PathUse.BACKUP, Reachability.ACTIVE, False),
        (PathUse.AVAILABLE, Reachability.ACTIVE, True),
    ],
)
def test_a_second_copy_of_an_ack_costs_no_money(use: PathUse, reachability: Reachability, *, is_copied: bool) -> None:
    made = heard(paths=3)
    made.all[1].use = use
    made.all[0].probing.reachability = reachability
    made.schedule_acks(made.all[0], has_gap=False, now=2.0)
    assert (due(made)[1] is not None) == is_copied
    assert due(made)[2] is not None


def test_paths_that_are_silent_or_were_never_heard_carry_no_acks_of_others() -> None:
    made = heard(paths=4)
    made.all[1].probing.reachability = Reachability.SILENT
    made.all[2].probing.reachability = Reachability.SUSPECT
    made.make(4, now=1.0)
    made.schedule_acks(made.all[0], has_gap=False, now=2.0)
    assert [at is not None for at in due(made)] == [True, False, True, True, False]


def test_a_link_that_cannot_send_owes_no_ack_itself() -> None:
    made = heard()
    made.all[0].standing.link_error = "gone"
    made.schedule_acks(made.all[0], has_gap=True, now=2.0)
    assert due(made) == [None, 2.0 + MAX_ACK_DELAY]


@pytest.mark.parametrize(("use", "is_asked"), [(PathUse.AVAILABLE, True), (PathUse.OFF, False)])
def test_a_peer_that_seems_to_miss_answers_is_asked(use: PathUse, *, is_asked: bool) -> None:
    made = heard()
    path = made.all[0]
    path.use = use
    now = path.recovery.last_sent_at + KEEPALIVE_ACTIVE
    made.schedule_acks(path, has_gap=False, now=now)
    assert not path.probing.is_due
    made.schedule_acks(path, has_gap=False, now=now + 0.5)
    assert path.probing.is_due == is_asked


# --- questions ---


def test_messages_go_on_every_path_that_carries_data() -> None:
    made = table(paths=3)
    made.all[1].use = PathUse.BACKUP
    made.queue_datagram_frame(b"frame")
    assert [list(path.datagram_frames) for path in made.all] == [[b"frame"], [], [b"frame"]]


def test_a_message_must_fit_on_every_path_but_for_very_narrow_ones() -> None:
    head = OVERHEAD + MAX_DATAGRAM_HEAD
    made = table()
    assert made.datagram_room == BASE_DATAGRAM_SIZE - head
    made = table(paths=3)
    for path, size in zip(made.all, (1472, 1400, 1300), strict=True):
        path.network.datagram_size = size
    assert made.datagram_room == 1300 - head
    made.all[2].use = PathUse.OFF
    assert made.datagram_room == 1400 - head
    made.all[1].network.datagram_size = 600
    assert made.datagram_room == 1472 - head
    made.all[0].network.datagram_size = 700
    assert made.datagram_room == 600 - head
    made.all[0].network.datagram_size = BASE_DATAGRAM_SIZE
    assert made.datagram_room == BASE_DATAGRAM_SIZE - head


def test_what_is_asked_of_all_paths() -> None:
    made = table()
    assert (made.is_confirmed, made.longest_probe_timeout(), made.rtt) == (False, 0, 0.0)
    assert not made.is_client
    made = table(paths=3)
    made.note_rtt()
    assert made.rtt == 0.0
    measured(made.all[0], 0.2)
    measured(made.all[1], 0.1)
    made.note_rtt()
    assert made.rtt == pytest.approx(0.1)
    measured(made.all[2], 0.05)
    # 3 x 0.2 and the delay of acknowledgements
    assert made.longest_probe_timeout() == pytest.approx(0.6 + 0.5)
    assert not made.is_confirmed
    made.all[1].on_packet_received(0, 100, "home", now=2.0)
    assert made.is_confirmed


def test_another_path_that_is_not_silent_is_an_alternative() -> None:
    made = table(paths=2)
    first, second = made.all
    assert made.has_alternative(first)
    second.probing.reachability = Reachability.SILENT
    assert not made.has_alternative(first)
    assert made.has_alternative(second)
    lone = table(paths=1)
    assert not lone.has_alternative(lone.all[0])


def test_pacers_may_catch_up_as_much_as_turns_are_late() -> None:
    made = table(paths=2)
    made.set_quantum(0.001)
    assert [path.pacer.quantum for path in made.all] == [0.001, 0.001]
    made.all[1].network.queue.queue_delay = 1.0
    made.set_quantum(1.0)
    first, second = (path.pacer.quantum for path in made.all)
    assert second < first < 1.0


def test_a_session_ends_before_packet_numbers_do() -> None:
    made = table(paths=2)
    made.all[1].recovery.next_number = MAX_PACKET_NUMBER >> 1
    assert not made.is_exhausted
    made.all[1].recovery.next_number = MAX_PACKET_NUMBER
    assert made.is_exhausted
