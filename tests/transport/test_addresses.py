"""Addresses of a path, as a server sees them: credit, challenges, proof, and the way back home."""

from collections.abc import Hashable
from random import Random

import pytest

from tandem_transport.parameters import AMPLIFICATION_LIMIT
from tandem_transport.path.addresses import PathAddresses
from tandem_transport.wire.frames import PathChallengeFrame

HOME, AWAY, THIRD = ("home", 1), ("away", 1), ("third", 1)


def host_of(address: Hashable) -> Hashable:
    return str(address).split(",")[0]


class Server:
    """A path's addresses, and the challenges that were sent to each."""

    def __init__(self) -> None:
        self.addresses = PathAddresses(is_fixed=False, randomness=Random(1).randbytes, host_of=host_of)
        self.challenges: dict[Hashable, bytes] = {}

    def receive(self, source: Hashable, *, now: float, size: int = 100, is_newest: bool = True) -> list[Hashable]:
        """A packet; returns the addresses that are challenged for it."""
        self.addresses.on_received(source, size, is_newest=is_newest, now=now)
        return self.taken()

    def repeat_challenges(self, *, now: float) -> list[Hashable]:
        self.addresses.repeat_challenges(now=now)
        return self.taken()

    def taken(self) -> list[Hashable]:
        """Where challenges are sent to now."""
        assert self.addresses.has_waiting or not self.addresses.take_waiting()
        sent = self.addresses.take_waiting()
        assert not self.addresses.has_waiting
        for item in sent:
            self.challenges[item.address] = item.frame
        return [item.address for item in sent]

    def answer(self, source: Hashable) -> bool:
        """The peer at an address answers the newest challenge that was sent there."""
        frame = self.challenges[source]
        data = frame[-8:]
        assert PathChallengeFrame(data).encode() == frame
        return self.addresses.on_response(data)

    def prove(self, source: Hashable, *, now: float) -> bool:
        self.receive(source, now=now)
        return self.answer(source)


def test_a_client_has_one_address_that_needs_no_proof() -> None:
    addresses = PathAddresses(is_fixed=True, randomness=bytes, host_of=host_of)
    addresses.on_received(AWAY, 100, is_newest=True, now=1.0)
    assert (addresses.current, addresses.is_doubted, addresses.allowance) == (None, False, float("inf"))
    assert addresses.may_send(1 << 30)
    assert not addresses.may_send(1, to=AWAY)
    assert addresses.next_timeout() is None


def test_before_anything_was_heard_nothing_may_be_sent() -> None:
    server = Server()
    assert (server.addresses.current, server.addresses.is_doubted, server.addresses.allowance) == (None, True, 0)
    assert not server.addresses.may_send(1)
    assert server.addresses.may_send(0)
    assert server.addresses.next_timeout() is None
    assert server.repeat_challenges(now=100.0) == []


def test_an_address_gets_three_times_what_came_from_it_until_it_has_answered() -> None:
    server = Server()
    assert server.receive(HOME, now=1.0) == [HOME]
    addresses = server.addresses
    assert (addresses.current, addresses.is_doubted) == (HOME, True)
    assert addresses.allowance == AMPLIFICATION_LIMIT * 100
    server.receive(HOME, now=1.0, size=10)
    server.receive(HOME, now=1.0, size=1, is_newest=False)
    assert addresses.allowance == AMPLIFICATION_LIMIT * 111
    addresses.on_sent(30, HOME)
    addresses.on_sent(3, HOME)
    addresses.on_sent(1000, AWAY)
    assert addresses.allowance == AMPLIFICATION_LIMIT * 100
    assert addresses.may_send(300)
    assert not addresses.may_send(301)
    assert addresses.may_send(300, to=HOME)
    assert not addresses.may_send(301, to=HOME)
    assert not server.answer(HOME), "the first network is no other network"
    assert (addresses.is_doubted, addresses.allowance) == (False, float("inf"))
    assert addresses.may_send(1 << 30, to=HOME)
    addresses.on_sent(1 << 30, HOME)
    assert addresses.next_timeout() is None


def test_a_response_counts_once_and_nobody_else_can_give_it() -> None:
    server = Server()
    server.receive(HOME, now=1.0)
    assert not server.addresses.on_response(b"x" * 8)
    assert server.addresses.is_doubted
    server.answer(HOME)
    server.receive(AWAY, now=2.0)
    server.answer(HOME)
    assert server.addresses.current == HOME
    assert not server.addresses.is_doubted


def test_a_challenge_is_repeated_quickly_at_first() -> None:
    server = Server()
    server.receive(HOME, now=1.0)
    first, now, waits = server.challenges[HOME], 1.0, list[float]()
    for _ in range(12):
        at = server.addresses.next_timeout()
        assert at is not None
        assert server.repeat_challenges(now=at - 0.001) == []
        assert server.repeat_challenges(now=at) == [HOME]
        waits.append(at - now)
        now = at
    assert waits == pytest.approx([0.1, 0.2, 0.4, *[0.5] * 9])
    assert server.challenges[HOME] == first, "whichever answer comes counts"


