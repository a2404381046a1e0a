"""Several workers of one server: each client belongs to one of them, however its packets arrive."""

import random
from collections import Counter
from typing import NamedTuple

import pytest

from simnet.network import CLIENT_KEY, SERVER_KEY, SERVER_PUBLIC
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.client import ClientEndpoint
from tandem_transport.endpoint.limits import ServerTerms
from tandem_transport.endpoint.placement import MAX_SLOTS, Placement, slot_of
from tandem_transport.endpoint.search import ClientIdentity
from tandem_transport.endpoint.server import ServerEndpoint, SessionStarted
from tandem_transport.errors import ErrorCode
from tandem_transport.events import ConnectionTerminated
from tandem_transport.parameters import MAX_EMBRYOS
from tandem_transport.wire.packets import PacketType, split_datagram


class Place(NamedTuple):
    """Where a client's datagram came from."""

    client: int
    path_id: int


class Workers:
    """A server of several workers: each datagram arrives at once, at the worker that the kernel chooses."""

    def __init__(self, count: int, seed: int = 1, keys: tuple[bytes, ...] = (CLIENT_KEY,)) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        known = {public_key(key): f"client {number}" for number, key in enumerate(keys)}
        self.workers = [
            ServerEndpoint(
                SERVER_KEY,
                known.get,
                randomness=self.random.randbytes,
                now=self.now,
                terms=ServerTerms(placement=Placement(slot, count, 0, count)),
            )
            for slot in range(count)
        ]
        self.strays = 0
        self.started: list[tuple[int, bytes]] = []
        """The worker of each session that has begun, and its connection id."""
        self.ended: list[ConnectionTerminated] = []

    def client(
        self, key: bytes = CLIENT_KEY, *, instance_id: bytes = b"", links: int = 2, clock_error: float = 0.0
    ) -> ClientEndpoint:
        identity = ClientIdentity(
            static_private=key,
            server_public=SERVER_PUBLIC,
            randomness=self.random.randbytes,
            wall_clock=lambda: self.now + clock_error + 10_000,
            instance_id=instance_id,
        )
        client = ClientEndpoint(identity, now=self.now)
        for _ in range(links):
            client.add_path(now=self.now)
        return client

    def deliver(self, data: bytes, source: object, *, to: int | None = None) -> None:
        """A datagram arrives at the worker that the kernel chooses, or at another one."""
        slot = slot_of(split_datagram(data)[0].connection_id, len(self.workers)) if to is None else to
        self.workers[slot].receive_datagram(data, source=source, now=self.now)
        while (stray := self.workers[slot].next_stray()) is not None:
            self.strays += 1
            self.workers[stray.slot].receive_stray(stray.data, source=stray.source, now=self.now)

    def run(self, *clients: ClientEndpoint, seconds: float = 1.0) -> None:
        end = self.now + seconds
        while self.now < end:
            for number, client in enumerate(clients):
                if (client.next_timeout() or end) <= self.now:
                    client.handle_timeout(now=self.now)
                for transmit in client.datagrams_to_send(now=self.now):
                    self.deliver(transmit.data, Place(number, transmit.path_id))
            for slot, worker in enumerate(self.workers):
                self._turn(slot, worker, clients)
            self.now += 0.01

    def _turn(self, slot: int, worker: ServerEndpoint, clients: tuple[ClientEndpoint, ...]) -> None:
        if (worker.next_timeout() or self.now + 1) <= self.now:
            worker.handle_timeout(now=self.now)
        while (event := worker.next_event()) is not None:
            if isinstance(event, SessionStarted):
                self.started.append((slot, event.session.connection_id))
            elif isinstance(event.event, ConnectionTerminated):
                self.ended.append(event.event)
        for transmit in worker.datagrams_to_send(now=self.now):
            place = transmit.address
            if isinstance(place, Place) and place.client < len(clients):
                clients[place.client].receive_datagram(place.path_id, transmit.data, now=self.now)


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 16, 100, MAX_SLOTS])
def test_ids_lead_back_to_the_worker_that_has_issued_them(slots: int) -> None:
    ids, randomness = ConnectionIdIssuer(SERVER_KEY), random.Random(1)
    first: Counter[int] = Counter()
    for slot in range(slots):
        place = Placement(slot, slots, 0, slots)
        for _ in range(50):
            made = ids.issue(place.own(randomness.randbytes(8)))
            assert slot_of(made, slots) == slot
            assert ids.is_ours(made)
            first[made[0]] += 1
    assert max(first.values()) <= 50, "as random as it can be"


