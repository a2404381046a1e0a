"""Histories of whole sessions in virtual time: each test is a story with a bound on its length."""

import itertools
from dataclasses import replace
from random import Random

import pytest

from simnet import Network, hours, mbit
from tandem.impair.impairment import Impairment
from tandem_transport import LocalProtocolError
from tandem_transport.parameters import MAX_DATAGRAM_QUEUE

LINK = Impairment(delay=0.030, rate=mbit(20))
LOSSY = replace(LINK, loss=0.20)


def download(network: Network, size: int, *, limit: float) -> float:
    """The server sends `size` bytes on a stream that the client opened; returns virtual seconds."""
    client, server = network.client, network.server
    data = network.random.randbytes(size)
    stream_id = client.send(b"get")
    network.run_until(lambda: stream_id in server.ended, limit=10)
    server.send(data, stream_id=stream_id)
    took = network.run_until(lambda: stream_id in client.ended, limit=limit)
    assert client.received[stream_id] == data
    return took


def upload(network: Network, size: int, *, limit: float) -> float:
    data = network.random.randbytes(size)
    stream_id = network.client.send(data)
    took = network.run_until(lambda: stream_id in network.server.ended, limit=limit)
    assert network.server.received[stream_id] == data
    return took


def status_of(network: Network, path_id: int) -> str:
    return network.client.connection.stats(now=network.now).paths[path_id].status


@pytest.mark.parametrize("transfer", [download, upload])
def test_clean(transfer: object) -> None:
    network = Network(LINK, LINK).connect()
    took = download(network, 800_000, limit=5) if transfer is download else upload(network, 800_000, limit=5)
    assert took < 1.5


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(4))
def test_twenty_percent_loss_on_both(seed: int) -> None:
    network = Network(LOSSY, LOSSY, seed=seed).connect()
    assert download(network, 800_000, limit=10) < 3
    assert upload(network, 800_000, limit=10) < 3


def test_one_link_dead_from_the_start() -> None:
    for dead in (0, 1):
        network = Network(LINK, LINK)
        network.cut(dead, begin=0, end=1e9)
        network.connect(limit=0.5)
        assert download(network, 400_000, limit=5) < 2
        network.client.connection.open_stream()
        network.run(3)
        assert status_of(network, dead) == "down"
        assert status_of(network, 1 - dead) == "usable"


@pytest.mark.sampled
@pytest.mark.parametrize("dying", [0, 1])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_link_dies_in_mid_transfer_and_returns(dying: int, loss: float) -> None:
    link = Impairment(delay=0.030, rate=mbit(3), loss=loss)
    network = Network(link, link, seed=7).connect()
    network.cut(dying, begin=1.0, end=6.0)
    begin = network.now
    download(network, 4_800_000, limit=60)
    changes = [(at - begin, status) for at, path, status in network.client.statuses if path == dying]
    assert any(1.0 <= at <= 4.0 and status == "down" for at, status in changes), changes
    assert any(6.0 <= at <= 9.0 and status in ("usable", "degraded") for at, status in changes), changes


def test_a_transfer_does_not_stall_when_a_link_dies() -> None:
    link = Impairment(delay=0.030, rate=mbit(5))
    network = Network(link, link).connect()
    network.cut(0, begin=2.0, end=60.0)
    download(network, 1_600_000, limit=20)
    times = [at for at, _ in network.client.deliveries]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.2


def test_both_out_for_five_minutes_and_the_same_stream_goes_on() -> None:
    link = Impairment(delay=0.030, rate=mbit(5), loss=0.05)
    network = Network(link, link).connect()
    session = network.client.connection
    for i in (0, 1):
        network.cut(i, begin=1.0, end=301.0)
    begin = network.now
    took = download(network, 800_000, limit=320)
    assert took > 300
    assert network.client.connection is session
    assert len(network.client_peers) == 1
    first_after = next(at for at, _ in network.client.deliveries if at - begin > 300)
    assert first_after - begin < 304
    assert [outage.is_out for outage in network.client.outages] == [True, False]
    assert session.stats(now=network.now).streams_total == 1


def test_down_and_usable_are_seen_within_three_seconds_when_idle_streams_are_open() -> None:
    network = Network(LINK, LINK).connect()
    stream_id = network.client.connection.open_stream()
    network.client.connection.send_stream_data(stream_id, b"hello")
    network.run(2)
    network.cut(1, begin=0.0, end=5.0)
    begin = network.now
    network.run_until(lambda: status_of(network, 1) == "down", limit=3)
    network.run(begin + 5 - network.now)
    network.run_until(lambda: status_of(network, 1) == "usable", limit=3)


def _tamper(data: bytes, random: Random) -> bytes:
    choice = random.random()
    if choice < 0.05:
        index = random.randrange(len(data))
        return data[:index] + bytes([data[index] ^ (1 << random.randrange(8))]) + data[index + 1 :]
    if choice < 0.10:
        return data[: random.randrange(len(data))]
    if choice < 0.12:
        return random.randbytes(random.randrange(1500))
    return data


