"""Key updates: by count and by age, begun by either end or both, with packets of the old phase in flight."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from simnet import Network, hours, mbit, size_of
from simnet.victim import Victim
from tandem.impair.impairment import Impairment
from tandem_transport import LocalProtocolError
from tandem_transport.errors import ErrorCode
from tandem_transport.parameters import KEEPALIVE_IDLE, KEY_UPDATE_PERIOD, MAX_PACKET_NUMBER, PREVIOUS_KEYS_LIFETIME

PING = b"\x01"

LINK = Impairment(delay=0.030, rate=mbit(20))
LATE = replace(LINK, loss=0.10, jitter=0.050, reorder=0.10, duplicate=0.05)


def updates(network: Network) -> tuple[int, int]:
    """Of the client, and of the server."""
    first, second = network.client.connection, network.server.connection
    return first.stats(now=network.now).key_updates, second.stats(now=network.now).key_updates


def both_ways(network: Network, size: int, *, limit: float) -> None:
    data = network.random.randbytes(size)
    network.server.on_data = lambda stream_id, _, ends: network.server.send(data, stream_id=stream_id) if ends else None
    stream_id = network.client.send(data)
    network.run_until(lambda: stream_id in network.client.ended, limit=limit)
    assert network.client.received[stream_id] == network.server.received[stream_id] == data


@pytest.mark.parametrize("updater", ["client", "server"])
def test_after_so_many_packets(updater: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem_transport.crypto.protection.KEY_UPDATE_PACKETS", 2000)
    network = Network(LATE, LATE, seed=3).connect()
    data = network.random.randbytes(8_000_000)
    sender, receiver = (network.client, network.server) if updater == "client" else (network.server, network.client)
    stream_id = sender.send(data)
    network.run_until(lambda: stream_id in receiver.ended, limit=120)
    assert receiver.received[stream_id] == data
    assert min(updates(network)) >= 1
    assert abs(updates(network)[0] - updates(network)[1]) <= 1


@pytest.mark.parametrize("link", [LINK, LATE], ids=["clean", "late"])
def test_every_hour_at_both_ends_at_the_same_moment(link: Impairment) -> None:
    link = replace(link, rate=mbit(1))
    network = Network(link, link, seed=4).connect()
    begin = network.now
    for hour in (1, 2):
        network.run(begin + hour * KEY_UPDATE_PERIOD - 2 - network.now)
        assert updates(network) == (hour - 1, hour - 1)
        both_ways(network, 250_000, limit=30)
        assert updates(network) == (hour, hour)
    assert network.client.terminated is None


def test_both_begin_before_either_has_heard_of_it() -> None:
    network = Network(LATE, LATE, seed=5).connect()
    both_ways(network, 10_000, limit=10)
    network.client.connection.update_keys(now=network.now)
    network.server.connection.update_keys(now=network.now)
    both_ways(network, 1_000_000, limit=30)
    assert updates(network) == (1, 1)


def test_no_second_update_before_the_other_end_has_followed() -> None:
    network = Network(LINK).connect()
    both_ways(network, 10_000, limit=10)
    network.cut(0, begin=0, end=400)
    network.client.connection.update_keys(now=network.now)
    network.client.send(b"held")
    network.run(399)
    with pytest.raises(LocalProtocolError):
        network.client.connection.update_keys(now=network.now)
    network.run(5)
    both_ways(network, 100_000, limit=10)
    assert updates(network) == (1, 1)


def test_a_link_that_works_in_one_direction_only_does_not_lose_the_phase() -> None:
    """The server's packets of the old phase still count while it cannot hear of the new one."""
    network = Network(LINK).connect()
    both_ways(network, 10_000, limit=10)
    up = network.up[0]
    up.impairment = replace(up.impairment, outages=((network.now, network.now + 60),))
    network.client.connection.update_keys(now=network.now)
    network.run(3 * PREVIOUS_KEYS_LIFETIME)
    assert network.client.connection.packets_dropped == 0
    assert network.client.connection.last_received_at > network.now - PREVIOUS_KEYS_LIFETIME / 2
    network.run(60)
    both_ways(network, 100_000, limit=10)
    assert updates(network) == (1, 1)


