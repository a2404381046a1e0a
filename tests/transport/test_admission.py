"""What the server's owner says of a client's key: later, no, or no until a certain time."""

import pytest

from simnet import Network
from simnet.network import CLIENT_KEY
from tandem.impair.impairment import Impairment
from tandem_transport.crypto.handshake import Refusal
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.admission import PENDING, Denial
from tandem_transport.endpoint.client import HandshakeRefused
from tandem_transport.errors import ErrorCode
from tandem_transport.parameters import EMBRYO_LIFETIME, HANDSHAKE_RETRY, MAX_EMBRYOS

LINK = Impairment(delay=0.025)
CLIENT = public_key(CLIENT_KEY)


def looked_up(network: Network, answer: str | Denial | None) -> None:
    """The registry has found the client."""
    if answer is None:
        network.known_clients.pop(CLIENT, None)
    else:
        network.known_clients[CLIENT] = answer
    network.server_endpoint.on_client_found(CLIENT, now=network.now)


def waiting_network(links: int = 2) -> Network:
    """A server that is still looking the client up when the initiation has arrived."""
    network = Network(*[LINK] * links)
    network.known_clients[CLIENT] = PENDING
    network.run(0.1)
    assert network.datagrams_to_server >= links
    assert network.datagrams_to_client == 0
    return network


def test_an_initiation_waits_for_the_look_up_and_is_then_answered_on_all_links() -> None:
    network = waiting_network(links=3)
    looked_up(network, "laptop")
    network.connect(limit=0.2)  # long before the client would try again
    assert network.client_endpoint.connection is not None
    assert len(network.server_endpoint.sessions) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, HandshakeRefused(Refusal.UNKNOWN_KEY)),
        (Denial(Refusal.DISABLED), HandshakeRefused(Refusal.DISABLED)),
        (Denial(Refusal.QUOTA_USED_UP, 1_900_000_000), HandshakeRefused(Refusal.QUOTA_USED_UP, 1_900_000_000)),
        (Denial(Refusal.EXPIRED, 1 << 40), HandshakeRefused(Refusal.EXPIRED, 1 << 40)),
    ],
)
def test_a_refusal_comes_after_the_look_up_with_its_reason_and_its_end(
    answer: Denial | None, told: HandshakeRefused
) -> None:
    network = waiting_network()
    looked_up(network, answer)
    network.run(0.2)
    assert told in network.client_events
    assert not network.server_endpoint.sessions


def test_a_look_up_that_never_ends_answers_nobody_and_fills_nothing() -> None:
    network = waiting_network(links=1)
    for number in range(3 * MAX_EMBRYOS):
        key = number.to_bytes(32, "big")
        network.known_clients[public_key(key)] = PENDING
        client = network.make_client(key)
        client.add_path(now=network.now)
        client.handle_timeout(now=network.now)
        for transmit in client.datagrams_to_send(now=network.now):
            network.server_endpoint.receive_datagram(transmit.data, source=f"client-{number}", now=network.now)
        network.now += 0.01
    assert list(network.server_endpoint.datagrams_to_send(now=network.now)) == []
    assert not network.server_endpoint.sessions
    looked_up(network, "laptop")
    network.connect(limit=HANDSHAKE_RETRY + 4)


def test_an_old_initiation_is_not_answered_when_the_look_up_took_too_long() -> None:
    network = Network(LINK)
    network.known_clients[CLIENT] = PENDING
    network.client_endpoint.handle_timeout(now=network.now)
    for transmit in network.client_endpoint.datagrams_to_send(now=network.now):
        network.server_endpoint.receive_datagram(transmit.data, source="somewhere", now=network.now)
    network.known_clients[CLIENT] = "laptop"
    late = network.now + EMBRYO_LIFETIME + 0.1
    network.server_endpoint.on_client_found(CLIENT, now=late)
    assert list(network.server_endpoint.datagrams_to_send(now=late)) == []


def test_an_older_initiation_that_is_replayed_does_not_take_the_place_of_the_one_that_waits() -> None:
    recorded: list[bytes] = []
    network = Network(LINK)
    network.client_endpoint.handle_timeout(now=network.now)
    recorded += [transmit.data for transmit in network.client_endpoint.datagrams_to_send(now=network.now)]
    network.run(0.01)
    network.known_clients[CLIENT] = PENDING
    network.restart_client()
    network.run(0.1)
    for data in recorded:
        network.server_endpoint.receive_datagram(data, source="attacker", now=network.now)
    looked_up(network, "laptop")
    network.connect(limit=0.2)


def test_a_client_that_is_closed_for_a_reason_is_told_it_and_then_why_it_is_refused() -> None:
    network = Network(LINK, LINK).connect()
    network.run(0.2)
    network.known_clients[CLIENT] = Denial(Refusal.QUOTA_USED_UP, 1_900_000_000)
    network.server_endpoint.close_client(CLIENT, "the quota of 5 GB a day is used up", now=network.now)
    network.run(3)
    terminated = network.client.terminated
    assert terminated is not None
    assert (terminated.code, terminated.reason) == (ErrorCode.REVOKED, "the quota of 5 GB a day is used up")
    assert HandshakeRefused(Refusal.QUOTA_USED_UP, 1_900_000_000) in network.client_events
    network.known_clients[CLIENT] = "laptop"
    peers = len(network.client_peers)
    network.run_until(lambda: len(network.client_peers) > peers, limit=35)


def test_a_client_whose_key_is_looked_up_again_when_it_confirms_its_session_keeps_it() -> None:
    """A registry may have forgotten it: its table has a bound."""
    network = Network(LINK)
    network.run_until(lambda: bool(network.client_peers), limit=2)
    network.known_clients[CLIENT] = PENDING
    network.connect(limit=1)


def test_what_a_session_has_carried_counts_streams_and_datagrams_once() -> None:
    network = Network(LINK, LINK).connect()
    connection = network.client.connection
    before = connection.carried_bytes
    stream_id = connection.open_stream()
    connection.send_stream_data(stream_id, bytes(1000), end_stream=True)
    for _ in range(5):
        connection.send_datagram_frame(stream_id, bytes(100))
    network.run(1)
    assert connection.carried_bytes - before == 1500
    assert network.server.connection.carried_bytes == connection.carried_bytes
