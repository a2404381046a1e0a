"""Sessions that nothing ends: addresses that change, sleep, restarts, key updates, a week of it."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from simnet import SERVER_KEY, Network, hours, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.client import HandshakeRefused
from tandem_transport.errors import ErrorCode
from tandem_transport.events import PathStatus
from tandem_transport.parameters import DEGRADED_HOLD, MAX_SESSIONS, MAX_SESSIONS_PER_KEY, OUTAGE_TIMEOUT
from tandem_transport.wire.frames import Mode, PathPreference, PathUse
from tandem_transport.wire.packets import transport_header

MODES = list(Mode)
LINK = Impairment(delay=0.030, rate=mbit(10), queue=0.1)
LOSSY = replace(LINK, loss=0.10, jitter=0.005)
INSTANCE = b"instance"


def payload(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(1000)) * (size // 1000)


def download(network: Network, size: int) -> int:
    """The server sends so much on a stream that the client opens; returns the stream's id."""
    server = network.server
    server.on_data = lambda stream_id, _, ends: server.send(payload(size), stream_id=stream_id)
    return network.client.send(b"get")


def longest_gap(network: Network) -> float:
    times = [time for time, _ in network.client.deliveries]
    return max(after - before for before, after in pairwise(times))


def has_sessions(network: Network, number: int) -> bool:
    """So many sessions began at the server."""
    return len(network.server_peers) == number


# --- addresses ---


@pytest.mark.sampled
@pytest.mark.parametrize("link", [LINK, LOSSY], ids=["clean", "lossy"])
@pytest.mark.parametrize("moved", [(0,), (1,), (0, 1)])
def test_nat_rebinding_in_mid_transfer(link: Impairment, moved: tuple[int, ...]) -> None:
    network = Network(link, link).connect()
    network.run(1)
    stream_id = download(network, 5_000_000)
    for at in (0.5, 1.5, 2.5):
        for i in moved:
            network.after(at, partial(network.move, i))
    network.run_until(lambda: stream_id in network.client.ended, limit=20)
    assert network.client.received[stream_id] == payload(5_000_000)
    assert longest_gap(network) < 1.0
    assert len(network.client_peers) == 1


def test_a_link_that_moves_each_second_in_both_directions_of_a_transfer() -> None:
    network = Network(LOSSY, LOSSY).connect()
    stream_id = download(network, 2_500_000)
    sent = network.client.send(payload(2_500_000))
    for second in range(1, 20):
        network.after(second, partial(network.move, second % 2))
    network.run_until(lambda: stream_id in network.client.ended and sent in network.server.ended, limit=40)
    assert network.server.received[sent] == payload(2_500_000)


def test_a_server_that_only_sends_hears_of_a_new_address_soon() -> None:
    network = Network(LINK).connect()
    network.run(1)
    stream_id = download(network, 10_000_000)
    network.run(1)
    network.move(0)
    begin = len(network.client.deliveries)
    network.run_until(lambda: len(network.client.deliveries) > begin + 10, limit=2.0)
    network.run_until(lambda: stream_id in network.client.ended, limit=30)


@pytest.mark.sampled
@pytest.mark.parametrize("delay", [0.005, 0.150])
def test_another_network_behind_the_same_link_is_measured_anew(delay: float) -> None:
    network = Network(LINK, LINK).connect()
    network.run(1)
    stream_id = download(network, 5_000_000)
    network.run(1)
    for i in range(2):
        network.rebind(i, delay=delay)
    network.run_until(lambda: stream_id in network.client.ended, limit=20)
    network.run(1)
    for end in (network.client, network.server):
        for path in end.connection.stats(now=network.client_now).paths:
            assert path.rtt_min == pytest.approx(2 * delay, abs=0.005)
    assert len(network.client_peers) == 1


def test_an_interface_that_is_gone_for_minutes_returns_on_the_same_path() -> None:
    network = Network(LINK, LINK).connect()
    network.client.connection.set_link_error(0, "no interface", now=network.now)
    network.cut(0, begin=0, end=300)
    stream_id = network.client.send(b"still here")
    network.run(300)
    network.client.connection.set_link_error(0, "", now=network.now)
    network.rebind(0)
    network.run(DEGRADED_HOLD + 1)
    paths = network.client.connection.stats(now=network.now).paths
    assert [(path.path_id, path.status.value) for path in paths] == [(0, "usable"), (1, "usable")]
    assert network.server.received[stream_id] == b"still here"
    assert len(network.client_peers) == len(network.server_peers) == 1


