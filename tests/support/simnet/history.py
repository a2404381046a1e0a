"""A random history: links, transfers and whatever can happen to them, drawn from one seed.

What must hold in every one: bytes arrive once and in order, or the stream is reset, and that
only where its session ended; whatever happened, a session works again within a stated time;
and nothing grows beyond its bound.
"""

from contextlib import suppress
from functools import partial
from random import Random

from simnet.memory import size_of
from simnet.network import Network, mbit
from simnet.peer import Peer
from tandem.impair.impairment import Impairment
from tandem_transport import LocalProtocolError

LIVENESS = 240.0
"""Virtual seconds within which everything has arrived once nothing more happens; links lose up to 40 %."""

RECONNECTED = 300.0
"""Virtual seconds within which there is a session again. An idle client asks every 15 s whether its server is
there; on a single link that loses 40 % each way, two of three answers are lost."""

MEMORY = 12 << 20
"""Bytes that both ends of a session may hold for transfers of less than 1 MB."""

_INSTANCE = b"instance"
_DISTURBANCES = ("nothing", "nothing", "sleep", "server killed", "server stopped", "client killed", "clone")


class History:
    """Plays one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        links = [random_link(random) for _ in range(random.choice([1, 2, 2, 3]))]
        tamper = flip_a_bit if random.random() < 0.3 else None
        self.network = Network(*links, seed=seed, tamper=tamper)
        self.network.restart_client(_INSTANCE)
        self.network.on_server_session = self._serve
        self.sent: dict[tuple[bytes, int], bytes] = {}
        self.answers: dict[tuple[bytes, int], bytes] = {}
        self.resets: set[tuple[bytes, int]] = set()

    def play(self) -> None:
        """Raises AssertionError where something does not hold."""
        for _ in range(self.random.choice([1, 2, 3])):
            self._connect()
            self._schedule()
            self._begin_transfers()
            self.network.run(self.random.uniform(0, 10))
            self._check_memory()
            self._disturb()
        self._connect()
        self._begin_transfers()
        self._check_outcome()

    # --- what happens ---

    def _connect(self) -> None:
        self.network.run_until(self._is_connected, limit=RECONNECTED)

    def _is_connected(self) -> bool:
        """Both ends have the same session; one alone may not know yet that the other is another process."""
        network = self.network
        connection = network.client_endpoint.connection
        if connection is None or not connection.is_open:
            return False
        sessions = (session.connection for session in network.server_endpoint.sessions)
        return any(other.is_open and other.connection_id == connection.connection_id for other in sessions)

    def _schedule(self) -> None:
        """Cuts, new addresses, other networks, key updates."""
        network, random = self.network, self.random
        for i in range(len(network.addresses)):
            if random.random() < 0.4:
                begin = random.uniform(0, 5)
                network.cut(i, begin=begin, end=begin + random.uniform(0.1, 20))
            if random.random() < 0.2:
                for _ in range(10):  # bursts
                    begin = random.uniform(0, 10)
                    network.cut(i, begin=begin, end=begin + random.uniform(0.05, 0.3))
            if random.random() < 0.4:
                network.after(random.uniform(0, 10), partial(network.move, i))
            if random.random() < 0.2:
                network.after(random.uniform(0, 10), partial(self._rebind, i))
        for peer in (network.client, network.server):
            if random.random() < 0.4:
                network.after(random.uniform(0, 10), partial(self._update_keys, peer))

    def _rebind(self, link: int) -> None:
        self.network.rebind(link, delay=self.random.uniform(0.001, 0.2))

    def _update_keys(self, peer: Peer) -> None:
        now = self.network.client_now if peer in self.network.client_peers else self.network.now
        with suppress(LocalProtocolError):
            peer.connection.update_keys(now=now)

    def _disturb(self) -> None:
        """What happens to a whole end."""
        network, random = self.network, self.random
        match random.choice(_DISTURBANCES):
            case "sleep":
                network.sleep(random.choice([5, 60, 900, 4000]))
            case "server killed" | "server stopped" as how:
                if how == "server stopped":
                    network.server_endpoint.close(now=network.now)
                    network.flush()
                network.is_server_up = False
                network.run(random.uniform(0, 40))
                network.restart_server()
            case "client killed":
                network.restart_client(_INSTANCE)
            case "clone":
                network.restart_client()
            case _:
                pass

    # --- transfers ---

    def _begin_transfers(self) -> None:
        random, client = self.random, self.network.client
        if not client.connection.is_open:
            return
        for _ in range(random.choice([1, 3, 8])):
            data = random.randbytes(random.choice([0, 1, 1200, 20_000, 100_000]))
            key = (client.connection.connection_id, client.send(data))
            self.sent[key] = data
            if random.random() < 0.1:
                self.resets.add(key)
                self.network.after(random.uniform(0, 2), partial(client.reset, key[1]))

    def _serve(self, server: Peer) -> None:
        def answer(stream_id: int, _: bytes, end_stream: bool) -> None:
            if end_stream:
                data = self.random.randbytes(self.random.choice([0, 10, 3000, 60_000]))
                self.answers[server.connection.connection_id, stream_id] = data
                server.send(data, stream_id=stream_id)

        server.on_data = answer

    # --- what must hold ---

    def _at_server(self, client: Peer) -> Peer | None:
        for server in self.network.server_peers:
            if server.connection.connection_id == client.connection.connection_id:
                return server
        return None

    def _check_memory(self) -> None:
        network = self.network
        assert size_of(network.client_endpoint) + size_of(network.server_endpoint) < MEMORY

    def _check_outcome(self) -> None:
        network = self.network
        last = network.client
        whole = {key[1] for key in set(self.sent) - self.resets if key[0] == last.connection.connection_id}
        network.run_until(lambda: whole <= last.ended or last.terminated is not None, limit=LIVENESS)
        assert last.terminated is None, "nothing has happened that ends a session"
        for client in network.client_peers:
            self._check_session(client, is_last=client is last)
        network.run_until(lambda: last.connection.stats(now=network.client_now).streams_open == 0, limit=60)

    def _check_session(self, client: Peer, *, is_last: bool) -> None:
        server = self._at_server(client)
        for key, data in self.sent.items():
            if key[0] != client.connection.connection_id:
                continue
            arrived = server.received.get(key[1], b"") if server is not None else b""
            answered = client.received.get(key[1], b"")
            answer = self.answers.get(key, b"")
            assert data.startswith(arrived)
            assert answer.startswith(answered)
            if key[1] in client.ended or (is_last and key not in self.resets):
                assert (data, answer) == (arrived, answered)


def random_link(random: Random) -> Impairment:
    """Anything between a good link and a terrible one."""
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
    """One datagram in a hundred arrives with a bit changed."""
    if random.random() > 0.01:
        return data
    index = random.randrange(len(data))
    return data[:index] + bytes([data[index] ^ (1 << random.randrange(8))]) + data[index + 1 :]
