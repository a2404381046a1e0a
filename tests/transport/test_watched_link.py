"""What somebody can do who watches one link, and acts against the others."""

from itertools import count, pairwise
from random import Random
from typing import Any

import pytest

from simnet import SERVER_KEY, Network
from simnet.attackers import endpoint_of_hosts
from simnet.network import SERVER_PUBLIC
from simnet.working_session import LINK, busy_network, works, works_alone
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.handshake import cookie_key, cookie_reply
from tandem_transport.errors import ErrorCode
from tandem_transport.parameters import HANDSHAKE_REPEAT, HANDSHAKE_RETRY
from tandem_transport.wire.packets import PacketType, split_datagram, transport_header


def test_first_messages_seen_on_one_link_and_sent_on_from_many_ports_keep_no_other_link_out() -> None:
    """The attacker carries nothing, and is nearer to the server than the link that works."""
    network = Network(LINK, LINK)
    endpoint = network.server_endpoint = endpoint_of_hosts(network)
    towards_server = network.deliver_to_server
    spy = count()

    def watch(data: bytes, address: str) -> None:
        if address == network.addresses[0]:
            for _ in range(200):
                endpoint.receive_datagram(data, source=f"spy:{next(spy)}", now=network.now)
            network.flush()
        else:
            network.after(0.040, lambda: towards_server(data, address))

    network.deliver_to_server = watch
    network.connect(limit=0.5)
    works(network)


@pytest.mark.parametrize("junk", ["its own id", "many old ids"])
def test_junk_with_ids_seen_on_one_link_does_not_hold_a_client_on_a_dead_session(junk: str) -> None:
    """The server was restarted; three thousand packets a second ask for the resets that the client needs."""
    network = busy_network()
    issuer, own = ConnectionIdIssuer(SERVER_KEY), network.client.connection.connection_id
    ids = [own] if junk == "its own id" else [issuer.issue(network.random.randbytes(8)) for _ in range(1000)]
    network.restart_server()
    network.server_endpoint = endpoint_of_hosts(network)
    numbers = count()

    def spam() -> None:
        for _ in range(30):
            number = next(numbers)
            packet = transport_header(0, ids[number % len(ids)], 0, 0, number) + bytes(16)
            network.server_endpoint.receive_datagram(packet, source=f"spy:{number}", now=network.now)
        network.after(0.01, spam)

    spam()
    network.client.send(b"is anybody there?")
    network.run_until(lambda: len(network.client_peers) == 2, limit=0.5)


@pytest.mark.parametrize("has_streams", [True, False])
def test_a_client_whose_session_was_lost_without_a_word_finds_out(has_streams: bool) -> None:
    """The resets never arrive, whatever the reason; the server answers first messages as ever."""
    network = busy_network()
    network.restart_server()
    towards_client = network.to_client
    network.to_client = lambda address, data: (  # type: ignore[method-assign]
        None if data[0] >> 4 == PacketType.STATELESS_RESET else towards_client(address, data)
    )
    if has_streams:
        network.client.send(b"is anybody there?")
    old = network.client
    network.run_until(lambda: len(network.client_peers) == 2, limit=10 if has_streams else 40)
    assert old.terminated is not None
    assert old.terminated.code == ErrorCode.FORGOTTEN
    works_alone(network)


def test_a_session_that_the_server_still_has_is_kept_through_an_outage_however_long() -> None:
    """First messages leave beside it, the first to arrive among them, and never take its place."""
    asked: list[float] = []

    def watch(data: bytes, _: Random) -> bytes:
        if data[0] >> 4 == PacketType.INITIATION:
            asked.append(network.now)
        return data

    network = Network(LINK, LINK, tamper=watch)
    network.connect()
    asked.clear()
    stream_id = network.client.connection.open_stream()
    network.client.connection.send_stream_data(stream_id, b"held")
    network.run(1)
    for link in range(2):
        network.cut(link, begin=0, end=300)
    up_again = network.now + 300
    network.run(299)
    gaps = [after - before for before, after in pairwise(asked) if after - before > HANDSHAKE_REPEAT + 0.1]
    assert len(gaps) > 8
    assert gaps == sorted(gaps), "ever more rarely"
    # A first message leaves as the outage ends, arrives before anything else, and so does its answer.
    network.at(up_again, lambda: network.client_endpoint.retry(now=network.now))
    deliver = network.deliver_to_server
    network.deliver_to_server = lambda data, address: network.after(
        0.0 if data[0] >> 4 == PacketType.INITIATION else 1.0, lambda: deliver(data, address)
    )
    network.run(60)
    assert network.now > up_again
    network.deliver_to_server = deliver
    network.client.connection.send_stream_data(stream_id, b" on", end_stream=True)
    network.run_until(lambda: stream_id in network.server.ended, limit=5)
    assert network.server.received[stream_id] == b"held on"
    assert len(network.client_peers) == len(network.server_peers) == 1
    asked.clear()
    network.run(60)
    assert not asked, "it is heard again"
    works(network)


def test_a_server_that_comes_back_after_minutes_is_asked_as_often_as_at_first() -> None:
    """What looking beside the silent session has learned of patience ends with the session."""
    network = busy_network()
    network.is_server_up = False
    network.client.send(b"is anybody there?")
    network.run(150)
    network.restart_server()
    drop = 3
    deliver = network.deliver_to_server

    def lose_initiations(data: bytes, address: str) -> None:
        nonlocal drop
        if data[0] >> 4 == PacketType.INITIATION and drop > 0:
            drop -= address == network.addresses[0] and network.client.terminated is not None
            return
        deliver(data, address)

    network.deliver_to_server = lose_initiations
    network.run_until(lambda: network.client.terminated is not None, limit=60)
    network.run_until(lambda: len(network.client_peers) == 2, limit=3 * HANDSHAKE_RETRY)


def test_a_cookie_is_answered_once() -> None:
    """Copies of it, sent by whoever saw it, must not become copies of the larger first message."""
    network = Network(LINK)
    network.is_server_up = False
    network.run(0.001)
    inside: Any = network.client_endpoint
    packet = split_datagram(inside._search._handshakes[0].initiation())[0]
    cookie = cookie_reply(cookie_key(SERVER_PUBLIC), packet, b"c" * 16, network.random.randbytes)

    def answers() -> int:
        sent = 0
        for _ in range(400):
            network.client_endpoint.receive_datagram(0, cookie, now=network.now)
            sent += len(list(network.client_endpoint.datagrams_to_send(now=network.now)))
        return sent

    assert answers() == 1
    network.run(HANDSHAKE_REPEAT + 0.01)
    assert answers() == 1, "once more where the message was sent once more: the first may have been lost"
