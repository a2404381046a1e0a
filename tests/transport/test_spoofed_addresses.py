"""Packets that come from addresses where their sender is not: nobody else is flooded, no path is stolen."""

from itertools import count

import pytest

from simnet import Network
from simnet.working_session import LINK, busy_network, works
from tandem_transport.parameters import AMPLIFICATION_LIMIT


@pytest.mark.parametrize("lead", [0.0, 0.005], ids=["first only", "every packet"])
def test_a_genuine_packet_raced_in_from_a_spoofed_address(lead: float) -> None:
    """Everything that the client sends on one link is copied and arrives first, from a victim's address."""
    network = busy_network()
    towards_server = network.deliver_to_server
    raced = 0

    def race(data: bytes, address: str) -> None:
        nonlocal raced
        if address == network.addresses[0] and (lead or not raced):
            raced += len(data)
            network.server_endpoint.receive_datagram(data, source="victim", now=network.now)
            network.after(lead, lambda: towards_server(data, address))
        else:
            towards_server(data, address)

    network.deliver_to_server = race
    server, body = network.server, network.random.randbytes(5_000_000)
    server.on_data = lambda stream_id, _, ends: server.send(body, stream_id=stream_id) if ends else None
    stream_id = network.client.send(b"get")
    took = network.run_until(lambda: stream_id in network.client.ended, limit=10)
    assert network.client.received[stream_id] == body
    assert 0 < network.bytes_to.get("victim", 0) <= AMPLIFICATION_LIMIT * raced
    if lead:
        assert network.bytes_to["victim"] < 0.1 * len(body), "a challenge now and then, no data"
    assert took < 2.0
    # The path was not stolen: it ends where the client is.
    network.deliver_to_server = towards_server
    works(network)
    network.run(1)
    assert network.server.connection.stats(now=network.now).paths[0].address == network.addresses[0]


def test_a_client_that_names_a_victim_as_its_address_hits_it_with_three_times_its_own_bytes_at_most() -> None:
    """The attacker has a key of the server, and wants its downloads to flood somebody else."""
    network = Network(LINK).connect()
    network.run(1)
    spent = 0

    def from_victim(data: bytes, address: str) -> None:
        nonlocal spent
        spent += len(data)
        network.server_endpoint.receive_datagram(data, source="victim", now=network.now)

    server = network.server
    server.on_data = lambda stream_id, _, ends: server.send(bytes(5_000_000), stream_id=stream_id) if ends else None
    network.deliver_to_server = from_victim
    network.client.send(b"get")
    for _ in range(200):  # at each moment: in the end the attacker's probes would have paid for much
        network.run(0.1)
        assert network.bytes_to["victim"] <= AMPLIFICATION_LIMIT * spent
    assert network.bytes_to["victim"] > 0


def test_an_address_that_the_client_had_once_is_a_victim_like_any_other() -> None:
    """The client has moved away; somebody copies its packets and sends them first, from where it was."""
    network = Network(LINK).connect()
    network.run(2)
    network.move(0)
    network.client.send(b"here I am")
    network.run(2)
    raced = 0
    towards_server = network.deliver_to_server

    def race(data: bytes, address: str) -> None:
        nonlocal raced
        raced += len(data)
        network.server_endpoint.receive_datagram(data, source="client-link-0", now=network.now)
        network.after(0.005, lambda: towards_server(data, address))

    before = network.bytes_to["client-link-0"]
    network.deliver_to_server = race
    server, body = network.server, network.random.randbytes(3_000_000)
    server.on_data = lambda stream_id, _, ends: server.send(body, stream_id=stream_id) if ends else None
    stream_id = network.client.send(b"get")
    network.run_until(lambda: stream_id in network.client.ended, limit=10)
    assert network.bytes_to["client-link-0"] - before <= AMPLIFICATION_LIMIT * raced


def test_a_source_that_flaps_makes_no_storm() -> None:
    """Every other packet of an idle client comes from another address."""
    network = Network(LINK).connect()
    network.run(20)
    towards_server = network.deliver_to_server
    numbers = count()

    def flap(data: bytes, _: str) -> None:
        towards_server(data, network.addresses[0] if next(numbers) % 2 else "other")

    network.deliver_to_server = flap
    before = network.datagrams_to_client
    to_client, network.addresses = network.addresses[0], [network.addresses[0]]
    network.run(60)
    assert network.datagrams_to_client - before < 60 * 10
    assert network.client.terminated is None
    assert network.addresses == [to_client]
