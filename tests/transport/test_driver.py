"""The client's links and the clock that notices sleep, over real sockets on loopback."""

import pytest

from tandem_transport.driver import Link, LocalAddress
from tandem_transport.driver import sleep as sleep_module
from tandem_transport.driver.sleep import SleepWatch
from tandem_transport.driver.sockets import UdpAddress

A, B, V6 = LocalAddress("127.0.0.2", None), LocalAddress("127.0.0.3", None), LocalAddress("::1", None)


class Machine:
    """The addresses that a link finds."""

    def __init__(self, *addresses: LocalAddress) -> None:
        self.addresses = list(addresses)

    def __call__(self) -> list[LocalAddress]:
        if not self.addresses:
            raise OSError(19, "the interface is gone")
        return self.addresses


def ignore(data: bytes, address: UdpAddress) -> None:
    pass


def local(link: Link) -> str:
    return link.sock.local[0] if link.sock is not None else ""


async def test_a_link_keeps_its_socket_while_its_address_is_there() -> None:
    machine = Machine(A)
    link = Link("a", machine, [("127.0.0.1", 9)])
    assert await link.follow(ignore, rotate=False)
    first = link.sock
    machine.addresses = [B, A]  # another one comes, and before it
    assert not await link.follow(ignore, rotate=False)
    assert link.sock is first
    machine.addresses = [B]
    assert await link.follow(ignore, rotate=False)
    assert local(link) == "127.0.0.3"
    link.close()


async def test_an_interface_with_another_number_is_another_interface() -> None:
    machine = Machine(LocalAddress("127.0.0.2", None, 7))
    link = Link("a", machine, [("127.0.0.1", 9)])
    await link.follow(ignore, rotate=False)
    first = link.sock
    machine.addresses = [LocalAddress("127.0.0.2", None, 8)]
    assert await link.follow(ignore, rotate=False)
    assert link.sock is not first
    link.close()


async def test_a_link_without_an_address_has_no_socket_and_says_why() -> None:
    machine = Machine(A)
    link = Link("a", machine, [("127.0.0.1", 9)])
    await link.follow(ignore, rotate=False)
    machine.addresses = []
    with pytest.raises(OSError, match="the interface is gone"):
        await link.follow(ignore, rotate=False)
    link.transmit([b"lost"])
    machine.addresses = [A]
    await link.follow(ignore, rotate=False)
    assert local(link) == "127.0.0.2"
    link.close()


async def test_endpoints_are_tried_in_turn_and_decide_the_family() -> None:
    link = Link("a", Machine(A, V6), [("127.0.0.1", 9), ("::1", 9)])
    await link.follow(ignore, rotate=False)
    assert (local(link), link.remote) == ("127.0.0.2", ("127.0.0.1", 9))
    try:
        await link.follow(ignore, rotate=True)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert local(link) == "::1"
    assert link.remote is not None
    assert link.remote[:2] == ("::1", 9)
    await link.follow(ignore, rotate=True)
    assert local(link) == "127.0.0.2"
    link.close()


async def test_an_endpoint_of_another_family_is_passed_over() -> None:
    link = Link("a", Machine(A), [("::1", 9), ("127.0.0.1", 9)])
    with pytest.raises(OSError, match="family"):
        await link.follow(ignore, rotate=False)
    await link.follow(ignore, rotate=False)
    assert link.remote == ("127.0.0.1", 9)
    link.close()


async def test_a_name_that_cannot_be_resolved_again_keeps_its_address() -> None:
    link = Link("a", Machine(A), [("127.0.0.1", 9)])
    assert not link.has_choice
    await link.follow(ignore, rotate=False)
    link.endpoints = [("no-such-host.invalid", 9)]
    assert link.has_choice
    await link.follow(ignore, rotate=True)
    assert link.remote == ("127.0.0.1", 9)
    link.close()


def test_sleep_is_what_the_clock_on_the_wall_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(sleep_module, "_clock", lambda: now[0])
    watch = SleepWatch()
    now[0] += 1.5
    assert watch.missed(1.0) == 0.0, "a busy machine"
    now[0] += 3601.0
    assert watch.missed(1.0) == 3600.0
    now[0] -= 500.0
    assert watch.missed(1.0) == 0.0, "somebody has set the clock back"
