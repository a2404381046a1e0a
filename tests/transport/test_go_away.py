"""A server that ends tells its clients in time; and two releases talk to each other in the version that both know."""

from dataclasses import replace

import pytest

from simnet import Network
from tandem.impair.impairment import Impairment
from tandem_transport.crypto.handshake import Refusal
from tandem_transport.endpoint import reception
from tandem_transport.endpoint.client import ClientEndpoint, HandshakeRefused
from tandem_transport.errors import ErrorCode
from tandem_transport.parameters import FIRST_VERSION, GO_AWAY_VERSION, VERSION
from tandem_transport.wire.frames import GoAwayFrame
from tandem_transport.wire.transport_parameters import TransportParameters

LINK = Impairment(delay=0.025)


def network_of(version: int) -> Network:
    """A client of another release, and a server of this one."""
    network = Network(LINK, LINK)
    identity = replace(network.identity(), parameters=TransportParameters(version=version))
    network.client_endpoint = ClientEndpoint(identity, now=network.now)
    for _ in range(2):
        network.client_endpoint.add_path(now=network.now)
    return network


def test_go_away_arrives_over_bad_links_and_streams_go_on() -> None:
    network = Network(Impairment(delay=0.025, loss=0.4), Impairment(delay=0.060, loss=0.4)).connect()
    stream_id = network.client.send(bytes(200_000))
    network.run(0.1)
    network.server_endpoint.go_away()
    network.run(4)
    assert network.client.go_aways == 1
    assert network.server.received[stream_id] == bytes(200_000)
    again = network.client.send(b"a stream that was opened before the client has moved")
    network.run(1)
    assert network.server.received[again]
    assert network.client.terminated is None


def test_a_server_that_goes_away_begins_no_session_and_answers_nobody() -> None:
    network = Network(LINK)
    network.server_endpoint.go_away()
    network.run(5)
    assert network.datagrams_to_client == 0
    network.restart_server()
    network.connect(limit=35)
    assert network.client.go_aways == 0


def test_a_session_that_begins_while_the_server_goes_away_is_told() -> None:
    network = Network(LINK)
    network.run_until(lambda: bool(network.client_peers), limit=2)  # the server has answered, and was not confirmed yet
    network.server_endpoint.go_away()
    network.connect(limit=1)
    network.run(0.5)
    assert network.client.go_aways == 1


@pytest.mark.parametrize(
    ("version", "told"), [(FIRST_VERSION, 0), (GO_AWAY_VERSION, 1), (VERSION + 1, 1), (1 << 40, 1)]
)
def test_the_newest_version_that_both_know_is_in_force(version: int, told: int) -> None:
    network = network_of(version).connect()
    expected = min(version, VERSION)
    assert network.client.connection.version == network.server.connection.version == expected
    network.server_endpoint.go_away()
    network.run(1)
    assert network.client.go_aways == told
    assert network.client.terminated is None


def test_an_end_that_does_not_name_its_version_has_the_first() -> None:
    encoded = TransportParameters().encode()
    without = encoded[: -len(b"\x07\x01\x02")]
    assert TransportParameters.decode(without).version == FIRST_VERSION
    assert TransportParameters.decode(encoded).version == VERSION


def test_a_release_that_is_too_old_is_told_so_by_a_server_that_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "MIN_VERSION", VERSION)
    network = network_of(FIRST_VERSION)
    network.run(1)
    assert HandshakeRefused(Refusal.VERSION) in network.client_events
    assert not network.server_endpoint.sessions


def test_a_stranger_learns_nothing_of_versions() -> None:
    network = network_of(FIRST_VERSION)
    network.known_clients.clear()
    network.run(1)
    refused = [event for event in network.client_events if isinstance(event, HandshakeRefused)]
    assert {event.code for event in refused} == {Refusal.UNKNOWN_KEY}


def test_go_away_from_a_client_breaks_the_protocol() -> None:
    network = Network(LINK).connect()
    network.client.connection._control.add(GoAwayFrame())  # pyright: ignore[reportPrivateUsage]
    network.client.send(b"x")
    network.run(1)
    terminated = network.server_peers[0].terminated
    assert terminated is not None
    assert terminated.code == ErrorCode.PROTOCOL_VIOLATION
