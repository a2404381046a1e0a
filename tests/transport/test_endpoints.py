"""Who gets in, who gets silence: handshakes over the simulated network."""

from dataclasses import replace
from itertools import pairwise

import pytest

from simnet import Network
from tandem.impair.impairment import Impairment
from tandem_transport.crypto.handshake import Refusal
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.client import ClientEndpoint, HandshakeRefused, HandshakeUnanswered
from tandem_transport.parameters import HANDSHAKE_RETRY, HANDSHAKE_RETRY_MAX, HANDSHAKES_PER_SECOND
from tandem_transport.wire.packets import PacketType, message, split_datagram

LINK = Impairment(delay=0.030)


def test_a_handshake_raced_on_all_links_makes_one_session() -> None:
    network = Network(*[replace(LINK, delay=0.01 * (i + 1)) for i in range(4)]).connect()
    network.run(5)
    assert len(network.server_endpoint.sessions) == len(network.client_peers) == 1
    assert len(network.client.connection.stats(now=network.now).paths) == 4


def test_the_session_is_there_after_one_round_trip_of_the_fastest_link() -> None:
    network = Network(replace(LINK, delay=0.5), LINK)
    assert network.run_until(lambda: bool(network.client_peers), limit=5) == pytest.approx(0.060, abs=0.001)


def test_a_first_message_alone_changes_nothing() -> None:
    network = Network(LINK).connect()
    stranger = network.make_client()  # same key, but its answers never reach it
    stranger.add_path(now=network.now)
    stranger.handle_timeout(now=network.now)
    for transmit in stranger.datagrams_to_send(now=network.now):
        network.server_endpoint.receive_datagram(transmit.data, source="elsewhere", now=network.now)
    network.run(10)
    assert len(network.server_endpoint.sessions) == 1
    assert network.server.terminated is None


def test_an_unregistered_key_is_told_so() -> None:
    network = Network(LINK, client_key=b"x" * 32)
    network.run(0.2)
    assert HandshakeRefused(Refusal.UNKNOWN_KEY) in network.client_events
    network.known_clients[public_key(b"x" * 32)] = "late"
    network.connect(limit=HANDSHAKE_RETRY + 0.5)


def test_who_stays_unregistered_asks_ever_less_often_and_is_never_called_unanswered() -> None:
    network = Network(LINK, client_key=b"x" * 32)
    network.run(200)
    refusals = network.client_events.count(HandshakeRefused(Refusal.UNKNOWN_KEY))
    assert 8 <= refusals <= 11  # after 2, 4, 8 and 16 s, then every 30 s
    assert not any(isinstance(event, HandshakeUnanswered) for event in network.client_events)


def test_a_wrong_server_key_gets_silence() -> None:
    network = Network(LINK)
    identity = network.identity(server_public=public_key(b"wrong" * 6 + b"!!"))
    client = ClientEndpoint(identity, now=network.now)
    client.add_path(now=network.now)
    network.client_endpoint = client
    network.run(20)
    assert network.datagrams_to_client == 0
    assert network.server_endpoint.counters.bad_mac1 > 0
    unanswered = [event for event in network.client_events if isinstance(event, HandshakeUnanswered)]
    assert [event.attempts for event in unanswered] == list(range(1, 11))
    network.run(600)
    silences = [event.silence for event in network.client_events if isinstance(event, HandshakeUnanswered)]
    gaps = [after - before for before, after in pairwise(silences)]
    assert max(gaps) == pytest.approx(HANDSHAKE_RETRY_MAX)
    assert gaps == sorted(gaps)


def test_nothing_answers_what_is_not_authentic() -> None:
    network = Network(LINK).connect()
    network.run(1)
    sent = network.datagrams_to_client
    connection_id = network.client.connection.connection_id
    strange = [b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", network.random.randbytes(1200)]
    for packet_type in PacketType:
        strange.append(message(packet_type, connection_id, network.random.randbytes(300)))
        strange.append(message(packet_type, bytes(16), network.random.randbytes(300)))
    for data in strange:
        network.server_endpoint.receive_datagram(data, source="stranger", now=network.now)
        network.client_endpoint.receive_datagram(0, data, now=network.now)
    network.run(0.001)
    assert network.datagrams_to_client == sent
    assert network.client.terminated is None
    assert network.server.terminated is None


def test_a_restarted_client_is_another_instance_beside_the_old_one() -> None:
    network = Network(LINK).connect()
    network.client_endpoint = network.make_client()
    network.client_endpoint.add_path(now=network.now)
    network.run_until(lambda: len(network.server_peers) == 2, limit=5)
    assert len(network.server_endpoint.sessions) == 2


def test_under_load_a_client_is_asked_for_a_cookie_and_still_gets_in() -> None:
    network = Network(LINK)
    flood = network.make_client()
    flood.add_path(now=network.now)
    for _ in range(HANDSHAKES_PER_SECOND + 50):
        flood.retry(now=network.now)
        flood.handle_timeout(now=network.now)
        for transmit in flood.datagrams_to_send(now=network.now):
            network.server_endpoint.receive_datagram(transmit.data, source="flood", now=network.now)
    network.connect(limit=1)
    assert network.server_endpoint.counters.cookies >= 50


def test_a_replayed_transport_packet_is_dropped() -> None:
    network = Network(replace(LINK, duplicate=1.0)).connect()
    stream_id = network.client.send(b"once")
    network.run_until(lambda: stream_id in network.server.ended, limit=2)
    assert network.server.received[stream_id] == b"once"
    assert network.server.connection.packets_dropped > 0


def test_packets_after_the_first_malformed_one_are_not_looked_at() -> None:
    good = message(PacketType.REFUSED, bytes(16), b"a body")
    assert len(list(split_datagram(good + b"\xff" + good))) == 1
