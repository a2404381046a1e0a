"""What must hold in every history: bytes arrive once and in order, or the stream is reset."""

import os
from random import Random

import pytest

from simnet import Network, mbit
from tandem.impairment import Impairment

SEEDS = [int(os.environ["SIMNET_SEED"])] if "SIMNET_SEED" in os.environ else range(250)
"""A failing seed is in the test's name; SIMNET_SEED=17 replays that history alone."""


def random_link(random: Random) -> Impairment:
    return Impairment(
        loss=random.choice([0.0, 0.0, 0.05, 0.2, 0.4]),
        delay=random.uniform(0.001, 0.2),
        jitter=random.choice([0.0, 0.005, 0.03]),
        rate=mbit(random.choice([1.0, 5.0, 50.0])),
        queue=random.choice([0.03, 0.1, 1.0]),
        duplicate=random.choice([0.0, 0.05]),
        reorder=random.choice([0.0, 0.0, 0.05]),
    )


def flip_a_bit(data: bytes, random: Random) -> bytes:
    if random.random() > 0.01:
        return data
    index = random.randrange(len(data))
    return data[:index] + bytes([data[index] ^ (1 << random.randrange(8))]) + data[index + 1 :]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_sent_arrives_once_in_order_or_the_stream_is_reset(seed: int) -> None:
    random = Random(seed)
    links = [random_link(random) for _ in range(random.choice([1, 2, 2, 3]))]
    network = Network(*links, seed=seed, tamper=flip_a_bit if random.random() < 0.3 else None)
    for i in range(len(links)):
        if random.random() < 0.4:
            begin = random.uniform(0, 5)
            network.cut(i, begin=begin, end=begin + random.uniform(0.1, 20))
    network.connect(limit=60)
    client, server = network.client, network.server
    sent: dict[int, bytes] = {}
    answers: dict[int, bytes] = {}

    def answer(stream_id: int, data: bytes, end_stream: bool) -> None:
        if end_stream:
            answers[stream_id] = random.randbytes(random.choice([0, 10, 3000, 60_000]))
            server.send(answers[stream_id], stream_id=stream_id)

    server.on_data = answer
    for _ in range(random.choice([1, 3, 8])):
        data = random.randbytes(random.choice([0, 1, 1200, 20_000, 100_000]))
        sent[client.send(data)] = data
    reset = random.choice([None, *sent])
    if reset is not None:
        network.after(random.uniform(0, 2), lambda: client.reset(reset))
    whole = set(sent) - {reset}
    network.run_until(lambda: whole <= client.ended, limit=240)
    for stream_id in whole:
        assert server.received[stream_id] == sent[stream_id]
        assert client.received[stream_id] == answers[stream_id]
    if reset is not None:
        assert sent[reset].startswith(server.received.get(reset, b""))
    assert client.terminated is None
    assert server.terminated is None
    network.run_until(lambda: client.connection.stats(now=network.now).streams_open == 0, limit=60)
