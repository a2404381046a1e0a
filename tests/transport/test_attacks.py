"""What strangers, and peers with a key that break the rules, can do: each attack by its name.

docs/threat-model.md says what is promised; this file tries it.
"""

import gc
from collections.abc import Callable, Iterator
from hashlib import blake2s
from itertools import count, islice, pairwise
from random import Random
from typing import Any

import pytest

from simnet import CLIENT_KEY, SERVER_KEY, Network, mbit, size_of
from simnet.attackers import SERVER_PUBLIC, HostileClient, first_message, sent_to
from tandem.impairment import Impairment
from tandem_transport.client_endpoint import ClientEndpoint, HandshakeRefused
from tandem_transport.connection_id import ConnectionIdIssuer
from tandem_transport.errors import ErrorCode
from tandem_transport.frames import (
    AckFrame,
    ConnectionCloseFrame,
    Frame,
    MaxStreamDataFrame,
    PathPolicyFrame,
    PathUse,
    PathWish,
    PingFrame,
    ResetStreamFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.handshake import (
    Challenged,
    ClientHandshake,
    CookieReceived,
    Established,
    Refusal,
    cookie_key,
    cookie_reply,
    mac1_key,
)
from tandem_transport.noise import public_key
from tandem_transport.packets import PacketType, message, split_datagram, transport_header
from tandem_transport.parameters import (
    AMPLIFICATION_LIMIT,
    ANSWERS_PER_HOST,
    COOKIE_HOLDERS_PER_SECOND,
    COOKIES_PER_SECOND,
    EMBRYO_LIFETIME,
    HANDSHAKE_BURST,
    HANDSHAKE_REPEAT,
    HANDSHAKE_RETRY,
    HANDSHAKES_PER_HOST,
    HANDSHAKES_PER_SECOND,
    MAX_CONTROL_QUEUE,
    MAX_EMBRYOS,
    MAX_LIMITED_HOSTS,
    MAX_SESSIONS,
    MAX_STREAMS,
    REFUSALS_PER_SECOND,
    RESETS_PER_HOST,
    RESETS_PER_ID,
    RESETS_PER_SECOND,
    SESSION_BUFFER,
    TransportParameters,
)
from tandem_transport.server_endpoint import ServerEndpoint

LINK = Impairment(delay=0.030, rate=mbit(50))


# --- tools ---


def record(network: Network, seconds: float) -> list[tuple[str, bytes]]:
    """What the client sends in some seconds, with the address that each datagram comes from."""
    caught: list[tuple[str, bytes]] = []

    def listen(data: bytes, address: str) -> None:
        caught.append((address, data))
        deliver(data, address)

    deliver, network.deliver_to_server = network.deliver_to_server, listen
    network.run(seconds)
    network.deliver_to_server = deliver
    return caught


def busy_network() -> Network:
    """A session with some traffic behind it."""
    network = Network(LINK, LINK).connect()
    stream_id = network.client.send(bytes(20_000))
    network.run_until(lambda: stream_id in network.server.ended, limit=5)
    network.run(1)
    return network


def works(network: Network) -> None:
    """The session still carries data both ways, and it is the same session."""
    client, server = network.client, network.server
    server.on_data = lambda stream_id, _, ends: server.send(b"yes", stream_id=stream_id) if ends else None
    stream_id = client.send(b"still there?")
    network.run_until(lambda: stream_id in client.ended, limit=5)
    assert client.received[stream_id] == b"yes"
    assert client.terminated is None
    assert server.terminated is None
    assert len(network.client_peers) == len(network.server_peers) == 1


def works_alone(network: Network) -> None:
    """The newest session carries data both ways."""
    network.run(1)
    server = network.server
    server.on_data = lambda stream_id, _, ends: server.send(b"yes", stream_id=stream_id) if ends else None
    stream_id = network.client.send(b"still there?")
    network.run_until(lambda: stream_id in network.client.ended, limit=5)


def endpoint_of_hosts(network: Network) -> ServerEndpoint:
    """A server for sources that are written HOST:PORT."""
    return ServerEndpoint(
        SERVER_KEY,
        network.known_clients.get,
        randomness=network.random.randbytes,
        now=0.0,
        host_of=lambda address: str(address).split(":")[0],
        networks_of=lambda address: (str(address).split(":")[0],),
    )


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
    data = first_message(Random(1)).first_message()
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


# --- who watches one link, and acts against the others ---


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

    def lose_first_messages(data: bytes, address: str) -> None:
        nonlocal drop
        if data[0] >> 4 == PacketType.INITIATION and drop > 0:
            drop -= address == network.addresses[0] and network.client.terminated is not None
            return
        deliver(data, address)

    network.deliver_to_server = lose_first_messages
    network.run_until(lambda: network.client.terminated is not None, limit=60)
    network.run_until(lambda: len(network.client_peers) == 2, limit=3 * HANDSHAKE_RETRY)


def test_many_networks_with_cookies_have_one_measure_together() -> None:
    """Each of thousands of hosts has proven its address: a customer with IPv6 has so many."""
    network = Network()
    endpoint = ServerEndpoint(
        SERVER_KEY,
        {public_key(CLIENT_KEY): "laptop"}.get,
        randomness=network.random.randbytes,
        now=0.0,
        networks_of=lambda address: (address, str(address).rsplit(".", 1)[0], str(address).split(".", 1)[0]),
    )
    random, timestamps = Random(3), count(1)

    def worked_on(sources: list[str]) -> int:
        done = 0
        for source in sources:
            handshake = first_message(random, timestamp_us=next(timestamps))
            endpoint.receive_datagram(handshake.first_message(), source=source, now=0.0)
            for data in sent_to(endpoint, source, now=0.0):
                answer = handshake.read_answer(split_datagram(data)[0])
                if isinstance(answer, CookieReceived):
                    endpoint.receive_datagram(handshake.first_message(answer.cookie), source=source, now=0.0)
                    answers = [handshake.read_answer(split_datagram(d)[0]) for d in sent_to(endpoint, source, now=0.0)]
                    done += any(isinstance(answer, Established) for answer in answers)
        return done

    worked_on(["somebody.1.1"] * HANDSHAKE_BURST)
    assert worked_on([f"one.7.{i}" for i in range(100)]) == 2 * HANDSHAKES_PER_HOST
    assert worked_on([f"one.{i}.1" for i in range(200)]) == 2 * HANDSHAKES_PER_HOST
    assert worked_on([f"{i}.1.1" for i in range(600)]) == COOKIE_HOLDERS_PER_SECOND - 4 * HANDSHAKES_PER_HOST


def test_a_cookie_is_answered_once() -> None:
    """Copies of it, sent by whoever saw it, must not become copies of the larger first message."""
    network = Network(LINK)
    network.is_server_up = False
    network.run(0.001)
    inside: Any = network.client_endpoint
    packet = split_datagram(inside._handshakes[0].first_message())[0]
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


# --- spoofed addresses ---


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
    network.run(20)
    assert 0 < network.bytes_to["victim"] <= AMPLIFICATION_LIMIT * spent


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


# --- floods of first messages ---

FLOOD = 50_000


def echo_times(network: Network, seconds: float, flood: Callable[[], None]) -> list[float]:
    """Round trips of small messages, with `flood` called a hundred times a second."""
    client, server = network.client, network.server
    server.on_data = lambda stream_id, data, _: server.connection.send_stream_data(stream_id, data)
    stream_id = client.connection.open_stream()
    times: list[float] = []
    sent_at = 0.0

    def on_answer(answered: int, data: bytes, _: bool) -> None:
        if answered == stream_id:
            times.append(network.now - sent_at)

    client.on_data = on_answer
    for _ in range(round(seconds * 10)):
        sent_at = network.now
        client.connection.send_stream_data(stream_id, b"key")
        for _ in range(10):
            flood()
            network.run(0.01)
    return times


@pytest.mark.parametrize("kind", ["random keys", "valid mac1"])
def test_fifty_thousand_first_messages(kind: str) -> None:
    """A working session does not notice (in real time: tests/benchmarks/flood.py); memory is bounded."""
    network = busy_network()
    calm = echo_times(network, 1, lambda: None)
    random = Random(7)
    template = first_message(random, key=random.randbytes(32)).first_message()
    endpoint, sent, received = network.server_endpoint, 0, 0
    gc.collect()
    before = size_of(endpoint)

    def forge(i: int) -> bytes:
        if kind == "random keys":
            return template[:1] + i.to_bytes(16, "big") + template[17:-32] + random.randbytes(32)
        return first_message_like(template, i)  # the best that can be done without a registered key

    def flood() -> None:
        nonlocal sent, received
        for _ in range(FLOOD // 500):
            data = forge(sent)
            sent += 1
            endpoint.receive_datagram(data, source=f"10.{sent >> 8 & 255}.{sent & 255}.1", now=network.now)
        for transmit in endpoint.datagrams_to_send(now=network.now):
            assert len(transmit.data) <= len(template)
            received += transmit.address not in network.addresses
            network.to_client(str(transmit.address), transmit.data)

    times = echo_times(network, 5, flood)
    assert sent == FLOOD
    assert max(times) < 2 * max(calm)
    assert size_of(endpoint) - before < 2_000_000
    counters = endpoint.counters
    if kind == "random keys":
        assert received == 0
        assert counters.bad_mac1 == FLOOD
    else:
        assert FLOOD - counters.cookies - counters.limited <= HANDSHAKES_PER_SECOND * 6
        assert counters.cookies <= COOKIES_PER_SECOND * 6
        assert counters.refused <= REFUSALS_PER_SECOND * 6
    works(network)


def first_message_like(template: bytes, i: int) -> bytes:
    """Another handshake id, the mac1 made right again."""
    unsigned = template[:1] + i.to_bytes(16, "big") + template[17:-32]
    return unsigned + blake2s(unsigned, key=mac1_key(SERVER_PUBLIC), digest_size=16).digest() + bytes(16)


def test_one_host_with_a_cookie_does_not_use_up_the_server() -> None:
    """It answers for its address, and sends on: under load each host has its own measure."""
    network = Network()
    endpoint = endpoint_of_hosts(network)
    random = Random(3)
    worked_on = 0
    for i in range(2000):
        handshake = first_message(random, timestamp_us=i + 1)
        source = f"attacker:{i}"
        endpoint.receive_datagram(handshake.first_message(), source=source, now=0.0)
        for data in sent_to(endpoint, source, now=0.0):
            answer = handshake.read_answer(split_datagram(data)[0])
            if isinstance(answer, CookieReceived):
                endpoint.receive_datagram(handshake.first_message(answer.cookie), source=source, now=0.0)
                answers = [handshake.read_answer(split_datagram(d)[0]) for d in sent_to(endpoint, source, now=0.0)]
                worked_on += any(isinstance(answer, Established) for answer in answers)
    assert worked_on == HANDSHAKES_PER_HOST
    assert endpoint.counters.limited == 2000 - HANDSHAKE_BURST - HANDSHAKES_PER_HOST
    # Another host still gets in.
    handshake = first_message(random, timestamp_us=5000)
    endpoint.receive_datagram(handshake.first_message(), source="other:1", now=0.0)
    cookie = handshake.read_answer(split_datagram(sent_to(endpoint, "other:1", now=0.0)[0])[0])
    assert isinstance(cookie, CookieReceived)
    endpoint.receive_datagram(handshake.first_message(cookie.cookie), source="other:1", now=0.0)
    answer = handshake.read_answer(split_datagram(sent_to(endpoint, "other:1", now=0.0)[0])[0])
    assert isinstance(answer, Established)


def test_tables_of_a_server_are_bounded() -> None:
    network = Network()
    endpoint = network.server_endpoint
    random = Random(4)
    for i in range(2 * MAX_EMBRYOS):
        endpoint.receive_datagram(first_message(random, timestamp_us=i + 1).first_message(), source=i, now=network.now)
        list(endpoint.datagrams_to_send(now=network.now))
        network.now += 1 / HANDSHAKES_PER_SECOND
    assert size_of(endpoint) < 60_000_000
    network.now += EMBRYO_LIFETIME + 1
    last = first_message(random, timestamp_us=10_000)
    endpoint.receive_datagram(last.first_message(), source="last", now=network.now)
    assert size_of(endpoint) < 1_500_000, "what is left are measures"
    assert MAX_LIMITED_HOSTS < 10_000


def test_first_messages_of_strangers_get_few_refusals() -> None:
    network = Network()
    random = Random(5)
    refusals = 0
    for _ in range(100):
        handshake = first_message(random, key=random.randbytes(32))
        network.server_endpoint.receive_datagram(handshake.first_message(), source="x", now=network.now)
        answers = sent_to(network.server_endpoint, "x", now=network.now)
        refusals += sum(data[0] >> 4 == PacketType.REFUSED for data in answers)
    assert refusals == REFUSALS_PER_SECOND


def test_resets_are_limited_and_smaller_than_their_cause() -> None:
    network = Network()
    issuer = ConnectionIdIssuer(SERVER_KEY)

    def resets(connection_ids: list[bytes], *, many_hosts: bool = False) -> int:
        network.now += 1
        count = 0
        for i, connection_id in enumerate(connection_ids):
            packet = transport_header(0, connection_id, 0, 0, 1) + bytes(16)
            source = f"x{i}" if many_hosts else "x"
            network.server_endpoint.receive_datagram(packet, source=source, now=network.now)
            sent = sent_to(network.server_endpoint, source, now=network.now)
            assert all(len(data) < len(packet) for data in sent)
            count += len(sent)
        return count

    known = [issuer.issue(network.random.randbytes(8)) for _ in range(2 * RESETS_PER_SECOND)]
    assert resets(known) == RESETS_PER_HOST
    assert resets(known, many_hosts=True) == RESETS_PER_SECOND
    assert resets([network.random.randbytes(16) for _ in range(1000)]) == 0
    # One old id that somebody has seen does not use up what the others need.
    assert resets([known[0]] * 1000 + known[1:10]) == RESETS_PER_ID + 9


# --- clocks and keys ---


def test_a_clock_that_is_ten_years_back_costs_one_challenge() -> None:
    network = Network(LINK).connect()
    ten_years = 10 * 365 * 86400
    network.client_endpoint = ClientEndpoint(
        CLIENT_KEY,
        SERVER_PUBLIC,
        randomness=network.random.randbytes,
        wall_clock=lambda: max(0.0, network.now - ten_years),
        now=network.now,
    )
    network.client_endpoint.add_path(now=network.now)
    network.run_until(lambda: len(network.server_peers) == 2, limit=0.2)
    assert network.server_endpoint.counters.challenged == 1


def test_a_challenge_is_of_no_use_to_another_client() -> None:
    """The token of one client and instance does not open the door to a replay of another's."""
    network = Network(LINK).connect()
    random = Random(6)
    other_key = random.randbytes(32)
    network.known_clients[public_key(other_key)] = "other"
    stale = first_message(random, timestamp_us=0)
    network.server_endpoint.receive_datagram(stale.first_message(), source="x", now=network.now)
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
    network.server_endpoint.receive_datagram(handshake.first_message(), source="x", now=network.now)
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
    handshake = first_message(network.random, key=other_key, timestamp_us=1)
    network.server_endpoint.receive_datagram(handshake.first_message(), source="other", now=network.now)
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
    wishes = tuple(PathWish(i, PathUse.AVAILABLE, 1 << 40) for i in range(32))
    hostile.attack([[PathPolicyFrame(i, 99, wishes)] for i in range(2, 3000)])
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
