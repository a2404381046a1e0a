"""Packets that a test sends, and ACKs of them, as `Recovery` is told of both."""

from collections.abc import Iterable

from tandem_transport.recovery.recovery import Recovery
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.wire.frames import AckFrame


def send(recovery: Recovery, count: int, *, now: float, gap: float = 0.001) -> None:
    for i in range(count):
        at = now + i * gap
        recovery.on_packet_sent(SentPacket(recovery.take_number(now=at), 1000, at, []))


def ack(*ranges: tuple[int, int]) -> AckFrame:
    return AckFrame(0, 0, 0, 0, tuple(sorted(ranges, reverse=True)))


def numbers(packets: Iterable[SentPacket]) -> list[int]:
    return [packet.number for packet in packets]
