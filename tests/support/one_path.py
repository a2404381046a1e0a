"""One path without a session, which a test sends on and acknowledges for."""

from random import Random

from sent import ack
from simnet.paths import lone_path
from tandem_transport.congestion.controller import AckSummary
from tandem_transport.congestion.lc2 import Lc2
from tandem_transport.path.path import Path
from tandem_transport.path.terms import PathTerms
from tandem_transport.recovery.recovery import AckResult
from tandem_transport.recovery.sent_packet import SentPacket

RTT = 0.1


class Congestion:
    """A controller that does as it is told, and remembers what it was told."""

    def __init__(self) -> None:
        self.pacing_rate, self.congestion_window, self.capacity = 1_000_000.0, 100_000.0, 0.0
        self.queue_target = 0.02
        self.is_starting = self.is_policed = self.is_sending_below_capacity = False
        self.acks: list[AckSummary] = []
        self.losses: list[tuple[int, int, int]] = []
        self.longer = 0.0

    def on_ack(self, ack: AckSummary) -> float:
        self.acks.append(ack)
        return self.longer

    def on_packets_lost(self, lost_below_capacity: int, lost: int = 0, runs: int = 0) -> None:
        self.losses.append((lost_below_capacity, lost, runs))


def client_path(path_id: int = 3) -> tuple[Path, Congestion]:
    congestion = Congestion()
    return lone_path(path_id, lambda: congestion), congestion


def server_path() -> Path:
    """Of a server, whose client has not answered a challenge."""
    terms = PathTerms(
        is_client=False,
        randomness=Random(1).randbytes,
        host_of=lambda address: address,
        make_congestion=Lc2,
        epoch=0.0,
        max_ack_delay=0.0,
    )
    return Path(0, terms)


def prove(path: Path, source: str, *, now: float) -> None:
    path.on_packet_received(path.received.largest + 1, 100, source, now=now)
    challenge = next(frame for frame, address in path.addresses.take_waiting() if address == source)
    path.on_response(challenge[-8:], now=now)


def send(path: Path, count: int = 1, *, now: float, size: int = 1000, gap: float = 0.0) -> list[SentPacket]:
    sent: list[SentPacket] = []
    for number in range(count):
        at = now + number * gap
        packet = SentPacket(path.recovery.take_number(now=at), size, at, [])
        path.on_packet_sent(packet, size, path.addresses.current, now=at)
        sent.append(packet)
    return sent


def on_ack(path: Path, *ranges: tuple[int, int], now: float, at: float | None = None, own: bool = True) -> AckResult:
    """An ACK whose largest number came at `at` by the receiver's clock, and was told at once."""
    received_at = now - RTT / 2 if at is None else at
    received = 1000 * (ranges[0][1] + 1)
    frame = ack(*ranges)._replace(received_at_us=round(received_at * 1e6), received_bytes=received)
    return path.on_ack(frame, is_own_path=own, now=now)
