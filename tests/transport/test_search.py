"""When a link tries another address or port, in time that is an argument; and which addresses it tries."""

import asyncio
import socket

import pytest

from tandem_transport.driver import names as names_module
from tandem_transport.driver.names import Names
from tandem_transport.driver.search import ESCAPE_AFTER, HOME_AFTER, HOME_AFTER_MAX, HOME_TRIAL, Homing, Search, Step
from tandem_transport.driver.send_errors import SendErrors
from tandem_transport.driver.sockets import UdpAddress
from tandem_transport.driver.targets import Targets, alternating

V4, V6 = socket.AF_INET, socket.AF_INET6


def steps(search: Search, begin: float, end: float) -> list[tuple[float, Step]]:
    """What is done, looking once a second."""
    found: list[tuple[float, Step]] = []
    now = begin
    while now <= end:
        step = search.next_step(now=now)
        if step is not Step.STAY:
            found.append((now - begin, step))
        now += 1.0
    return found


# --- silence ---


def test_a_silent_link_rotates_and_takes_another_port_after_ten_seconds_and_at_every_second_rotation() -> None:
    search = Search()
    search.on_moved(now=95.0)
    search.on_asked(now=99.5)
    assert steps(search, 100.0, 123.0) == [
        (3.0, Step.ROTATE),
        (6.0, Step.ROTATE),
        (9.0, Step.ROTATE),
        (10.0, Step.ESCAPE),  # the address has not had its time yet
        (13.0, Step.ROTATE),
        (16.0, Step.ROTATE_AND_ESCAPE),
        (19.0, Step.ROTATE),
        (22.0, Step.ROTATE_AND_ESCAPE),
    ]


def test_however_rare_its_packets_are_a_silence_counts_from_the_first() -> None:
    search = Search()
    search.on_asked(now=100.0)
    assert not steps(search, 100.0, 102.0)
    search.on_asked(now=115.0)
    assert search.silence(now=116.0) == 16.0


def test_a_link_that_has_asked_nothing_is_not_silent() -> None:
    search = Search()
    assert steps(search, 0.0, 1000.0) == []
    search.on_asked(now=1000.0)
    search.on_answer()
    assert steps(search, 1001.0, 2000.0) == []


def test_an_answer_ends_the_search_and_the_next_silence_has_its_whole_time() -> None:
    search = Search()
    search.on_asked(now=0.0)
    assert steps(search, 0.0, 20.0)
    search.on_answer()
    search.on_asked(now=21.0)
    found = steps(search, 21.0, 21.0 + ESCAPE_AFTER)
    assert [at for at, step in found if step.escapes] == [ESCAPE_AFTER]


def test_a_process_that_stood_still_reads_first_what_has_arrived() -> None:
    search = Search()
    search.on_asked(now=0.0)
    assert search.next_step(now=0.5) is Step.STAY
    assert search.next_step(now=60.0) is Step.STAY
    assert search.next_step(now=61.0) is Step.ESCAPE
    search.restart()
    search.on_asked(now=61.0)
    assert search.next_step(now=100.0) is Step.STAY
    assert search.next_step(now=104.0) is Step.ESCAPE, "a machine that is always late gets no further by waiting"


def test_what_the_server_says_of_its_own_accord_is_no_answer() -> None:
    search = Search()
    assert search.is_answered(unacknowledged=0.5)
    assert not search.is_answered(unacknowledged=3.5)
    found = [search.next_step(unacknowledged=silence, now=silence) for silence in (2.5, 3.5, 4.5, 5.5, 6.5, 8.5, 10.5)]
    assert found[1] is Step.ROTATE
    assert found[-1] is Step.ESCAPE


# --- the way home ---


def test_a_link_goes_home_after_a_minute_and_tries_ever_more_rarely() -> None:
    homing = Homing()
    homing.on_answer(is_home=False, now=0.0)
    assert not homing.is_due(now=HOME_AFTER - 1)
    now, gaps = 0.0, list[float]()
    for _ in range(7):
        last = now
        while not homing.is_due(now=now):
            now += 1.0
            homing.on_answer(is_home=False, now=now)  # all is well where it is
        gaps.append(now - last)
        homing.begin(now=now)
        assert not homing.is_over(now=now + HOME_TRIAL / 2)
        assert homing.is_over(now=now + HOME_TRIAL)
        homing.on_failed(now=now)
    assert gaps == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0]
    assert gaps[-1] == HOME_AFTER_MAX
    homing.begin(now=now)
    homing.on_answer(is_home=True, now=now)
    assert not homing.is_under_way
    assert not homing.is_due(now=now + 10 * HOME_AFTER_MAX)
    homing.on_answer(is_home=False, now=now)
    assert homing.is_due(now=now + HOME_AFTER), "the next time it begins with a minute again"


# --- addresses ---


