"""The headline figure: chunks that a copy has saved. The network knows which packets arrived, the sender infers it."""

from types import FunctionType
from typing import Any

import pytest

from simnet import Network, Traffic, mbit
from tandem.impair.impairment import Impairment
from tandem_transport.path.path import Path
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.sending.outbox import Outbox
from tandem_transport.wire.frames import Mode
from tandem_transport.wire.packets import split_datagram

LOSSY = Impairment(delay=0.030, rate=mbit(4), loss=0.15)
CLEAN = Impairment(delay=0.030, rate=mbit(4))

Number = tuple[int, int]
"""Path id and packet number."""


class Witness:
    """Sees which packets of the client arrive, and what is in each of them."""

    def __init__(self, network: Network) -> None:
        self.arrived: set[Number] = set()
        self.carriers: dict[int, list[tuple[Number, float]]] = {}
        """Packets that carry a chunk, with the time of sending, by the chunk's identity."""
        self.declared_lost_at: dict[Number, float] = {}
        self._claimed_before = 0
        self._chunks: list[Chunk] = []
        """Keeps chunks alive, so that no identity is used again."""
        self._deliver = network.deliver_to_server
        network.deliver_to_server = self._on_arrival
        outbox: Any = network.client.connection
        self._outbox = outbox._outbox
        self._claimed_before = self._outbox.rescued
        self._on_sent, self._on_lost = self._outbox.on_sent, self._outbox.on_lost
        self._outbox.on_sent, self._outbox.on_lost = self._note_sent, self._note_lost

    @property
    def claimed(self) -> int:
        """What the sender says of itself."""
        return int(self._outbox.rescued) - self._claimed_before

    def rescued(self) -> int:
        """Chunks whose first packet never arrived, while a packet did that left before the loss could be known."""
        return sum(self._is_rescued(carriers) for carriers in self.carriers.values())

    def _is_rescued(self, carriers: list[tuple[Number, float]]) -> bool:
        (first, _), *copies = carriers
        known_at = self.declared_lost_at.get(first)
        if first in self.arrived or known_at is None:
            return False
        return any(number in self.arrived and sent_at < known_at for number, sent_at in copies)

    def _on_arrival(self, data: bytes, address: str) -> None:
        self.arrived |= {(packet.path_id, packet.packet_number) for packet in split_datagram(data)}
        self._deliver(data, address)

    def _note_sent(self, packet: SentPacket, path: Path) -> None:
        for chunk in packet.chunks:
            self._chunks.append(chunk)
            self.carriers.setdefault(id(chunk), []).append(((path.path_id, packet.number), packet.sent_at))
        self._on_sent(packet, path)

    def _note_lost(self, packet: SentPacket, path: Path, *, now: float) -> None:
        self.declared_lost_at.setdefault((path.path_id, packet.number), now)
        self._on_lost(packet, path, now=now)


@pytest.mark.skipif(not isinstance(Outbox.on_sent, FunctionType), reason="nobody looks into a compiled outbox")
@pytest.mark.parametrize("mode", [Mode.DUPLICATE, Mode.ADAPTIVE])
def test_as_many_chunks_are_rescued_as_the_network_says(mode: Mode) -> None:
    network = Network(LOSSY, LOSSY, mode=mode, seed=3)
    network.connect()
    for link in network.down:
        link.impairment = CLEAN
    network.run(2)  # what the handshake began is over
    witness, traffic = Witness(network), Traffic(network)
    traffic.upload(400_000)
    traffic.echo(count=30)
    network.run(6)
    assert witness.rescued() > 10
    assert witness.claimed == witness.rescued()