@pytest.mark.parametrize(("first", "workers"), [(0, 1), (0, 4), (4, 4), (3, 5)])
def test_clients_are_divided_among_the_workers_that_begin_sessions(first: int, workers: int) -> None:
    place = Placement(first, 8, first, workers)
    owners = Counter(place.owner(public_key(bytes([n, 1] * 16))) for n in range(200))
    assert set(owners) == set(range(first, first + workers))
    assert max(owners.values()) < 2.2 * 200 / workers


def test_sessions_begin_at_the_worker_of_their_client_whichever_hears_first() -> None:
    keys = tuple(bytes([number + 1]) * 32 for number in range(24))
    server = Workers(4, keys=keys)
    clients = [server.client(key) for key in keys]
    server.run(*clients, seconds=2)
    assert all(client.connection is not None and client.connection.is_open for client in clients)
    assert len(server.started) == 24, "racing copies of an initiation meet"
    place = Placement(0, 4, 0, 4)
    owners = Counter(place.owner(public_key(key)) for key in keys)
    assert Counter(slot for slot, _ in server.started) == owners
    assert all(slot_of(connection_id, 4) == slot for slot, connection_id in server.started)
    assert server.strays > 5, "the kernel cannot know the client's worker"
    assert not any(worker.counters.unknown_connection for worker in server.workers)


def test_an_initiation_that_is_replayed_to_another_worker_begins_no_session() -> None:
    """Its handshake id is not secret, and whoever knows the server's key could change it; the client's key decides."""
    server = Workers(4)
    client = server.client(links=1)
    client.handle_timeout(now=server.now)
    recorded = [transmit.data for transmit in client.datagrams_to_send(now=server.now)]
    for data in recorded:
        server.deliver(data, Place(0, 0))
    server.run(client)
    assert len(server.started) == 1
    for to in range(4):
        for data in recorded:
            server.deliver(data, "attacker", to=to)
    server.run(client, seconds=3)
    assert len(server.started) == 1
    assert server.ended == []
    assert client.connection is not None
    assert client.connection.is_open


def test_an_old_timestamp_is_challenged_by_the_worker_that_knows_the_newest() -> None:
    server = Workers(3)
    client = server.client(links=1)
    server.run(client)
    owner = server.workers[server.started[0][0]]
    slow = server.client(instance_id=b"another!", links=1, clock_error=-3600.0)
    server.run(client, slow, seconds=3)
    assert owner.counters.challenged == 1
    assert [slot for slot, _ in server.started] == [server.started[0][0]] * 2


def test_one_instance_at_two_workers_at_once_is_seen_by_one_which_replaces_the_first_session() -> None:
    server = Workers(4)
    one = server.client(instance_id=b"instance", links=1)
    other = server.client(instance_id=b"instance", links=1)
    for number, client in enumerate((one, other)):
        client.handle_timeout(now=server.now)
        for transmit in client.datagrams_to_send(now=server.now):
            server.deliver(transmit.data, Place(number, 0), to=number)
    server.run(one, other, seconds=5)
    assert len({slot for slot, _ in server.started}) == 1
    assert ErrorCode.REPLACED in [event.code for event in server.ended]


def test_a_fifth_instance_of_a_key_is_refused_by_all_workers_together() -> None:
    server = Workers(4)
    clients = [server.client(instance_id=bytes([n]) * 8, links=1) for n in range(6)]
    server.run(*clients, seconds=4)
    open_sessions = [session for worker in server.workers for session in worker.sessions if session.connection.is_open]
    assert len(open_sessions) == 4
    assert sum(worker.counters.refused for worker in server.workers) >= 2


@pytest.mark.parametrize("data", [b"", b"\x10", bytes(40), b"\x60" + bytes(60)])
def test_junk_among_the_workers_is_dropped(data: bytes) -> None:
    server = Workers(2)
    server.workers[0].receive_stray(data, source="worker", now=server.now)
    assert list(server.workers[0].datagrams_to_send(now=server.now)) == []


def test_strays_that_nobody_takes_are_bounded() -> None:
    server = Workers(2)
    place = Placement(0, 2, 0, 2)
    for number in range(3 * MAX_EMBRYOS):
        key = number.to_bytes(32, "big")
        if place.owner(public_key(key)) == 0:
            continue
        client = server.client(key, links=1)
        client.handle_timeout(now=server.now)
        for transmit in client.datagrams_to_send(now=server.now):
            assert split_datagram(transmit.data)[0].packet_type is PacketType.INITIATION
            server.workers[0].receive_datagram(transmit.data, source=number, now=server.now)
        server.now += 0.1
    taken = 0
    while server.workers[0].next_stray() is not None:
        taken += 1
    assert taken == MAX_EMBRYOS