def test_keys_that_are_over_are_forgotten() -> None:
    """Whoever takes the process's memory later finds nothing that opens what was sent before."""
    network = Network(LINK).connect()
    both_ways(network, 10_000, limit=10)
    network.client.connection.update_keys(now=network.now)
    both_ways(network, 10_000, limit=10)
    for peer in (network.client, network.server):
        inside: Any = peer.connection
        assert inside._protection._previous is not None
    network.run(2 * PREVIOUS_KEYS_LIFETIME + KEEPALIVE_IDLE)
    for peer in (network.client, network.server):
        inside = peer.connection
        assert inside._protection._previous is None
        assert inside._protection.updates == 1


@pytest.mark.parametrize("is_client", [True, False])
@pytest.mark.parametrize("pause", [0.0, PREVIOUS_KEYS_LIFETIME / 2])
def test_a_peer_that_updates_its_keys_faster_than_it_may_is_closed(pause: float, *, is_client: bool) -> None:
    """Each update costs several times what a packet does."""
    victim = Victim(is_client=is_client)
    victim.receive_only(PING)
    victim.update_peer_keys()
    victim.receive_only(PING)
    assert victim.connection.is_open
    victim.now += pause
    victim.update_peer_keys()
    victim.receive(PING)
    assert victim.closed_with == ErrorCode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("is_client", [True, False])
def test_a_peer_may_update_again_when_the_last_update_is_over(*, is_client: bool) -> None:
    victim = Victim(is_client=is_client)
    for _ in range(3):
        victim.receive(PING)
        victim.advance(PREVIOUS_KEYS_LIFETIME)
        victim.update_peer_keys()
    victim.receive(PING)
    assert victim.closed_with is None


def test_a_machine_that_has_slept_lets_the_peer_update_again() -> None:
    """Its clock stood still between the two."""
    victim = Victim(is_client=True)
    victim.update_peer_keys()
    victim.receive_only(PING)
    victim.connection.on_wake(now=victim.now)
    victim.update_peer_keys()
    victim.receive_only(PING)
    assert victim.connection.is_open


@pytest.mark.long
def test_a_week_with_traffic_outages_and_new_addresses_and_no_byte_more_memory() -> None:
    """Only this test notices a count of key phases that wraps after 127, because the others see fewer."""
    network = Network(replace(LINK, loss=0.02), seed=6).connect()
    sizes: list[int] = []
    for day in range(7):
        for hour in range(24):
            network.after(hours(hour) + 100, partial(network.move, 0))
            if hour % 5 == 0:
                network.cut(0, begin=hours(hour) + 500, end=hours(hour) + 530)
        for part in range(8):
            network.run(hours(3) - 20)
            both_ways(network, 200_000, limit=20)
            network.client.received.clear()
            network.server.received.clear()
            network.client.deliveries.clear()
            network.server.deliveries.clear()
            assert part or day or updates(network)[0] >= 2
        for link in (*network.up, *network.down):
            link.impairment = replace(link.impairment, outages=())
        network.run(60)
        sizes.append(size_of(network.client.connection) + size_of(network.server.connection))
    assert min(updates(network)) >= 7 * 23
    assert len(network.client_peers) == len(network.server_peers) == 1
    # What is measured of a path fills windows of ten seconds, more or less.
    assert max(sizes) < min(sizes) + 250_000, sizes


def test_a_session_whose_packet_numbers_are_used_up_makes_way_for_the_next() -> None:
    network = Network(LINK).connect()
    inside: Any = network.client.connection
    inside._paths.all[0].recovery.next_number = MAX_PACKET_NUMBER - (1 << 31)
    network.run_until(lambda: network.client.terminated is not None, limit=30)
    assert network.client.terminated is not None
    assert network.client.terminated.reason == "the packet numbers of a path are used up"
    network.run_until(lambda: len(network.client_peers) == 2, limit=5)
