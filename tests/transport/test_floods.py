"""Floods of first messages and of packets without a session: each table and each answer has its measure."""

import gc
from hashlib import blake2s
from itertools import count, repeat
from random import Random

import pytest

from simnet import CLIENT_KEY, SERVER_KEY, Network, size_of
from simnet.attackers import endpoint_of_hosts, gets_in_by_cookie, initiation, sent_to
from simnet.network import SERVER_PUBLIC
from simnet.working_session import busy_network, echo_times, works
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.crypto.handshake import mac1_key
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.server import ServerEndpoint
from tandem_transport.parameters import (
    COOKIE_HOLDERS_PER_SECOND,
    COOKIES_PER_SECOND,
    EMBRYO_LIFETIME,
    HANDSHAKE_BURST,
    HANDSHAKES_PER_HOST,
    HANDSHAKES_PER_SECOND,
    MAX_EMBRYOS,
    MAX_LIMITED_HOSTS,
    REFUSALS_PER_SECOND,
    RESETS_PER_HOST,
    RESETS_PER_ID,
    RESETS_PER_SECOND,
)
from tandem_transport.wire.packets import PacketType, transport_header

FLOOD = 50_000


@pytest.mark.parametrize("kind", ["random keys", "valid mac1"])
def test_fifty_thousand_first_messages(kind: str) -> None:
    """A working session does not notice (in real time: tests/benchmarks/flood.py); memory is bounded."""
    network = busy_network()
    calm = echo_times(network, 1, lambda: None)
    random = Random(7)
    template = initiation(random, key=random.randbytes(32)).initiation()
    endpoint, sent, received = network.server_endpoint, 0, 0
    gc.collect()
    before = size_of(endpoint)

    def forge(i: int) -> bytes:
        if kind == "random keys":
            return template[:1] + i.to_bytes(16, "big") + template[17:-32] + random.randbytes(32)
        return initiation_like(template, i)  # the best that can be done without a registered key

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


def initiation_like(template: bytes, i: int) -> bytes:
    """Another handshake id, the mac1 made right again."""
    unsigned = template[:1] + i.to_bytes(16, "big") + template[17:-32]
    return unsigned + blake2s(unsigned, key=mac1_key(SERVER_PUBLIC), digest_size=16).digest() + bytes(16)


def test_one_host_with_a_cookie_does_not_use_up_the_server() -> None:
    """It answers for its address, and sends on: under load each host has its own measure."""
    endpoint = endpoint_of_hosts(Network())
    random = Random(3)
    worked_on = sum(
        gets_in_by_cookie(endpoint, initiation(random, timestamp_us=i + 1), f"attacker:{i}") for i in range(2000)
    )
    assert worked_on == HANDSHAKES_PER_HOST
    assert endpoint.counters.limited == 2000 - HANDSHAKE_BURST - HANDSHAKES_PER_HOST
    # Another host still gets in.
    assert gets_in_by_cookie(endpoint, initiation(random, timestamp_us=5000), "other:1")


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
        messages = (initiation(random, timestamp_us=next(timestamps)) for _ in sources)
        return sum(map(gets_in_by_cookie, repeat(endpoint), messages, sources))

    worked_on(["somebody.1.1"] * HANDSHAKE_BURST)
    assert worked_on([f"one.7.{i}" for i in range(100)]) == 2 * HANDSHAKES_PER_HOST
    assert worked_on([f"one.{i}.1" for i in range(200)]) == 2 * HANDSHAKES_PER_HOST
    assert worked_on([f"{i}.1.1" for i in range(600)]) == COOKIE_HOLDERS_PER_SECOND - 4 * HANDSHAKES_PER_HOST


def test_tables_of_a_server_are_bounded() -> None:
    network = Network()
    endpoint = network.server_endpoint
    random = Random(4)
    for i in range(2 * MAX_EMBRYOS):
        endpoint.receive_datagram(initiation(random, timestamp_us=i + 1).initiation(), source=i, now=network.now)
        list(endpoint.datagrams_to_send(now=network.now))
        network.now += 1 / HANDSHAKES_PER_SECOND
    assert size_of(endpoint) < 60_000_000
    network.now += EMBRYO_LIFETIME + 1
    last = initiation(random, timestamp_us=10_000)
    endpoint.receive_datagram(last.initiation(), source="last", now=network.now)
    assert size_of(endpoint) < 1_500_000, "what is left are measures"
    assert MAX_LIMITED_HOSTS < 10_000


def test_first_messages_of_strangers_get_few_refusals() -> None:
    network = Network()
    random = Random(5)
    refusals = 0
    for _ in range(100):
        handshake = initiation(random, key=random.randbytes(32))
        network.server_endpoint.receive_datagram(handshake.initiation(), source="x", now=network.now)
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
