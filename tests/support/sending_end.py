"""A sender with its paths, and what it sends, opened again."""

from collections.abc import Sequence

from outgoing import Work, measured
from tandem_transport.crypto.protection import PacketProtection
from tandem_transport.path.path import Path
from tandem_transport.path.policy import Policy
from tandem_transport.sending.sender import Sender
from tandem_transport.wire.frames import Mode
from tandem_transport.wire.packets import OVERHEAD, Transmit, split_datagram
from tandem_transport.wire.transport_parameters import CipherSuite

PING = b"\x01"


class Sending:
    """A sender with its paths; what it sends is opened again."""

    def __init__(self, *paths: Path, mode: Mode = Mode.ADAPTIVE) -> None:
        ours, theirs, suite = b"1" * 32, b"2" * 32, CipherSuite.CHACHA20_POLY1305
        self.work = Work()
        self.policy = Policy()
        self.policy.choose(mode, ())
        self.paths = paths or (measured(0), measured(1, 0.5))
        self.work.outbox.note_blocked(self.paths)
        self._peer = PacketProtection(bytes(16), theirs, ours, suite)
        protection = PacketProtection(bytes(16), ours, theirs, suite)
        self.sender = Sender(protection, self.work.outbox, self.work.streams.turns, self.policy, 0.0)

    def packets(self, *, now: float = 1.0) -> list[tuple[int, bytes]]:
        """Path id and payload of each packet."""
        sent = self.sender.packets(self.paths, now=now)
        return [(transmit.path_id, self._opened(transmit, now)) for transmit in sent]

    def payloads(self, path: Path, *, now: float = 1.0) -> list[bytes]:
        return [payload for path_id, payload in self.packets(now=now) if path_id == path.path_id]

    def _opened(self, transmit: Transmit, now: float) -> bytes:
        (packet,) = split_datagram(transmit.data)
        assert packet.path_id == transmit.path_id
        payload = self._peer.open(packet, packet.packet_number, now=now)
        assert payload is not None
        assert len(transmit.data) == len(payload) + OVERHEAD
        return payload


def sizes(payloads: Sequence[bytes]) -> list[int]:
    """Of the whole packets."""
    return [len(payload) + OVERHEAD for payload in payloads]


def lone(**options: Mode) -> tuple[Sending, Path]:
    path = measured(0)
    return Sending(path, **options), path
