"""Those who attack a server of the simulated network: with a key, or with the server's public key alone."""

from random import Random

from simnet.network import CLIENT_KEY, SERVER_KEY, SERVER_PUBLIC, Network
from tandem_transport import TransportParameters
from tandem_transport.crypto.handshake import Answer, ClientHandshake, CookieReceived, Established
from tandem_transport.endpoint.server import ServerEndpoint
from tandem_transport.wire.frames import Frame, PingFrame
from tandem_transport.wire.packets import split_datagram


def initiation(
    random: Random, key: bytes = CLIENT_KEY, timestamp_us: int = 1, instance_id: bytes | None = None
) -> ClientHandshake:
    return ClientHandshake(
        static_private=key,
        server_public=SERVER_PUBLIC,
        parameters=TransportParameters(),
        instance_id=instance_id or random.randbytes(8),
        timestamp_us=timestamp_us,
        token=bytes(16),
        randomness=random.randbytes,
    )


def sent_to(endpoint: ServerEndpoint, address: str, *, now: float) -> list[bytes]:
    """What the server has to send to an address; the rest is dropped."""
    return [transmit.data for transmit in endpoint.datagrams_to_send(now=now) if transmit.address == address]


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


def gets_in_by_cookie(endpoint: ServerEndpoint, handshake: ClientHandshake, source: str) -> bool:
    """Whether the server asks for a cookie, and answers the first message that brings it."""

    def answers(cookie: bytes | None) -> list[Answer | None]:
        endpoint.receive_datagram(handshake.initiation(cookie), source=source, now=0.0)
        return [handshake.read_answer(split_datagram(data)[0]) for data in sent_to(endpoint, source, now=0.0)]

    cookies = [answer.cookie for answer in answers(None) if isinstance(answer, CookieReceived)]
    return any(isinstance(answer, Established) for cookie in cookies for answer in answers(cookie))


class HostileClient:
    """Has a registered key, shakes hands as it should, and then sends what it likes."""

    def __init__(
        self,
        network: Network,
        *,
        key: bytes = CLIENT_KEY,
        instance_id: bytes | None = None,
        confirm: bool = True,
    ) -> None:
        """Without `confirm` it holds the server's answer back."""
        self._network = network
        self.received: list[bytes] = []
        timestamp_us = round(network.now * 1e6) + 10**9
        handshake = initiation(network.random, key, timestamp_us, instance_id)
        self._deliver(handshake.initiation())
        answer = handshake.read_answer(split_datagram(self.received[0])[0])
        assert isinstance(answer, Established)
        self._protection = answer.protection
        self._number = 0
        if confirm:
            self.send([PingFrame()])
            network.flush()
            self.peer = network.server
            """The server's end of it."""

    def attack(self, packets: list[list[Frame]]) -> None:
        for frames in packets:
            self.send(frames)
            if self._number % 64 == 0:
                self._network.flush()
        self._network.flush()

    def send(self, frames: list[Frame]) -> None:
        payload = b"".join(frame.encode() for frame in frames)
        self._deliver(self._protection.seal(0, self._number, payload))
        self._number += 1

    def _deliver(self, data: bytes) -> None:
        network = self._network
        network.server_endpoint.receive_datagram(data, source="hostile", now=network.now)
        for transmit in network.server_endpoint.datagrams_to_send(now=network.now):
            if transmit.address == "hostile":
                self.received.append(transmit.data)
            else:
                network.to_client(str(transmit.address), transmit.data)
