"""Turns what waits into packets: which path, which frames, when again."""

from collections.abc import Hashable, Iterable, Iterator

from tandem_transport.frames import AckFrame, FrameType, PathUse
from tandem_transport.outbox import Outbox
from tandem_transport.packets import OVERHEAD, Transmit
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

    def packets(self, paths: list[Path], *, now: float) -> Iterator[Transmit]:
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

    def _urgent(self, path: Path, paths: list[Path], *, now: float) -> Iterator[Transmit]:
        """Probes and what belongs to this path alone: outside of window and pacer."""
        addresses = path.addresses
        for frame, address in addresses.take_waiting():
            if not path.recovery.is_full and addresses.may_send(OVERHEAD + len(frame), to=address):
                yield self._build(path, paths, frame, [], address, now=now)
        while path.probes > 0 and addresses.may_send(OVERHEAD + len(_PING)):
            path.probes -= 1
            yield self._build(path, paths, *self._probe(path), now=now)
        while path.once and not path.recovery.is_full and addresses.may_send(OVERHEAD + len(path.once[0])):
            frames = b""
            room = min(path.datagram_size, addresses.allowance) - OVERHEAD
            while path.once and len(frames) + len(path.once[0]) <= room:
                frames += path.once.popleft()
            if not frames:
                path.once.popleft()  # larger than the path takes
                continue
            yield self._build(path, paths, frames, [], now=now)

    def _paced(self, path: Path, paths: list[Path], *, now: float) -> Iterator[Transmit]:
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
            yield self._build(path, paths, acks, chunks, now=now)

    def _ack_only(self, path: Path, paths: list[Path], *, now: float) -> Iterator[Transmit]:
        path.received.on_ack_sent()
        for payload in self._ack_payloads(path, paths, now=now):
            if not path.addresses.may_send(len(payload) + OVERHEAD):
                return
            number, address = path.recovery.take_number(now=now), path.addresses.current
            datagram = self._protection.seal(path.path_id, number, payload)
            path.on_packet_sent(None, len(datagram), address, now=now)
            yield Transmit(path.path_id, datagram, address)

    # --- building ---

    def _build(
        self,
        path: Path,
        paths: list[Path],
        prefix: bytes,
        chunks: list[Chunk],
        to: Hashable = None,
        *,
        now: float,
    ) -> Transmit:
        """A packet to an address, None for the path's current one."""
        address = path.addresses.current if to is None else to
        number = path.recovery.take_number(now=now)
        payload = prefix + b"".join([chunk.frame for chunk in chunks])
        datagram = self._protection.seal(path.path_id, number, payload)
        packet = SentPacket(number, len(datagram), now, chunks)
        path.on_packet_sent(packet, len(datagram), address, now=now)
        self._outbox.on_sent(packet, path)
        self.scheduler.on_sent(chunks, path, paths=paths)
        return Transmit(path.path_id, datagram, address)

    def _probe(self, path: Path) -> tuple[bytes, list[Chunk]]:
        """A PING, and the oldest data that this path still owes, if there is room for it."""
        room = path.datagram_size - OVERHEAD - len(_PING)
        if path.is_fresh and path.addresses.may_send(path.datagram_size):
            path.is_fresh = False
            return _PING + bytes(room), []
        if path.addresses.may_send(path.datagram_size):
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
