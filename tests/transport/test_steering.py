"""The kernel leads packets to the sockets of a group: real sockets on loopback."""

import random
import socket
from collections.abc import Collection

import pytest

from tandem_transport.driver.sockets import bound_socket
from tandem_transport.driver.steering import can_steer, open_group, steer
from tandem_transport.endpoint.placement import slot_of
from tandem_transport.wire.packets import PacketType

pytestmark = pytest.mark.skipif(not can_steer(), reason="this system cannot lead packets to several processes")


def packet(kind: PacketType, connection_id: bytes) -> bytes:
    return bytes([kind << 4]) + connection_id + bytes(40)


def arrived(group: list[socket.socket], count: int) -> dict[bytes, int]:
    """The connection ids of `count` datagrams, with the place of the socket at which each arrived."""
    found: dict[bytes, int] = {}
    for sock in group:
        sock.setblocking(False)
    total = 0
    for _ in range(10_000):
        for place, sock in enumerate(group):
            try:
                data = sock.recv(2048)
            except BlockingIOError:
                continue
            total += 1
            assert found.setdefault(data[1:17], place) == place, "all copies of one id meet"
        if total == count:
            return found
    raise AssertionError(f"{total} of {count} arrived")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("slots", "first", "workers", "dead"),
    [(1, 0, 1, ()), (4, 0, 4, ()), (6, 3, 3, (0, 2)), (5, 4, 1, (0, 1, 2, 3)), (128, 64, 64, range(64))],
)
def test_packets_arrive_at_the_worker_of_their_id_or_at_one_that_can_answer(
    host: str, slots: int, first: int, workers: int, dead: Collection[int]
) -> None:
    randomness = random.Random(1)
    try:
        group = open_group(host, 0, 1)
    except OSError:
        pytest.skip(f"no {host} here")
    port = group[0].getsockname()[1]
    group[0].close()
    group = open_group(host, port, slots)
    senders = [bound_socket(host, 0) for _ in range(3)]
    try:
        steer(group, first=first, workers=workers, live=set(range(slots)) - set(dead))
        for kind in (PacketType.TRANSPORT, PacketType.INITIATION):
            ids = [randomness.randbytes(16) for _ in range(100)]
            for connection_id in ids:
                for sender in senders:
                    sender.sendto(packet(kind, connection_id), (host, port))
            found = arrived(group, 300)
            assert len(found) == 100
            for connection_id, place in found.items():
                slot = slot_of(connection_id, slots)
                if kind is PacketType.TRANSPORT and slot not in dead:
                    assert place == slot
                else:
                    assert place == first + connection_id[0] % workers
    finally:
        for sock in (*group, *senders):
            sock.close()


def test_a_group_is_not_opened_where_somebody_listens_already() -> None:
    group = open_group("127.0.0.1", 0, 1)
    try:
        with pytest.raises(OSError, match="in use"):
            open_group("127.0.0.1", group[0].getsockname()[1], 2)
    finally:
        group[0].close()