def test_a_late_packet_from_elsewhere_changes_nothing() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    assert server.receive(AWAY, now=2.0, is_newest=False) == []
    assert server.addresses.current == HOME
    assert not server.addresses.may_send(1, to=AWAY)


def test_the_newest_packet_moves_the_path_and_both_addresses_are_asked() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    assert server.receive(AWAY, now=2.0) == [HOME, AWAY]
    addresses = server.addresses
    assert (addresses.current, addresses.is_doubted, addresses.allowance) == (AWAY, True, 300)
    assert addresses.may_send(1 << 30, to=HOME)
    assert addresses.next_timeout() == pytest.approx(2.1)
    assert server.repeat_challenges(now=2.11) == [AWAY, HOME]
    assert server.answer(AWAY), "another network"
    assert (addresses.current, addresses.is_doubted) == (AWAY, False)
    assert addresses.next_timeout() is None
    assert not addresses.may_send(1, to=HOME), "who is at the old address now has to prove it anew"
    assert not server.answer(HOME), "what it was asked before is history"
    assert addresses.current == AWAY


def test_another_port_of_the_same_host_is_no_other_network() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    assert not server.prove(("home", 2), now=2.0)
    assert server.prove(AWAY, now=3.0)
    assert not server.prove(("away", 2), now=4.0)
    assert server.prove(HOME, now=5.0)


def test_who_answers_from_home_has_not_moved_and_the_next_stranger_is_asked_first() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    server.receive(AWAY, now=2.0)
    assert not server.answer(HOME)
    addresses = server.addresses
    assert (addresses.current, addresses.is_doubted) == (HOME, False)
    assert server.receive(AWAY, now=2.4) == [], "it was challenged half a second ago"
    assert server.receive(AWAY, now=2.5) == [AWAY]
    assert addresses.current == HOME
    assert server.receive(THIRD, now=2.5) == [THIRD]
    assert addresses.current == HOME
    assert server.receive(AWAY, now=3.0) == [AWAY]
    assert server.answer(AWAY)
    assert addresses.current == AWAY
    assert server.receive(THIRD, now=10.0) == [AWAY, THIRD], "it has settled: who comes next is believed at once"
    assert addresses.current == THIRD


def test_an_answer_from_where_the_peer_is_no_longer_moves_nothing() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    server.receive(AWAY, now=2.0)
    server.receive(HOME, now=2.1)
    assert not server.answer(AWAY)
    assert server.addresses.current == AWAY
    assert server.addresses.is_doubted


def test_a_path_moves_to_strangers_twice_a_second_at_most() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    server.receive(AWAY, now=2.0)
    assert server.receive(THIRD, now=2.25) == [THIRD]
    assert server.addresses.current == AWAY
    assert server.receive(THIRD, now=2.5) == [THIRD]
    assert server.addresses.current == THIRD
    assert server.receive(AWAY, now=2.625) == [AWAY]
    assert server.receive(AWAY, now=2.75) == []


def test_the_last_proven_address_is_asked_six_times() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    asked = server.receive(AWAY, now=2.0)
    for tenth in range(100):
        asked += server.repeat_challenges(now=2.0 + tenth / 10)
    assert asked.count(HOME) == 6
    assert asked.count(AWAY) > 10
    server.answer(HOME)
    server.receive(THIRD, now=50.0)
    assert server.taken() == []
    server.answer(THIRD)
    asked = server.receive(AWAY, now=60.0)
    for tenth in range(100):
        asked += server.repeat_challenges(now=60.0 + tenth / 10)
    assert asked.count(THIRD) == 6


def test_what_is_remembered_of_strangers_is_bounded_and_what_is_in_use_is_kept() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    server.receive(AWAY, now=2.0)
    strangers = [("stranger", port) for port in range(20)]
    for stranger in strangers:
        server.addresses.on_received(stranger, 100, is_newest=True, now=2.1)
    remembered = [stranger for stranger in strangers if server.addresses.may_send(1, to=stranger)]
    assert remembered == strangers[-9:], "eight, and the newest"
    assert server.addresses.may_send(1, to=HOME)
    assert server.addresses.may_send(1, to=AWAY)
    assert server.taken() == remembered, "who is forgotten is not challenged"


def test_credit_begins_anew_for_an_address_that_is_left() -> None:
    server = Server()
    server.prove(HOME, now=1.0)
    server.receive(AWAY, now=2.0)
    server.answer(AWAY)
    server.receive(HOME, now=2.25, size=10)
    assert server.addresses.may_send(30, to=HOME)
    assert not server.addresses.may_send(31, to=HOME)
