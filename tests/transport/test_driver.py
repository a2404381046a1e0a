"""The client's links and the clock that notices sleep, over real sockets on loopback."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from tandem_transport.driver import Link, LocalAddress, sockets
from tandem_transport.driver import sleep as sleep_module
from tandem_transport.driver.batches import batches, equal_runs
from tandem_transport.driver.deferral import Deferrable
from tandem_transport.driver.names import Names
from tandem_transport.driver.search import Step
from tandem_transport.driver.sleep import SleepWatch
from tandem_transport.driver.sockets import UdpAddress, UdpSocket, all_unread
from tandem_transport.wire.packets import Transmit

A, B, V6 = LocalAddress("127.0.0.2", None), LocalAddress("127.0.0.3", None), LocalAddress("::1", None)


class Machine:
    """The addresses that a link finds."""

    def __init__(self, *addresses: LocalAddress) -> None:
        self.addresses = list(addresses)

    def __call__(self) -> list[LocalAddress]:
        if not self.addresses:
            raise OSError(19, "the interface is gone")
        return self.addresses


def ignore(batch: Sequence[bytes], address: UdpAddress) -> None:
    pass


def local(link: Link) -> str:
    return link.sock.local[0] if link.sock is not None else ""


async def test_a_link_keeps_its_socket_while_its_address_is_there() -> None:
    machine = Machine(A)
    link = Link("a", machine, [("127.0.0.1", 9)])
    assert await link.follow(ignore)
    first = link.sock
    machine.addresses = [B, A]  # another one comes, and before it
    assert not await link.follow(ignore)
    assert link.sock is first
    machine.addresses = [B]
    assert await link.follow(ignore)
    assert local(link) == "127.0.0.3"
    link.close()


async def test_an_interface_with_another_number_is_another_interface() -> None:
    machine = Machine(LocalAddress("127.0.0.2", None, 7))
    link = Link("a", machine, [("127.0.0.1", 9)])
    await link.follow(ignore)
    first = link.sock
    machine.addresses = [LocalAddress("127.0.0.2", None, 8)]
    assert await link.follow(ignore)
    assert link.sock is not first
    link.close()


async def test_a_link_without_an_address_has_no_socket_and_says_why() -> None:
    machine = Machine(A)
    link = Link("a", machine, [("127.0.0.1", 9)])
    await link.follow(ignore)
    machine.addresses = []
    with pytest.raises(OSError, match="the interface is gone"):
        await link.follow(ignore)
    link.transmit([b"lost"])
    machine.addresses = [A]
    await link.follow(ignore)
    assert local(link) == "127.0.0.2"
    link.close()


async def test_endpoints_are_tried_in_turn_and_decide_the_family() -> None:
    link = Link("a", Machine(A, V6), [("127.0.0.1", 9), ("::1", 9)])
    await link.follow(ignore)
    assert (local(link), link.remote) == ("127.0.0.2", ("127.0.0.1", 9))
    try:
        await link.follow(ignore, Step.ROTATE)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert local(link) == "::1"
    assert link.remote is not None
    assert link.remote[:2] == ("::1", 9)
    await link.follow(ignore, Step.ROTATE)
    assert local(link) == "127.0.0.2"
    link.close()


async def test_an_endpoint_of_another_family_is_passed_over() -> None:
    link = Link("a", Machine(A), [("::1", 9), ("127.0.0.1", 9)])
    await link.follow(ignore)
    assert link.remote == ("127.0.0.1", 9)
    link.close()
    link = Link("a", Machine(A), [("::1", 9)])
    with pytest.raises(OSError, match="family"):
        await link.follow(ignore)
    link.close()


async def test_a_name_that_cannot_be_resolved_again_keeps_its_address() -> None:
    asked: list[str] = []

    async def look_up(host: str) -> list[UdpAddress]:
        asked.append(host)
        if len(asked) > 1:
            raise OSError(-2, "Name or service not known")
        return [("127.0.0.1", 0)]

    link = Link("a", Machine(A), [("server.example", 9)], names=Names(look_up))
    await link.follow(ignore)
    await link.follow(ignore, Step.ROTATE)
    assert len(asked) == 2
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


# --- many datagrams in one system call ---


def test_runs_of_one_size_with_a_shorter_last_one() -> None:
    batch = [bytes(size) for size in (1200, 1200, 1200, 400, 400, 1200, 1472, 1472)]
    runs = [[len(data) for data in run] for run in equal_runs(batch)]
    assert runs == [[1200, 1200, 1200, 400], [400], [1200], [1472, 1472]]


def test_a_run_is_as_long_as_the_kernel_takes() -> None:
    assert [len(run) for run in equal_runs([bytes(100)] * 150)] == [64, 64, 22]
    assert all(sum(map(len, run)) <= 65_000 for run in equal_runs([bytes(1472)] * 100))


def test_what_goes_to_one_place_in_a_row_goes_together() -> None:
    transmits = [Transmit(0, b"a", 1), Transmit(0, b"b", 1), Transmit(1, b"c", 1), Transmit(0, b"d", 2)]
    found = [(first.path_id, first.address, batch) for first, batch in batches(transmits)]
    assert found == [(0, 1, [b"a", b"b"]), (1, 1, [b"c"]), (0, 2, [b"d"])]
    assert list(batches([])) == []


def _has_none(_: socket.socket) -> bool:
    return False


@pytest.mark.parametrize("has_offload", [True, False])
@pytest.mark.parametrize("loop_tells", [True, False])
async def test_a_batch_arrives_whole_and_in_order(
    has_offload: bool, loop_tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With merged datagrams where Linux has them, without where it has not, and however the loop receives them: the
    bytes are the same."""
    monkeypatch.setattr(sockets, "_LOOP_TELLS", loop_tells)
    if not has_offload:
        monkeypatch.setattr(sockets, "_enable_offload", _has_none)
    near, far = await UdpSocket.open("127.0.0.1", 0), await UdpSocket.open("127.0.0.1", 0)
    received = bytearray()
    sent = [bytes([number]) * 1200 for number in range(100)] + [b"end"]
    done = asyncio.Event()

    def handle(batch: Sequence[bytes], _: UdpAddress) -> None:
        received.extend(b"".join(batch))
        if received.endswith(b"end"):
            done.set()

    task = asyncio.create_task(far.receive(handle))
    try:
        assert near.send_batch(sent, far.local)
        async with asyncio.timeout(30):
            await done.wait()
    finally:
        near.close()
        far.close()
        await asyncio.gather(task, return_exceptions=True)
    assert bytes(received) == b"".join(sent)


