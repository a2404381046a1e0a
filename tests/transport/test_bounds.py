"""What may grow is bounded, whatever readers and senders do (DESIGN: streams and memory)."""

from dataclasses import replace
from functools import partial

import psutil
import pytest

from simnet import Network, mbit, size_of
from tandem.impair.impairment import Impairment
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.client import ClientEndpoint
from tandem_transport.parameters import MAX_SESSIONS, MAX_STREAMS, OUTAGE_TIMEOUT, SERVER_BUFFER, SESSION_BUFFER
from tandem_transport.wire.transport_parameters import TransportParameters

LINK = Impairment(delay=0.020, rate=mbit(100), queue=0.1)
MB = 1 << 20


def resident() -> int:
    return psutil.Process().memory_info().rss


def push_without_end(network: Network, stream_ids: list[int], *, from_server: bool) -> None:
    """Senders that write whenever there is room, and never stop."""
    end = network.server if from_server else network.client
    endless = bytes(64 << 10)

    def write() -> None:
        for stream_id in stream_ids:
            if size := min(end.connection.send_capacity(stream_id), len(endless)):
                end.connection.send_stream_data(stream_id, endless[:size])
        if end.connection.is_open:
            network.after(0.25, write)

    write()


def small_session(size: int, monkeypatch: pytest.MonkeyPatch) -> Network:
    """A session that buffers at most `size` bytes in each direction, so that it takes little to fill it."""
    monkeypatch.setattr("tandem_transport.streams.memory.SESSION_BUFFER", size)
    link = replace(LINK, rate=mbit(10))
    network = Network(link, link, seed=4)
    identity = replace(network.identity(), parameters=TransportParameters(initial_max_data=size))
    network.client_endpoint = ClientEndpoint(identity, now=network.now)
    for _ in range(2):
        network.client_endpoint.add_path(now=network.now)
    return network.connect()


@pytest.mark.sampled
@pytest.mark.parametrize("from_server", [True, False], ids=["downloads", "uploads"])
def test_two_thousand_streams_with_readers_that_stopped(from_server: bool) -> None:
    network = Network(LINK, LINK, seed=2).connect()
    before = resident()
    reader = network.client if from_server else network.server
    reader.pause_all = True
    stream_ids = [network.client.connection.open_stream() for _ in range(MAX_STREAMS - 10)]
    for stream_id in stream_ids:
        network.client.connection.send_stream_data(stream_id, b"x")
    network.run(2)
    for batch in range(0, len(stream_ids), 250):  # one after the other, each finds what those before have left
        push_without_end(network, stream_ids[batch : batch + 250], from_server=from_server)
        network.run(1)
    unread = sum(reader.unread.values())
    assert unread <= SESSION_BUFFER
    assert size_of(network.client.connection) + size_of(network.server.connection) < 6 * SESSION_BUFFER
    assert resident() - before < 150 * MB
    # A reader that goes on, and one that comes later, are not held up by those that do not.
    reader.pause_all = False
    first = next(iter(reader.unread))
    had = len(reader.received[first])
    reader.resume(first)
    network.run_until(lambda: len(reader.received[first]) > had, limit=5)
    sender = network.server if from_server else network.client
    for size in (1000, 30_000):
        late = sender.send(bytes(size))
        network.run_until(partial(reader.ended.__contains__, late), limit=15)


@pytest.mark.parametrize("from_server", [True, False], ids=["downloads", "uploads"])
def test_a_stream_that_was_read_in_better_times_goes_on(from_server: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 30 KB were read before others filled the session, when so little was not worth telling."""
    network = small_session(MB, monkeypatch)
    sender, reader = (network.server, network.client) if from_server else (network.client, network.server)
    first = sender.connection.open_stream()
    sender.connection.send_stream_data(first, bytes(30_000))
    network.run(1)
    assert len(reader.received[first]) == 30_000
    reader.pause_all = True
    others = [sender.connection.open_stream() for _ in range(100)]
    push_without_end(network, others, from_server=from_server)
    network.run(3)
    assert sum(reader.unread.values()) > MB // 2
    reader.pause_all = False
    sender.send(bytes(5000), stream_id=first)
    network.run_until(lambda: len(reader.received[first]) == 35_000, limit=5)


@pytest.mark.parametrize("from_server", [True, False], ids=["downloads", "uploads"])
def test_a_ten_minute_outage_with_senders_that_do_not_stop(from_server: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_session(2 * MB, monkeypatch)
    stream_ids = [network.client.connection.open_stream() for _ in range(150)]
    for stream_id in stream_ids:
        network.client.connection.send_stream_data(stream_id, b"x")
    network.run(1)
    push_without_end(network, stream_ids, from_server=from_server)
    network.run(1)
    receiver = network.client if from_server else network.server
    for i in range(2):
        network.cut(i, begin=0, end=OUTAGE_TIMEOUT - 10)
    network.run(OUTAGE_TIMEOUT - 15)
    assert size_of(network.client.connection) + size_of(network.server.connection) < 6 * MB
    had = sum(map(len, receiver.received.values()))
    network.run_until(lambda: sum(map(len, receiver.received.values())) > had, limit=10)
    assert len(network.client_peers) == 1


def test_all_sessions_of_a_server_share_its_memory() -> None:
    """Forty clients upload to readers that stopped: what they may send is what the server has room for."""
    network = Network()
    keys = [bytes([i]) * 32 for i in range(40)]
    for i, key in enumerate(keys):
        network.known_clients[public_key(key)] = f"client {i}"
    clients = [connect(network, key) for key in keys]
    unread = 0
    endless = bytes(64 << 10)
    for _ in range(60):
        for client in clients:
            connection = client.connection
            assert connection is not None
            stream_id = connection.open_stream()
            while size := min(connection.send_capacity(stream_id), len(endless)):
                connection.send_stream_data(stream_id, endless[:size])
        exchange(network, clients, 0.5)
        unread = sum(
            session.connection.stats(now=network.now).stream_bytes_received
            for session in network.server_endpoint.sessions
        )
    assert SERVER_BUFFER // 4 < unread <= SERVER_BUFFER // 2


def test_a_full_server_says_so() -> None:
    network = Network()
    keys = [network.random.randbytes(32) for _ in range(MAX_SESSIONS + 1)]
    for key in keys:
        network.known_clients[public_key(key)] = "somebody"
    clients = [connect(network, key) for key in keys]
    assert [client.connection is not None for client in clients] == [True] * MAX_SESSIONS + [False]
    assert network.server_endpoint.counters.refused == 1


def connect(network: Network, key: bytes) -> ClientEndpoint:
    """A client of its own, without a simulated link."""
    client = network.make_client(key)
    client.add_path(now=network.now)
    exchange(network, [client], 0.1)
    return client


def exchange(network: Network, clients: list[ClientEndpoint], seconds: float) -> None:
    """Passes datagrams between the clients and the server without delay; a client's source is its id."""
    end = network.now + seconds
    by_source = {id(client): client for client in clients}
    while network.now < end:
        for client in clients:
            client.handle_timeout(now=network.now)
            for transmit in client.datagrams_to_send(now=network.now):
                network.server_endpoint.receive_datagram(transmit.data, source=id(client), now=network.now)
        network.server_endpoint.handle_timeout(now=network.now)
        while network.server_endpoint.next_event() is not None:
            pass
        for transmit in network.server_endpoint.datagrams_to_send(now=network.now):
            if isinstance(transmit.address, int) and transmit.address in by_source:
                by_source[transmit.address].receive_datagram(0, transmit.data, now=network.now)
        for client in clients:
            while client.next_event() is not None:
                pass
        network.now += 0.05
