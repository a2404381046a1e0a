"""A session with some traffic behind it, what is heard of it, and whether it still works."""

from collections.abc import Callable

from simnet.network import Network, mbit
from tandem.impair.impairment import Impairment

LINK = Impairment(delay=0.030, rate=mbit(50))


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