@pytest.mark.parametrize("loop_tells", [True, False])
async def test_what_arrives_together_is_handed_on_by_source_in_its_order(
    loop_tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_LOOP_TELLS", loop_tells)
    far = await UdpSocket.open("127.0.0.1", 0)
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for number, data in zip([0, 0, 1, 0], [b"a", b"bb", b"c", b"d"], strict=True):
        senders[number].sendto(data, far.local)
    names = {sender.getsockname()[1]: number for number, sender in enumerate(senders)}
    received: list[tuple[int, list[bytes]]] = []
    done = asyncio.Event()

    def handle(batch: Sequence[bytes], source: UdpAddress) -> None:
        received.append((names[source[1]], list(batch)))
        if batch[-1] == b"d":
            done.set()

    task = asyncio.create_task(far.receive(handle))
    async with asyncio.timeout(30):
        await done.wait()
    far.close()
    for sender in senders:
        sender.close()
    await asyncio.gather(task, return_exceptions=True)
    if loop_tells:
        assert received == [(0, [b"a", b"bb"]), (1, [b"c"]), (0, [b"d"])]
    each = [(number, data) for number, batch in received for data in batch]
    assert each == [(0, b"a"), (0, b"bb"), (1, b"c"), (0, b"d")]


async def test_an_error_of_ours_costs_what_came_with_it_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    far = await UdpSocket.open("127.0.0.1", 0)
    received: list[bytes] = []
    done = asyncio.Event()

    def handle(batch: Sequence[bytes], source: UdpAddress) -> None:
        if batch[0] == b"bad":
            raise ValueError
        received.extend(batch)
        done.set()

    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sender, data in zip(senders, (b"bad", b"good"), strict=True):
        sender.sendto(data, far.local)
    task = asyncio.create_task(far.receive(handle))
    async with asyncio.timeout(30):
        await done.wait()
    for sender in senders:
        sender.close()
    far.close()
    await asyncio.gather(task, return_exceptions=True)
    assert received == [b"good"]
    assert [record.message.partition(": ")[2][:14] for record in caplog.records] == ["datagrams from"]


async def test_what_the_kernel_dropped_unread_is_counted() -> None:
    first, second = await UdpSocket.open("127.0.0.1", 0), await UdpSocket.open("127.0.0.1", 0)
    if first.unread is None:
        pytest.skip("this kernel does not tell")
    assert all_unread([first, second]) == 0
    sent, received, is_read = 20_000, 0, asyncio.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(sent):
            sender.sendto(bytes(1000), first.local)

    def count(batch: Sequence[bytes], address: UdpAddress) -> None:
        nonlocal received
        received += len(batch)
        if received == sent - dropped:
            is_read.set()

    dropped = first.unread
    assert dropped > 0
    reading = asyncio.create_task(first.receive(count))
    async with asyncio.timeout(60):
        await is_read.wait()
    assert all_unread([first, second]) == dropped
    assert second.unread == 0
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    for sock in (first, second):
        sock.close()
    assert all_unread([first]) == 0, "a closed socket counts no more"


async def test_a_datagram_that_is_too_large_costs_no_other() -> None:
    near, far = await UdpSocket.open("127.0.0.1", 0), await UdpSocket.open("127.0.0.1", 0)
    received: list[bytes] = []
    done = asyncio.Event()

    def handle(batch: Sequence[bytes], _: UdpAddress) -> None:
        received.extend(batch)
        done.set()

    task = asyncio.create_task(far.receive(handle))
    try:
        assert not near.send_batch([bytes(70_000), b"small"], far.local)
        assert near.dropped == 1
        assert near.error == ""
        async with asyncio.timeout(30):
            await done.wait()
    finally:
        near.close()
        far.close()
        await asyncio.gather(task, return_exceptions=True)
    assert received == [b"small"]


# --- sockets that are read later ---


async def test_a_deferred_socket_is_read_when_told_to_until_it_is_watched_again() -> None:
    far = await UdpSocket.open("127.0.0.1", 0)
    received: list[bytes] = []
    offered: asyncio.Queue[int] = asyncio.Queue()

    def defer(sock: Deferrable, size: int) -> bool:
        assert sock is far
        offered.put_nowait(size)
        return True

    task = asyncio.create_task(far.receive(lambda batch, _: received.extend(batch), defer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        async with asyncio.timeout(30):
            for number in range(3):
                sender.sendto(b"watched", far.local)
                assert await offered.get() == 1024, "what a small datagram takes of the kernel's buffer"
                sender.sendto(b"deferred%d" % number, far.local)
                await asyncio.sleep(0.01)
                assert received[-1] == b"watched", "nobody watches it"
                assert far.read_now() == 1024
                assert received[-1] == b"deferred%d" % number
                assert far.read_now() == 0
                far.watch()
        sender.sendto(b"too late", far.local)
    far.close()
    assert far.read_now() == 0
    far.watch()
    await asyncio.gather(task, return_exceptions=True)
    assert received[-1] == b"deferred2"