def test_families_take_turns_and_the_links_first_one_is_first() -> None:
    addresses: list[UdpAddress] = [("192.0.2.1", 1), ("192.0.2.2", 1), ("2001:db8::1", 1, 0, 0), ("192.0.2.1", 1)]
    a, b, c = ("192.0.2.1", 1), ("192.0.2.2", 1), ("2001:db8::1", 1, 0, 0)
    assert alternating(addresses, [V4, V6]) == [a, c, b]
    assert alternating(addresses, [V6, V4, V4]) == [c, a, b]
    assert alternating(addresses, [V6]) == [c]
    assert alternating(addresses, []) == []


class Resolver:
    """Knows some names, and answers when it is told to."""

    def __init__(self, **known: list[UdpAddress]) -> None:
        self.known = {name.replace("_", "."): found for name, found in known.items()}
        self.asked: list[str] = []
        self.is_silent = False
        self.woken = asyncio.Event()

    async def __call__(self, host: str) -> list[UdpAddress]:
        self.asked.append(host)
        if self.is_silent:
            await self.woken.wait()
        if host not in self.known:
            raise OSError(-2, "Name or service not known")
        return self.known[host]


async def test_every_address_of_every_endpoint_has_its_turn() -> None:
    resolver = Resolver(srv_example=[("192.0.2.1", 0), ("192.0.2.2", 0), ("2001:db8::1", 0, 0, 0)])
    names, targets = Names(resolver), Targets([("srv.example", 8120), ("198.51.100.1", 8121)])
    found = [await targets.next([V4, V6], names) for _ in range(5)]
    assert found == [
        ("192.0.2.1", 8120),
        ("2001:db8::1", 8120, 0, 0),
        ("192.0.2.2", 8120),
        ("198.51.100.1", 8121),
        ("192.0.2.1", 8120),
    ]
    resolver.known["srv.example"] = [("203.0.113.9", 0)]
    found = [await targets.next([V4], names) for _ in range(3)]
    assert found[1:] == [("198.51.100.1", 8121), ("203.0.113.9", 8120)], "a name is asked for again each round"


async def test_a_name_that_nobody_knows_does_not_hide_the_next_endpoint() -> None:
    targets = Targets([("typo.example", 8120), ("198.51.100.1", 8121)])
    assert await targets.next([V4], Names(Resolver())) == ("198.51.100.1", 8121)
    with pytest.raises(OSError, match=r"cannot resolve typo.example: Name or service not known"):
        await Targets([("typo.example", 8120)]).next([V4], Names(Resolver()))
    with pytest.raises(OSError, match=r"198.51.100.1 has no address of this link's family"):
        await Targets([("198.51.100.1", 8121)]).next([V6], Names(Resolver()))


async def test_a_name_server_that_does_not_answer_blocks_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "_LOOKUP_TIMEOUT", 0.01)
    resolver = Resolver(srv_example=[("192.0.2.1", 0)])
    resolver.is_silent = True
    names = Names(resolver)
    for _ in range(5):  # each of several links, again and again
        with pytest.raises(OSError, match="no answer from the name server"):
            await names.addresses("srv.example", 8120)
    assert resolver.asked == ["srv.example"], "one look-up, whoever waits for it"
    assert await names.addresses("198.51.100.1", 8121) == [("198.51.100.1", 8121)]
    resolver.woken.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await names.addresses("srv.example", 8120) == [("192.0.2.1", 8120)], "a late answer is an answer"


async def test_the_last_addresses_are_better_than_none() -> None:
    resolver = Resolver(srv_example=[("192.0.2.1", 0)])
    names = Names(resolver)
    await names.addresses("srv.example", 8120)
    resolver.known.clear()
    assert await names.addresses("srv.example", 8121) == [("192.0.2.1", 8121)]


# --- what the system says ---


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_failed_send_among_many_is_no_reason() -> None:
    clock = Clock()
    errors = SendErrors(clock)
    for number in range(100):
        clock.now += 0.5
        if number % 3:
            errors.on_failure(OSError(1, "Operation not permitted"), "x")
        else:
            errors.on_success()
        assert errors.lasting == ""
    clock.now += 3600
    assert errors.lasting == ""


def test_an_error_is_a_reason_where_nothing_was_sent_for_more_than_a_second() -> None:
    clock = Clock()
    errors = SendErrors(clock)
    for _ in range(4):
        errors.on_failure(OSError(101, "Network is unreachable"), "x")
        clock.now += 0.5
    assert errors.lasting == "Network is unreachable"
    errors.on_success()
    assert errors.lasting == ""


def test_an_error_that_comes_and_goes_is_logged_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tandem.udp")
    clock = Clock()
    errors = SendErrors(clock)
    for _ in range(1000):
        errors.on_failure(OSError(1, "Operation not permitted"), "192.0.2.1:9")
        errors.on_success()
        clock.now += 0.125
    assert [record.getMessage() for record in caplog.records] == [
        "192.0.2.1:9: Operation not permitted",
        "192.0.2.1:9: Operation not permitted; 480 more in the last 60 s",
        "192.0.2.1:9: Operation not permitted; 480 more in the last 60 s",
    ]
    clock.now += 3600
    errors.on_failure(OSError(1, "Operation not permitted"), "192.0.2.1:9")
    assert caplog.records[-1].getMessage() == "192.0.2.1:9: Operation not permitted"
