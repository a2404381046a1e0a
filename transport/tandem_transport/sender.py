"""Turns what waits into packets: which path, which frames, when again."""

from collections.abc import Iterable, Iterator

from tandem_transport.frames import AckFrame, FrameType, PathUse
from tandem_transport.outbox import Outbox
from tandem_transport.packets import OVERHEAD
from tandem_transport.paths import Path, Reachability
from tandem_transport.protection import PacketProtection
from tandem_transport.scheduler import Scheduler
from tandem_transport.sent_packet import Chunk, SentPacket

_PING = bytes([FrameType.PING])
_ACK_ROOM = 300
"""Room that an ACK must leave for data; a larger one travels alone."""


class Sender:
    """Builds packets for all paths of a session."""

    def __init__(self, protection: PacketProtection, outbox: Outbox, scheduler: Scheduler) -> None:
        self._protection = protection
        self._outbox = outbox
        self.scheduler = scheduler

    def packets(self, paths: list[Path], *, now: float) -> Iterator[tuple[Path, bytes]]:
        """Everything that may leave now, best path first."""
        for path in paths:
            if path.use is not PathUse.CLOSED:
                yield from self._urgent(path, paths, now=now)
        for path in _in_order(paths):
            yield from self._paced(path, paths, now=now)
        for path in paths:
            due = path.received.ack_at
            if due is not None and due <= now and path.use is not PathUse.CLOSED:
                yield from self._ack_only(path, paths, now=now)

    def wake_at(self, paths: list[Path], *, now: float) -> float | None:
        """When a pacer lets something go that waits, None where nothing waits for a pacer."""
        wakes = [
            path.pacer.wake_at(now=now)
            for path in _in_order(paths)
            if not path.is_window_limited() and self.scheduler.has_work_for(path, paths=paths)
        ]
        return min(wakes, default=None)

    # --- kinds of packets ---

    def _urgent(self, path: Path, paths: list[Path], *, now: float) -> Iterator[tuple[Path, bytes]]:
        """Probes and what belongs to this path alone: outside of window and pacer."""
        while path.probes > 0 and path.may_send_to_address(OVERHEAD + len(_PING)):
            path.probes -= 1
            yield path, self._build(path, paths, *self._probe(path), now=now)
        while path.once and not path.recovery.is_full and path.may_send_to_address(OVERHEAD + len(path.once[0])):
            frames = b""
            room = min(path.datagram_size, path.allowance) - OVERHEAD
            while path.once and len(frames) + len(path.once[0]) <= room:
                frames += path.once.popleft()
            if not frames:
                path.once.popleft()  # larger than the path takes
                continue
            yield path, self._build(path, paths, frames, [], now=now)

    def _paced(self, path: Path, paths: list[Path], *, now: float) -> Iterator[tuple[Path, bytes]]:
        while path.may_send(now=now):
            acks = self._acks(paths, now=now) if path.received.has_news else b""
            room = path.datagram_size - OVERHEAD
            if len(acks) > room - _ACK_ROOM:
                acks = b""
            chunks = self.scheduler.select(path, room - len(acks), paths=paths)
            if not chunks and acks:
                # A copy of a full packet leaves no room for the ACK, which then travels alone.
                acks, chunks = b"", self.scheduler.select(path, room, paths=paths)
            if not chunks:
                path.delivery_rate.on_app_limited(path.recovery.bytes_in_flight)
                return
            if acks:
                path.received.on_ack_sent()
            yield path, self._build(path, paths, acks, chunks, now=now)

    def _ack_only(self, path: Path, paths: list[Path], *, now: float) -> Iterator[tuple[Path, bytes]]:
        path.received.on_ack_sent()
        for payload in self._ack_payloads(path, paths, now=now):
            if not path.may_send_to_address(len(payload) + OVERHEAD):
                return
            number = path.recovery.take_number(now=now)
            datagram = self._protection.seal(path.path_id, number, payload)
            path.on_packet_sent(None, len(datagram), now=now)
            yield path, datagram

    # --- building ---

    def _build(self, path: Path, paths: list[Path], prefix: bytes, chunks: list[Chunk], *, now: float) -> bytes:
        number = path.recovery.take_number(now=now)
        payload = prefix + b"".join([chunk.frame for chunk in chunks])
        datagram = self._protection.seal(path.path_id, number, payload)
        packet = SentPacket(number, len(datagram), now, chunks)
        path.on_packet_sent(packet, len(datagram), now=now)
        self._outbox.on_sent(packet, path)
        self.scheduler.on_sent(chunks, path, paths=paths)
        return datagram

    def _probe(self, path: Path) -> tuple[bytes, list[Chunk]]:
        """A PING, and the oldest data that this path still owes, if there is room for it."""
        room = path.datagram_size - OVERHEAD - len(_PING)
        if not path.recovery.next_number:
            # A path's first packet is full: it shows that full ones get through, and gives the
            # other end three times its size to answer with before it has proven our address.
            return _PING + bytes(room), []
        if path.may_send_to_address(path.datagram_size):
            for packet in path.recovery.outstanding():
                wanted = [chunk for chunk in packet.chunks if chunk.is_wanted]
                if wanted and sum(len(chunk.frame) for chunk in wanted) <= room:
                    return _PING, wanted
        return _PING, []

    def _acks(self, paths: Iterable[Path], *, now: float) -> bytes:
        frames = (path.received.ack_frame(path.path_id, now=now) for path in paths)
        return b"".join([frame.encode() for frame in frames if frame is not None])

    def _ack_payloads(self, path: Path, paths: list[Path], *, now: float) -> Iterator[bytes]:
        """All ACK frames, the path's own first, in as few packets as hold them."""
        own_first = [path, *(other for other in paths if other is not path)]
        room, payload = path.datagram_size - OVERHEAD, b""
        for other in own_first:
            frame: AckFrame | None = other.received.ack_frame(other.path_id, now=now)
            encoded = frame.encode() if frame is not None else b""
            if payload and len(payload) + len(encoded) > room:
                yield payload
                payload = b""
            payload += encoded
        if payload:
            yield payload


def _in_order(paths: list[Path]) -> list[Path]:
    """Paths that may carry data, best first; those that are down only where no other is left."""
    open_paths = [path for path in paths if path.use is not PathUse.CLOSED]
    usable = [path for path in open_paths if path.reachability is not Reachability.DOWN] or open_paths
    return sorted(usable, key=lambda path: (path.reachability, path.rtt.smoothed))