@pytest.mark.sampled
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("link", [LINK, LOSSY], ids=["clean", "lossy"])
def test_a_link_that_cannot_be_used_is_left_alone_by_both_ends(link: Impairment, mode: Mode) -> None:
    network = Network(link, link, mode=mode).connect()
    stream_id = download(network, 10_000_000)
    network.run(2)
    network.client.connection.set_link_error(1, "its cap is used up", now=network.now)
    network.run(0.5)  # the server has learned of it, should the first packet that says so be lost
    before, up = dict(network.bytes_to), network.up[1].sent
    network.run(2)
    assert network.bytes_to["client-link-1"] == before["client-link-1"]
    assert network.bytes_to["client-link-0"] > before["client-link-0"] + 500_000
    assert network.up[1].sent == up
    down = network.server.connection.stats(now=network.now).paths[1]
    assert (down.status.value, down.reason) == ("down", "switched off")
    network.client.connection.set_link_error(1, "", now=network.now)
    network.run(2)
    assert network.bytes_to["client-link-1"] > before["client-link-1"] + 500_000
    network.run_until(lambda: stream_id in network.client.ended, limit=60)
    assert network.client.received[stream_id] == payload(10_000_000)


@pytest.mark.sampled
@pytest.mark.parametrize("mode", MODES)
def test_the_last_link_that_comes_back_is_enough_though_the_server_thinks_it_is_off(mode: Mode) -> None:
    """Its window is full of what was on its way as it went, so nothing but probes can leave at first."""
    network = Network(LINK, LINK, mode=mode).connect()
    stream_id = network.client.send(payload(10_000_000))
    network.run(1)
    network.cut(0, begin=0, end=20)
    network.run(0.7)
    network.client.connection.set_link_error(0, "gone", now=network.now)
    network.run(3)
    network.cut(1, begin=0, end=hours(1))
    network.run(17)
    before = len(network.server.received[stream_id])
    network.client.connection.set_link_error(0, "", now=network.now)
    network.run_until(lambda: len(network.server.received[stream_id]) > before + 100_000, limit=3)


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(8))
def test_whatever_links_did_one_that_works_is_enough(seed: int) -> None:
    random = Random(seed)
    mode, count = random.choice(MODES), random.choice((2, 3))
    slow = Impairment(delay=0.030, rate=mbit(4), queue=0.1, loss=random.choice((0, 0.1)))
    network = Network(*[slow] * count, mode=mode, seed=seed).connect()
    uses = [PathUse.AVAILABLE, *random.choices((PathUse.AVAILABLE, PathUse.METERED, PathUse.BACKUP), k=count - 1)]
    network.client.connection.set_policy(mode, tuple(PathPreference(i, use, 0) for i, use in enumerate(uses)))
    down, up = download(network, 1_000_000), network.client.send(payload(1_000_000))
    off = [False] * count
    for _ in range(12):
        path_id = random.randrange(count)
        network.cut(path_id, begin=0, end=random.uniform(0.5, 4))
        if random.random() < 0.5:
            off[path_id] = not off[path_id]
            network.client.connection.set_link_error(path_id, "gone" if off[path_id] else "", now=network.now)
        network.run(random.uniform(0, 1.5))
    good = random.randrange(count)
    for path_id in set(range(count)) - {good}:
        network.cut(path_id, begin=0, end=hours(1))
    network.run(5)
    network.client.connection.set_link_error(good, "", now=network.now)
    network.run_until(lambda: down in network.client.ended and up in network.server.ended, limit=90)
    assert len(network.client_peers) == 1


@pytest.mark.sampled
@pytest.mark.parametrize("mode", MODES)
def test_links_that_are_off_wake_nobody(mode: Mode) -> None:
    network = Network(LOSSY, LOSSY, mode=mode).connect()
    download(network, 10_000_000)
    network.run(2)
    for path_id in (0, 1):
        network.client.connection.set_link_error(path_id, "gone", now=network.now)
    network.run(20)
    before = network.steps
    network.run(20)
    assert network.steps - before < 200, "keep-alives and probes of the server, and no timer that is always due"