@pytest.mark.parametrize("seed", range(5))
def test_duplicated_reordered_corrupted_and_truncated(seed: int) -> None:
    link = Impairment(delay=0.020, rate=mbit(20), loss=0.05, jitter=0.010, duplicate=0.1, reorder=0.1)
    network = Network(link, link, seed=seed, tamper=_tamper).connect()
    download(network, 500_000, limit=20)
    upload(network, 500_000, limit=20)
    assert network.client.connection.packets_dropped > 0
    assert network.client.terminated is None
    assert network.server.terminated is None


def test_a_slow_reader_beside_a_fast_one() -> None:
    network = Network(LINK, LINK).connect()
    client, server = network.client, network.server
    slow, fast = client.send(b"slow"), client.send(b"fast")
    client.paused.add(slow)
    network.run_until(lambda: {slow, fast} <= server.ended, limit=5)
    slow_data, fast_data = network.random.randbytes(1_200_000), network.random.randbytes(1_200_000)
    server.send(slow_data, stream_id=slow)
    server.send(fast_data, stream_id=fast)
    network.run_until(lambda: fast in client.ended, limit=5)
    assert client.received[fast] == fast_data
    assert len(client.received[slow]) < 400_000, "back-pressure has stopped the slow one"
    client.resume(slow)
    network.run_until(lambda: slow in client.ended, limit=10)
    assert client.received[slow] == slow_data


def test_readers_that_stop_never_take_the_last_room() -> None:
    """Sixty paused downloads hold their windows full, and another stream still gets through."""
    network = Network(LINK, LINK).connect()
    client, server = network.client, network.server
    client.pause_all = True
    paused = [client.send(b"x") for _ in range(60)]
    network.run_until(lambda: set(paused) <= server.ended, limit=5)
    for stream_id in paused:
        server.send(bytes(500_000), stream_id=stream_id)
    network.run(20)
    client.pause_all = False
    download(network, 300_000, limit=20)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_two_hundred_streams_at_once(loss: float) -> None:
    link = replace(LINK, loss=loss)
    network = Network(link, link, seed=3).connect()
    client, server = network.client, network.server
    answers: dict[int, bytes] = {}

    def answer(stream_id: int, data: bytes, end_stream: bool) -> None:
        if end_stream:
            answers[stream_id] = network.random.randbytes(5000)
            server.send(answers[stream_id], stream_id=stream_id)

    server.on_data = answer
    ids = [client.send(network.random.randbytes(1000)) for _ in range(200)]
    network.run_until(lambda: set(ids) <= client.ended, limit=10)
    assert {stream_id: bytes(client.received[stream_id]) for stream_id in ids} == answers
    network.run(1)
    stats = client.connection.stats(now=network.now)
    assert (stats.streams_open, stats.streams_total) == (0, 200)
    assert server.connection.stats(now=network.now).streams_open == 0


def test_streams_without_end_one_after_the_other() -> None:
    """More streams than may be open at once, in the life of one session: MAX_STREAMS moves on."""
    network = Network(replace(LINK, loss=0.1), LINK, seed=4).connect()
    client, server = network.client, network.server

    def answer(stream_id: int, data: bytes, end_stream: bool) -> None:
        if end_stream:
            server.send(b"ok", stream_id=stream_id)

    server.on_data = answer
    for _ in range(12):
        ids = [client.send(b"q") for _ in range(250)]
        network.run_until(lambda ids=ids: set(ids) <= client.ended, limit=10)  # type: ignore[misc]
    assert client.connection.stats(now=network.now).streams_total == 3000


def test_half_close_both_ways() -> None:
    network = Network(LOSSY, LOSSY, seed=5).connect()
    client, server = network.client, network.server
    stream_id = client.send(b"question")
    network.run_until(lambda: stream_id in server.ended, limit=5)
    network.run(30)
    server.send(b"late answer", stream_id=stream_id)
    network.run_until(lambda: stream_id in client.ended, limit=5)
    assert client.received[stream_id] == b"late answer"


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_reset_reaches_the_other_end_as_a_reset(loss: float) -> None:
    link = replace(LINK, loss=loss)
    network = Network(link, link, seed=6).connect()
    client, server = network.client, network.server
    stream_id = client.connection.open_stream()
    client.connection.send_stream_data(stream_id, bytes(10_000))
    network.run_until(lambda: stream_id in server.received, limit=5)
    client.connection.reset_stream(stream_id)
    network.run_until(lambda: stream_id in server.resets, limit=5)
    server.connection.reset_stream(stream_id)
    network.run(2)
    for peer in (client, server):
        assert peer.connection.stats(now=network.now).streams_open == 0
        assert peer.terminated is None


def test_datagrams_arrive_once() -> None:
    network = Network(LINK, LOSSY).connect()
    network.run(1)
    for i in range(50):
        assert network.client.connection.send_datagram_frame(1, b"%d" % i)
        network.run(0.01)
    network.run(1)
    assert sorted(network.server.datagrams) == sorted(b"%d" % i for i in range(50))
    assert not network.client.connection.send_datagram_frame(1, bytes(2000))


