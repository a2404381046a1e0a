"""A connection whose peer is the test: it has valid keys and sends whatever it likes."""

from collections import Counter
from collections.abc import Hashable
from random import Random

from simnet.network import CLIENT_KEY, SERVER_KEY
from tandem_transport import Connection, SessionOptions, TransportParameters, public_key
from tandem_transport.crypto.handshake import ClientHandshake, Established, ServerHandshake
from tandem_transport.events import ConnectionTerminated, Event
from tandem_transport.wire.packets import split_datagram


def established() -> tuple[Established, Established]:
    """The keys of both ends of a session."""
    random = Random(1)
    client = ClientHandshake(
        static_private=CLIENT_KEY,
        server_public=public_key(SERVER_KEY),
        parameters=TransportParameters(),
        instance_id=bytes(8),
        timestamp_us=1,
        token=bytes(16),
        randomness=random.randbytes,
    )
    server = ServerHandshake(SERVER_KEY, split_datagram(client.initiation())[0])
    answer, at_server = server.accept(b"c" * 16, b"r" * 16, TransportParameters(), random.randbytes)
    at_client = client.read_answer(split_datagram(answer)[0])
    assert isinstance(at_client, Established)
    return at_client, at_server


class Victim:
    """A connection whose peer is the test."""

    def __init__(self, *, is_client: bool) -> None:
        at_client, at_server = established()
        own, self._peer = (at_client, at_server) if is_client else (at_server, at_client)
        options = SessionOptions(is_client=is_client, parameters=TransportParameters(), randomness=Random(2).randbytes)
        self.connection = Connection(own, options, now=0.0)
        if is_client:
            self.connection.add_path(0, now=0.0)
        self.now = 0.0
        self._number = 0
        self.sent = 0
        """Bytes that it has sent."""
        self.sent_to: Counter[Hashable] = Counter()
        self.received_from: Counter[Hashable] = Counter()
        """The same for each address of the peer."""
        self.packets: list[bytes] = []
        """Everything that the peer has sent so far."""
        self.events: list[Event] = []

    def receive(self, payload: bytes, *, path_id: int = 0, source: str = "peer") -> None:
        self.receive_only(payload, path_id=path_id, source=source)
        self.run_timers()

    def receive_only(self, payload: bytes, *, path_id: int = 0, source: str = "peer") -> None:
        """Without the second of timers that follows."""
        packet = self._peer.protection.seal(path_id, self._number, payload)
        self._number += 1
        self.packets.append(packet)
        self.receive_datagram(packet, path_id=path_id, source=source)

    def receive_datagram(self, data: bytes, *, path_id: int = 0, source: str = "peer") -> None:
        """Any bytes, from any address."""
        self.received_from[source] += len(data)
        self.connection.receive_packets(path_id, split_datagram(data), now=self.now, source=source)
        self._send()

    def update_peer_keys(self) -> None:
        """The peer begins its next key phase, be it allowed or not."""
        self._peer.protection.update_keys(now=self.now)

    def advance(self, seconds: float) -> None:
        """Time passes; timers fire."""
        end = self.now + seconds
        for _ in range(50):
            timeout = self.connection.next_timeout()
            if timeout is None or timeout > end:
                break
            self.now = max(self.now, timeout)
            self.connection.handle_timeout(now=self.now)
            self._send()
        self.now = end
        self.run_timers()

    def _send(self) -> None:
        for transmit in self.connection.datagrams_to_send(now=self.now):
            self.sent += len(transmit.data)
            self.sent_to[transmit.address] += len(transmit.data)

    def run_timers(self) -> None:
        for _ in range(20):
            while (event := self.connection.next_event()) is not None:
                self.events.append(event)
            self._send()
            timeout = self.connection.next_timeout()
            if timeout is None or timeout > self.now + 1:
                return
            self.now = max(self.now, timeout)
            self.connection.handle_timeout(now=self.now)

    @property
    def closed_with(self) -> int | None:
        codes = [event.code for event in self.events if isinstance(event, ConnectionTerminated)]
        return codes[0] if codes else None