def test_a_probe_that_is_lost_as_a_link_comes_back_is_repeated_soon() -> None:
    network = Network(LINK, LINK).connect()
    network.client.connection.set_link_error(1, "its cap is used up", now=network.now)
    network.run(100)
    network.cut(1, begin=0, end=0.3)
    network.client.connection.set_link_error(1, "", now=network.now)
    assert network.client.connection.silence(1, now=network.now) == 0

    def is_up() -> bool:
        return network.client.connection.stats(now=network.now).paths[1].status is not PathStatus.DOWN

    network.run_until(is_up, limit=1.5)


@pytest.mark.parametrize("seed", range(5))
def test_links_that_are_switched_off_and_on_at_random_hold_nothing_up(seed: int) -> None:
    bad = replace(LOSSY, loss=0.4)
    network = Network(bad, bad, seed=seed).connect()
    stream_id = download(network, 300_000)
    for _ in range(40):
        path_id, is_off = network.random.randrange(2), network.random.random() < 0.6
        network.client.connection.set_link_error(path_id, "gone" if is_off else "", now=network.now)
        network.run(network.random.random())
    for path_id in range(2):
        network.client.connection.set_link_error(path_id, "", now=network.now)
    network.run_until(lambda: stream_id in network.client.ended, limit=120)
    assert network.client.received[stream_id] == payload(300_000)
    assert len(network.server_peers) == 1


# --- sleep ---


def test_after_minutes_of_sleep_the_same_stream_goes_on_at_once() -> None:
    network = Network(LINK, LINK).connect()
    stream_id = download(network, 2_500_000)
    network.run(0.5)
    network.sleep(OUTAGE_TIMEOUT - 60)
    before = len(network.client.deliveries)
    network.run_until(lambda: len(network.client.deliveries) > before, limit=0.3)
    network.run_until(lambda: stream_id in network.client.ended, limit=10)
    assert network.client.received[stream_id] == payload(2_500_000)
    assert len(network.client_peers) == 1


@pytest.mark.parametrize("moves", [False, True])
def test_after_an_hour_of_sleep_there_is_a_new_session_within_two_round_trips(moves: bool) -> None:
    network = Network(LINK, LINK).connect()
    network.run(1)
    network.sleep(hours(1))
    if moves:
        network.move(0)
        network.move(1)
    network.run_until(lambda: len(network.client_peers) == len(network.server_peers) == 2, limit=0.2)
    assert network.client_peers[0].terminated is not None
    assert network.client_peers[0].terminated.code == ErrorCode.FORGOTTEN


def test_sleep_while_there_is_no_session_tries_again_at_once() -> None:
    network = Network(LINK)
    network.is_server_up = False
    network.run(300)
    network.sleep(hours(1))
    network.is_server_up = True
    network.run_until(lambda: bool(network.client_peers), limit=0.1)


# --- restarts ---


def test_a_restarted_server_costs_a_round_trip_and_resets_old_streams() -> None:
    network = Network(LINK, LINK).connect()
    network.run(1)
    old = download(network, 25_000_000)
    network.run(1)
    network.is_server_up = False
    network.run(5)
    network.restart_server()
    # A probe every quarter of a second; from its arrival on it is one round trip and a handshake.
    network.run_until(lambda: len(network.client_peers) == 2, limit=0.25 + 2 * 0.060 + 0.01)
    terminated = network.client_peers[0].terminated
    assert terminated is not None
    assert terminated.code == ErrorCode.FORGOTTEN
    assert old not in network.client.ended
    network.run_until(lambda: len(network.server_peers) == 2, limit=0.1)
    fresh = download(network, 100_000)
    network.run_until(lambda: fresh in network.client.ended, limit=2)


def test_a_server_that_is_away_for_half_a_minute_is_found_within_half_a_second() -> None:
    network = Network(LINK, LINK).connect()
    network.run(1)
    network.server_endpoint.close(now=network.now)
    network.run(0.5)
    network.is_server_up = False
    network.run(30)
    network.restart_server()
    network.run_until(lambda: len(network.client_peers) == 2, limit=0.6)


