"""What strangers, and peers with a key that break the rules, can do: each attack by its name.

docs/threat-model.md says what is promised; this file tries it, and with it test_floods.py,
test_spoofed_addresses.py and test_watched_link.py.
"""

import gc
from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from simnet import CLIENT_KEY, Network, size_of
from simnet.attackers import HostileClient, endpoint_of_hosts, initiation, sent_to
from simnet.network import SERVER_PUBLIC
from simnet.working_session import LINK, busy_network, echo_times, record, works
from tandem_transport.crypto.handshake import Challenged, ClientHandshake, Established, Refusal
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.client import ClientEndpoint, HandshakeRefused
from tandem_transport.errors import ErrorCode
from tandem_transport.parameters import (
    ANSWERS_PER_HOST,
    EMBRYO_LIFETIME,
    HANDSHAKES_PER_SECOND,
    MAX_CONTROL_QUEUE,
    MAX_SESSIONS,
    MAX_STREAMS,
    SESSION_BUFFER,
)
from tandem_transport.wire.frames import (
    AckFrame,
    ConnectionCloseFrame,
    Frame,
    MaxStreamDataFrame,
    PathPolicyFrame,
    PathPreference,
    PathUse,
    PingFrame,
    ResetStreamFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.wire.packets import PacketType, message, split_datagram
from tandem_transport.wire.transport_parameters import TransportParameters

# --- forged, truncated, bit-flipped ---


def forgeries(random: Random, genuine: list[bytes]) -> Iterator[bytes]:
    for data in genuine:
        yield data[: random.randrange(len(data))]
        index = random.randrange(len(data))
        yield data[:index] + bytes([data[index] ^ (1 << random.randrange(8))]) + data[index + 1 :]
        yield data[:26] + random.randbytes(len(data) - 26)
        yield data + random.randbytes(random.randrange(1, 40))
        yield random.randbytes(len(data))


def test_forged_truncated_and_bit_flipped_datagrams_change_nothing() -> None:
    network = busy_network()
    network.client.send(bytes(50_000))
    genuine = [data for _, data in record(network, 2)]
    before = len(network.server_endpoint.sessions), network.server.connection.stats(now=network.now).streams_total
    answered: list[bytes] = []
    for data in forgeries(network.random, genuine):
        network.server_endpoint.receive_datagram(data, source="stranger", now=network.now)
        network.client_endpoint.receive_datagram(0, data, now=network.now)
        answered += sent_to(network.server_endpoint, "stranger", now=network.now)
    assert answered == []
    stats = network.server.connection.stats(now=network.now)
    assert before == (len(network.server_endpoint.sessions), stats.streams_total)
    assert {path.address for path in stats.paths} == set(network.addresses)
    works(network)


def test_every_single_bit_of_a_packet_is_authenticated() -> None:
    network = busy_network()
    network.client.connection.send_stream_data(network.client.connection.open_stream(), b"x" * 60)
    data = next(iter(network.client_endpoint.datagrams_to_send(now=network.now))).data
    total = network.server.connection.stats(now=network.now).streams_total
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        network.server_endpoint.receive_datagram(bytes(flipped), source="stranger", now=network.now)
    assert network.server.connection.stats(now=network.now).streams_total == total
    network.server_endpoint.receive_datagram(data, source=network.addresses[0], now=network.now)
    assert network.server.connection.stats(now=network.now).streams_total == total + 1


def test_forged_stateless_resets_end_no_session() -> None:
    network = busy_network()
    connection_id = network.client.connection.connection_id
    for _ in range(1000):
        reset = message(PacketType.STATELESS_RESET, connection_id, network.random.randbytes(16))
        network.client_endpoint.receive_datagram(0, reset, now=network.now)
    works(network)


# --- replayed ---


def test_replayed_in_the_same_session() -> None:
    network = busy_network()
    network.client.send(bytes(30_000))
    caught = record(network, 2)
    stats = network.server.connection.stats(now=network.now)
    for source, data in caught * 3:
        network.server_endpoint.receive_datagram(data, source=source, now=network.now)
        network.server_endpoint.receive_datagram(data, source="stranger", now=network.now)
    assert sent_to(network.server_endpoint, "stranger", now=network.now) == []
    after = network.server.connection.stats(now=network.now)
    assert after.stream_bytes_received == stats.stream_bytes_received
    assert after.streams_total == stats.streams_total
    assert {path.address for path in after.paths} == set(network.addresses)
    works(network)


def test_replayed_into_another_session_of_the_same_client() -> None:
    network = busy_network()
    network.client.send(bytes(30_000))
    caught = record(network, 2)
    network.restart_client()
    network.run_until(lambda: len(network.server_peers) == 2, limit=2)
    network.run(1)
    new = network.server.connection
    before = new.stats(now=network.now).stream_bytes_received
    for _, data in caught:
        forged = data[:1] + new.connection_id + data[17:]
        network.server_endpoint.receive_datagram(forged, source="stranger", now=network.now)
    assert sent_to(network.server_endpoint, "stranger", now=network.now) == []
    assert new.stats(now=network.now).stream_bytes_received == before


def test_replayed_across_a_restart_of_the_server() -> None:
    """Packets get a reset that is smaller than they are; first messages make sessions that nobody can confirm."""
    network = Network(LINK)
    caught = record(network, 3)
    network.client.send(bytes(30_000))
    caught += record(network, 2)
    network.restart_server()
    endpoint = network.server_endpoint
    sizes_in = sizes_out = 0
    for _ in range(3):
        for _, data in caught:
            endpoint.receive_datagram(data, source="stranger", now=network.now)
            answers = sent_to(endpoint, "stranger", now=network.now)
            assert all(len(answer) < len(data) for answer in answers)
            sizes_in, sizes_out = sizes_in + len(data), sizes_out + sum(map(len, answers))
        network.now += 10
    assert sizes_out < sizes_in
    assert endpoint.sessions == []
    assert list(iter(endpoint.next_event, None)) == []


def test_replayed_first_messages_neither_disturb_nor_let_anybody_in() -> None:
    network = Network(LINK, LINK)
    caught = [data for _, data in record(network, 2) if data[0] >> 4 == PacketType.INITIATION]
    assert caught
    for _ in range(50):
        network.run(1)
        for data in caught:
            network.server_endpoint.receive_datagram(data, source="stranger", now=network.now)
        sent = sent_to(network.server_endpoint, "stranger", now=network.now)
        assert sum(map(len, sent)) < sum(map(len, caught))
    assert len(network.server_endpoint.sessions) == 1
    works(network)


def test_copies_of_a_raced_first_message_get_the_same_bytes_and_each_host_a_few() -> None:
    network = Network()
    endpoint = endpoint_of_hosts(network)
    data = initiation(Random(1)).initiation()
    answers: set[bytes] = set()

    def answered(host: str) -> int:
        count = 0
        for port in range(100):
            endpoint.receive_datagram(data, source=f"{host}:{port}", now=0.0)
            sent = sent_to(endpoint, f"{host}:{port}", now=0.0)
            answers.update(sent)
            count += len(sent)
        return count

    assert [answered(f"host {i}") for i in range(50)] == [ANSWERS_PER_HOST] * 50
    assert len(answers) == 1


# --- clocks and keys ---


def test_a_clock_that_is_ten_years_back_costs_one_challenge() -> None:
    network = Network(LINK).connect()
    ten_years = 10 * 365 * 86400
    identity = network.identity(wall_clock=lambda: max(0.0, network.now - ten_years))
    network.client_endpoint = ClientEndpoint(identity, now=network.now)
    network.client_endpoint.add_path(now=network.now)
    network.run_until(lambda: len(network.server_peers) == 2, limit=0.2)
    assert network.server_endpoint.counters.challenged == 1


def test_a_challenge_is_of_no_use_to_another_client() -> None:
    """The token of one client and instance does not open the door to a replay of another's."""
    network = Network(LINK).connect()
    random = Random(6)
    other_key = random.randbytes(32)
    network.known_clients[public_key(other_key)] = "other"
    stale = initiation(random, timestamp_us=0)
    network.server_endpoint.receive_datagram(stale.initiation(), source="x", now=network.now)
    challenge = stale.read_answer(split_datagram(sent_to(network.server_endpoint, "x", now=network.now)[0])[0])
    assert isinstance(challenge, Challenged)
    handshake = ClientHandshake(
        static_private=CLIENT_KEY,
        server_public=SERVER_PUBLIC,
        parameters=TransportParameters(),
        instance_id=b"another!",
        timestamp_us=0,
        token=challenge.token,
        randomness=random.randbytes,
    )
    network.server_endpoint.receive_datagram(handshake.initiation(), source="x", now=network.now)
    answer = handshake.read_answer(split_datagram(sent_to(network.server_endpoint, "x", now=network.now)[0])[0])
    assert not isinstance(answer, Established)


def test_a_revoked_client_does_not_come_in_by_an_answer_that_it_held_back() -> None:
    network = Network()
    hostile = HostileClient(network, confirm=False)
    network.known_clients.clear()
    network.server_endpoint.remove_client(public_key(CLIENT_KEY), now=network.now)
    hostile.send([PingFrame()])
    network.flush()
    assert network.server_endpoint.sessions == []
    assert [data[0] >> 4 for data in hostile.received] == [PacketType.RESPONSE, PacketType.STATELESS_RESET]


def test_an_answer_that_was_held_back_for_long_is_worth_nothing() -> None:
    network = Network()
    hostile = HostileClient(network, confirm=False)
    network.now += EMBRYO_LIFETIME + 1
    hostile.send([PingFrame()])
    assert network.server_endpoint.sessions == []


def test_one_key_with_many_short_sessions_locks_nobody_out() -> None:
    network = Network()
    other_key = network.random.randbytes(32)
    network.known_clients[public_key(other_key)] = "other"
    for _ in range(3 * MAX_SESSIONS):
        HostileClient(network, instance_id=b"instance")
        network.now += 1 / HANDSHAKES_PER_SECOND
    assert len(network.server_endpoint.sessions) <= 2 * MAX_SESSIONS
    handshake = initiation(network.random, key=other_key, timestamp_us=1)
    network.server_endpoint.receive_datagram(handshake.initiation(), source="other", now=network.now)
    (answer,) = sent_to(network.server_endpoint, "other", now=network.now)
    assert isinstance(handshake.read_answer(split_datagram(answer)[0]), Established)


def test_keys_that_shake_hands_all_at_once_do_not_exceed_the_limit() -> None:
    network = Network()
    keys = [network.random.randbytes(32) for _ in range(MAX_SESSIONS + 20)]
    hostile: list[HostileClient] = []
    for key in keys:
        network.known_clients[public_key(key)] = "somebody"
        hostile.append(HostileClient(network, key=key, confirm=False))
        network.now += 1 / HANDSHAKES_PER_SECOND
    for one in hostile:
        one.send([PingFrame()])
    assert len(network.server_endpoint.sessions) == MAX_SESSIONS


def test_what_follows_a_close_counts_nowhere() -> None:
    """Sessions that end with frames after their CONNECTION_CLOSE take nothing from the memory that all share."""
    network = busy_network()
    for _ in range(60):
        hostile = HostileClient(network)
        hostile.send([ConnectionCloseFrame(0, ""), *(ResetStreamFrame(2 * i, 0, 65536) for i in range(2))])
        network.run(0.5)
    server, body = network.server_peers[0], network.random.randbytes(8_000_000)
    stream_id = network.client.send(body)
    assert network.run_until(lambda: stream_id in server.ended, limit=20) < 3.5
    assert server.received[stream_id] == body


def test_sessions_that_are_not_welcome_take_no_memory_along() -> None:
    """Each packet that would confirm one makes its windows grow before it is turned down."""
    network = busy_network()
    key = network.random.randbytes(32)
    for _ in range(6):
        network.known_clients[public_key(key)] = "other"
        hostile = HostileClient(network, key=key, confirm=False)
        del network.known_clients[public_key(key)]
        hostile.send([ResetStreamFrame(2 * i, 0, 65536) for i in range(200)])
        network.run(0.5)
    server, body = network.server_peers[0], network.random.randbytes(8_000_000)
    stream_id = network.client.send(body)
    assert network.run_until(lambda: stream_id in server.ended, limit=20) < 3.5


def test_a_revoked_key_is_refused_with_words_that_only_its_owner_can_read() -> None:
    network = Network(LINK, known_clients={})
    network.run_until(lambda: HandshakeRefused(Refusal.UNKNOWN_KEY) in network.client_events, limit=1)
    assert network.server_endpoint.sessions == []


# --- a peer with a valid key ---


def hostile_payloads() -> dict[str, tuple[list[list[Frame]], ErrorCode]]:
    """Packets of frames that break the rules, each kind with the code that it must be closed with."""
    many = 3 * MAX_CONTROL_QUEUE
    return {
        "session window exceeded": (
            [[StreamFrame(4 * i, 60_000, bytes(1000), False)] for i in range(SESSION_BUFFER // 60_000 + 20)],
            ErrorCode.FLOW_CONTROL_ERROR,
        ),
        "stream window exceeded": ([[StreamFrame(0, 1 << 20, b"x", False)]], ErrorCode.FLOW_CONTROL_ERROR),
        "absurd offset": ([[StreamFrame(0, (1 << 62) - 2, b"x", False)]], ErrorCode.FLOW_CONTROL_ERROR),
        "absurd stream id": ([[StreamFrame((1 << 62) - 2, 0, b"x", False)]], ErrorCode.STREAM_LIMIT_ERROR),
        "streams without end": (
            [[StreamFrame(2 * i, 0, b"x", False)] for i in range(2 * MAX_STREAMS)],
            ErrorCode.STREAM_LIMIT_ERROR,
        ),
        "a stream of ours that we never opened": ([[StopSendingFrame(1, 0)]], ErrorCode.STREAM_STATE_ERROR),
        "data after the end": (
            [[StreamFrame(0, 0, b"end", True), StreamFrame(0, 3, b"more", False)]],
            ErrorCode.FINAL_SIZE_ERROR,
        ),
        "two ends": (
            [[ResetStreamFrame(0, 0, 100), StreamFrame(0, 0, b"x", True)], [MaxStreamDataFrame(3, 1, 1)]],
            ErrorCode.STREAM_STATE_ERROR,
        ),
        "overlaps without end": (
            [[StreamFrame(0, 2 * i + 1, b"x", False)] for i in range(20_000)],
            ErrorCode.PROTOCOL_VIOLATION,
        ),
        "acknowledged, never sent": ([[AckFrame(0, 0, 0, 0, ((0, 1 << 40),))]], ErrorCode.PROTOCOL_VIOLATION),
        "acknowledged on a path without packets": (
            [[AckFrame(9, 0, 0, 0, ((0, 0),))]],
            ErrorCode.PROTOCOL_VIOLATION,
        ),
        "questions without end": (
            [[StreamFrame(2 * i, 0, b"x", True), StopSendingFrame(2 * i, 0)] for i in range(many)],
            ErrorCode.PROTOCOL_VIOLATION,
        ),
    }


@pytest.mark.parametrize("kind", hostile_payloads())
def test_a_peer_that_breaks_the_protocol_is_closed_and_others_do_not_notice(kind: str) -> None:
    packets, code = hostile_payloads()[kind]
    network = busy_network()
    server = network.server
    gc.collect()
    before = size_of(network.server_endpoint)
    hostile = HostileClient(network)
    hostile.attack(packets)
    assert hostile.peer.terminated is not None
    assert hostile.peer.terminated.code == code
    assert hostile.peer.terminated.reason
    assert not hostile.peer.connection.is_open
    assert size_of(network.server_endpoint) - before < 16_000_000
    # The other session, of the same client even, works as before.
    server.on_data = lambda stream_id, _, ends: server.send(b"yes", stream_id=stream_id) if ends else None
    stream_id = network.client.send(b"?")
    network.run_until(lambda: stream_id in network.client.ended, limit=1)
    assert server.terminated is None


def test_policies_without_end_keep_no_memory() -> None:
    network = busy_network()
    hostile = HostileClient(network)
    gc.collect()
    before = size_of(network.server_endpoint)
    preferences = tuple(PathPreference(i, PathUse.AVAILABLE, 1 << 40) for i in range(32))
    hostile.attack([[PathPolicyFrame(i, 99, preferences)] for i in range(2, 3000)])
    assert size_of(network.server_endpoint) - before < 1_000_000
    assert hostile.peer.terminated is None


def test_streams_opened_and_reset_as_fast_as_they_may_be() -> None:
    """Thousands of streams a second, all reset at once by their client: none stays, and the neighbour's echo lives."""
    network = busy_network()
    calm = max(echo_times(network, 1, lambda: None))
    hostile = HostileClient(network)
    streams = iter(range(0, 1 << 20, 2))

    def churn() -> None:
        hostile.attack([[StreamFrame(i, 0, b"x", False), ResetStreamFrame(i, 0, 1)] for i in islice(streams, 50)])
        for opened in hostile.peer.opened:
            hostile.peer.connection.reset_stream(opened)
        hostile.peer.opened.clear()

    network.server_peers.pop(-1)
    network.server_peers.insert(0, hostile.peer)
    assert max(echo_times(network, 2, churn)) < 2 * calm
    if hostile.peer.terminated is None:
        assert hostile.peer.connection.stats(now=network.now).streams_open <= MAX_STREAMS
    assert network.server.terminated is None