def test_a_burst_of_datagrams_keeps_to_the_window_and_the_newest_go() -> None:
    network = Network(LINK, LINK).connect()
    network.run(1)
    connection = network.client.connection
    for i in range(1000):
        assert connection.send_datagram_frame(1, i.to_bytes(2, "big") + bytes(connection.datagram_room - 2))
    network.run(2)
    numbers = sorted(int.from_bytes(data[:2], "big") for data in network.server.datagrams)
    assert numbers == list(range(1000 - MAX_DATAGRAM_QUEUE, 1000)), (
        "all that waited, and none of them dropped on a full link"
    )


def test_datagrams_go_ahead_of_a_transfer() -> None:
    network = Network(LINK, LINK).connect()
    client, server = network.client, network.server
    stream_id = client.connection.open_stream()
    client.connection.send_stream_data(stream_id, bytes(400_000))
    network.run(0.5)
    for i in range(20):
        client.connection.send_datagram_frame(1, b"%d" % i)
        network.run_until(lambda: len(server.datagrams) == i + 1, limit=0.5)  # noqa: B023 (called before i changes)


def test_rescued_and_copy_bytes_are_counted() -> None:
    network = Network(LOSSY, LINK).connect()
    download(network, 400_000, limit=10)
    network.run(2)
    stats = network.client.connection.stats(now=network.now)
    assert stats.rescued > 20
    assert network.server.connection.stats(now=network.now).copy_bytes > 200_000
    lossy, clean = stats.paths
    assert lossy.won is not None
    assert clean.won is not None
    assert lossy.won + clean.won == pytest.approx(1)
    assert clean.won > lossy.won
    assert lossy.loss_received == pytest.approx(0.20, abs=0.06)
    assert clean.loss_received == pytest.approx(0.0, abs=0.01)


def test_a_retransmission_rescues_nothing() -> None:
    """On the only link there is no copy that could have been there before the loss was known."""
    network = Network(LOSSY).connect()
    download(network, 400_000, limit=10)
    network.run(2)
    assert network.server.connection.stats(now=network.now).copy_bytes > 50_000
    for peer in (network.client, network.server):
        assert peer.connection.stats(now=network.now).rescued == 0


def test_key_updates_of_both_ends_in_mid_transfer() -> None:
    network = Network(LOSSY, LOSSY, seed=8).connect()
    for updater in (network.client, network.server, network.client):
        network.after(0.3, lambda updater=updater: updater.connection.update_keys(now=network.now))  # type: ignore[misc]
        download(network, 800_000, limit=20)
        with pytest.raises(LocalProtocolError):
            updater.connection.update_keys(now=network.now)
        network.run(11)
    assert network.client.terminated is None


@pytest.mark.sampled
@pytest.mark.parametrize("days", [0.25, 7])
def test_an_idle_session_stays_and_costs_little(days: float) -> None:
    network = Network(LINK, LINK).connect()
    network.run(30)
    before = network.bytes_to_client + network.bytes_to_server
    network.run(hours(24 * days))
    spent = network.bytes_to_client + network.bytes_to_server - before
    assert spent / 2 < 800_000 * days, "bytes a day and path"
    assert network.client.terminated is None
    download(network, 100_000, limit=2)


def test_close_tells_the_other_end() -> None:
    network = Network(LOSSY, LOSSY, seed=9).connect()
    network.client_endpoint.close(now=network.now)
    network.run_until(lambda: network.server.terminated is not None, limit=5)
    assert network.server.terminated is not None
    assert network.server.terminated.reason == "the client shuts down"
    network.run(10)
    assert network.server_endpoint.sessions == []


def test_a_silent_session_ends_and_another_begins() -> None:
    network = Network(LINK, LINK).connect()
    for i in (0, 1):
        network.cut(i, begin=0, end=400)
    network.run(420)
    network.run_until(lambda: len(network.client_peers) == len(network.server_peers) == 2, limit=35)
    assert network.client_peers[0].terminated is not None
    download(network, 10_000, limit=5)


def test_two_ends_that_close_at_once_do_not_answer_each_other_without_end() -> None:
    network = Network(replace(LINK, delay=0.005), replace(LINK, delay=0.1), replace(LINK, delay=0.25)).connect()
    network.run(2)
    before = network.datagrams_to_client + network.datagrams_to_server
    network.client_endpoint.close(now=network.now)
    network.server_endpoint.close(now=network.now)
    network.run(5)
    assert network.datagrams_to_client + network.datagrams_to_server - before < 30


def test_whoever_closes_the_session_another_one_follows() -> None:
    network = Network(LINK, LINK).connect()
    network.run(5)
    network.client.connection.close(now=network.now)
    network.run_until(lambda: len(network.client_peers) == len(network.server_peers) == 2, limit=5)
    download(network, 10_000, limit=5)