def test_all_clients_of_a_restarted_server_are_told_at_once() -> None:
    network = Network()
    issuer = ConnectionIdIssuer(SERVER_KEY)
    for i in range(MAX_SESSIONS):
        packet = transport_header(0, issuer.issue(network.random.randbytes(8)), 0, 40, i) + bytes(56)
        network.server_endpoint.receive_datagram(packet, source=f"client {i}", now=network.now)
    sent = list(network.server_endpoint.datagrams_to_send(now=network.now))
    assert {transmit.address for transmit in sent} == {f"client {i}" for i in range(MAX_SESSIONS)}


def test_a_restarted_client_takes_the_place_of_its_old_session() -> None:
    network = Network(LINK, LINK)
    network.restart_client(INSTANCE)
    network.connect()
    stream_id = download(network, 25_000_000)
    network.run(1)
    for attempt in range(2, 6):
        network.restart_client(INSTANCE)
        network.run_until(partial(has_sessions, network, attempt), limit=1)
        network.run(1)
        assert len(network.server_endpoint.sessions) == 1
    terminated = network.server_peers[0].terminated
    assert terminated is not None
    assert terminated.code == ErrorCode.REPLACED
    assert stream_id not in network.client.received


def test_two_restarts_in_a_moment_leave_one_session() -> None:
    network = Network(LINK)
    network.restart_client(INSTANCE)
    network.connect()
    for attempt in (2, 3, 4):
        network.restart_client(INSTANCE)
        network.run_until(partial(has_sessions, network, attempt), limit=1)
    assert sum(session.connection.is_open for session in network.server_endpoint.sessions) == 1


def test_a_first_message_of_the_same_instance_replaces_nothing_until_it_is_confirmed() -> None:
    network = Network(LINK)
    network.restart_client(INSTANCE)
    network.connect()
    double = network.make_client(instance_id=INSTANCE)
    double.add_path(now=network.now)
    double.handle_timeout(now=network.now)
    for transmit in double.datagrams_to_send(now=network.now):
        network.server_endpoint.receive_datagram(transmit.data, source="elsewhere", now=network.now)
    network.run(20)
    assert len(network.server_endpoint.sessions) == 1
    assert network.server.terminated is None


def test_computers_with_one_key_live_side_by_side() -> None:
    network = Network(LINK).connect()
    for others in range(1, MAX_SESSIONS_PER_KEY):
        network.restart_client()
        network.run_until(partial(has_sessions, network, others + 1), limit=1)
    assert len(network.server_endpoint.sessions) == MAX_SESSIONS_PER_KEY
    assert all(peer.terminated is None for peer in network.server_peers)


def test_a_cloned_machine_takes_another_instance_id_instead_of_taking_turns() -> None:
    network = Network(LINK)
    network.restart_client(INSTANCE)
    network.connect()
    first, first_addresses = network.client_endpoint, network.addresses
    network.addresses = ["clone"]
    network.restart_client(INSTANCE)
    network.run_until(lambda: len(network.server_peers) == 2, limit=1)
    clone = network.client_endpoint
    network.client_endpoint, network.addresses = first, first_addresses
    network.server_endpoint.receive_datagram(b"", source="clone", now=network.now)
    network.client_peers[0].send(b"am I still there?")
    network.run_until(lambda: len(network.server_peers) == 3, limit=3)
    network.run(30)
    assert len(network.server_endpoint.sessions) == 2
    assert clone.connection is not None


def test_a_revoked_client_is_out_at_once_in_mid_transfer() -> None:
    network = Network(LOSSY, LOSSY).connect()
    stream_id = download(network, 25_000_000)
    network.run(1)
    network.known_clients.clear()
    network.server_endpoint.remove_client(public_key(bytes(range(32, 64))), now=network.now)
    network.run_until(lambda: network.client_peers[0].terminated is not None, limit=1.0)
    assert stream_id not in network.client.ended
    network.run_until(lambda: any(isinstance(event, HandshakeRefused) for event in network.client_events), limit=3)
    assert not any(session.connection.is_open for session in network.server_endpoint.sessions)
