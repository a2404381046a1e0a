"""Builds packets from what waits: on which path, with which frames, and when to look again."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final

from tandem_transport.crypto.protection import PacketProtection
from tandem_transport.parameters import BASE_DATAGRAM_SIZE, MIN_DATAGRAM_SIZE
from tandem_transport.path.mtu import COMPANION, COMPANION_SIZE
from tandem_transport.path.order import in_order
from tandem_transport.path.path import Path
from tandem_transport.path.policy import Policy
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.sending.adaptive import Adaptive
from tandem_transport.sending.duplicate import Duplicate
from tandem_transport.sending.outbox import Outbox
from tandem_transport.sending.scheduler import Scheduler
from tandem_transport.streams.turns import SendTurns
from tandem_transport.wire.frames import FrameType, Mode, PathUse
from tandem_transport.wire.packets import OVERHEAD, Transmit

_PING = bytes([FrameType.PING])
_ACK_ROOM: Final = 300
"""Bytes that ACK frames must leave for data in a packet; larger ones travel alone."""


class Sender:
    """Builds packets for all paths of a session."""

    def __init__(
        self, protection: PacketProtection, outbox: Outbox, turns: SendTurns, policy: Policy, max_ack_delay: float
    ) -> None:
        """`turns` has the new data of all streams; `max_ack_delay` is the peer's, in seconds."""
        self._protection = protection
        self._outbox = outbox
        self._turns = turns
        self._policy = policy
        self._max_ack_delay = max_ack_delay
        self._mode = policy.mode
        self._scheduler = self._make_scheduler()

    def packets(self, paths: Sequence[Path], *, now: float) -> list[Transmit]:
        """All packets that may leave now, best path first."""
        if self._policy.mode is not self._mode:
            # What is in flight stays as it is; what is sent from now on follows the mode.
            self._mode = self._policy.mode
            self._scheduler = self._make_scheduler()
        out: list[Transmit] = []
        for path in paths:
            path.network.watch_size(path.recovery, self._max_ack_delay, now=now)
            if path.is_urgent and path.use is not PathUse.OFF:
                self._send_urgent(path, paths, out, now=now)
        ordered = in_order(paths)
        for path in ordered:
            size = path.mtu_probe_size(now=now)
            if size is not None:
                self._send_mtu_probe(path, ordered, size, out, now=now)
            if path.datagram_frames:
                self._send_datagram_frames(path, ordered, out, now=now)
            if path.may_send(now=now):
                self._send_paced(path, ordered, out, all_paths=paths, now=now)
            if path.network.mtu.is_checking:
                self._send_extras(path, ordered, out, now=now)
            if not path.addresses.may_send(path.network.datagram_size):
                # The credit of an address that is not validated says nothing about what the path could carry.
                path.delivery_rate.on_app_limited()
        for path in paths:
            due = path.received.ack_at
            if due is not None and due <= now and not path.standing.link_error:
                self._send_acks(path, paths, out, now=now)
        return out

    def handle_timeout(self, paths: Sequence[Path], *, now: float) -> None:
        """To be called when `wake_at` may have passed."""
        self._scheduler.handle_timeout(paths=in_order(paths), now=now)

    def wake_at(self, paths: Sequence[Path], *, now: float) -> float | None:
        """When a pacer lets waiting data go, a large packet is late, or the scheduler finds more; None if never."""
        ordered = in_order(paths)
        if not ordered:
            return None
        wake = self._scheduler.next_timeout(paths=ordered, now=now)
        for path in ordered:
            late_at = path.network.late_at(path.recovery, self._max_ack_delay)
            if late_at is not None and late_at > now and (wake is None or late_at < wake):
                wake = late_at
            if path.is_window_limited():
                continue
            if path.datagram_frames or self._scheduler.has_work_for(path, paths=ordered, now=now):
                at = path.pacer.wake_at(now=now)
                wake = at if wake is None or at < wake else wake
        return wake

    def _make_scheduler(self) -> Scheduler:
        match self._mode:
            case Mode.DUPLICATE:
                return Duplicate(self._outbox, self._turns, max_ack_delay=self._max_ack_delay)
            case Mode.ADAPTIVE:
                return Adaptive(self._outbox, self._turns, max_ack_delay=self._max_ack_delay)

    # --- kinds of packets ---

    def _send_urgent(self, path: Path, paths: Sequence[Path], out: list[Transmit], *, now: float) -> None:
        """Sends probes and the frames of this path alone, regardless of the window and the pacer."""
        addresses = path.addresses
        for frame, address in addresses.take_waiting():
            if not path.recovery.is_full and addresses.may_send(OVERHEAD + len(frame), to=address):
                out.append(self._build(path, paths, frame, [], address, now=now))
        if path.probing.is_due and addresses.may_send(OVERHEAD + len(_PING)):
            path.probing.on_sent()
            out.append(self._build(path, paths, *self._probe(path), now=now))
        if path.network.mtu.due_rungs():
            self._send_check(path, paths, out, now=now)
        while path.own_frames and not path.recovery.is_full and addresses.may_send(OVERHEAD + len(path.own_frames[0])):
            frames = b""
            room = min(path.network.datagram_size, addresses.allowance) - OVERHEAD
            while path.own_frames and len(frames) + len(path.own_frames[0]) <= room:
                frames += path.own_frames.popleft()
            if not frames:
                path.own_frames.popleft()  # larger than the path takes
                continue
            out.append(self._build(path, paths, frames, [], now=now))

    def _send_datagram_frames(self, path: Path, paths: Sequence[Path], out: list[Transmit], *, now: float) -> None:
        """Sends DATAGRAM frames: ahead of streams, because they soon become stale, and never retransmitted."""
        while path.datagram_frames and path.may_send(now=now):
            frames = b""
            room = path.network.datagram_size - OVERHEAD
            while path.datagram_frames and len(frames) + len(path.datagram_frames[0]) <= room:
                frames += path.datagram_frames.popleft()
            if not frames:
                path.datagram_frames.popleft()  # larger than the path takes now
                continue
            out.append(self._build(path, paths, frames, [], now=now))

    def _send_paced(
        self,
        path: Path,
        ordered: Sequence[Path],
        out: list[Transmit],
        *,
        all_paths: Sequence[Path],
        now: float,
    ) -> None:
        room, new_room = path.network.room, _new_room(path, ordered)
        select = self._scheduler.select
        if path.received.has_news and self._scheduler.has_work_for(path, paths=ordered, now=now):
            acks = self._acks(all_paths, now=now)
            if len(acks) <= new_room - _ACK_ROOM:
                chunks = select(path, room - len(acks), new_room - len(acks), paths=ordered, now=now)
                if chunks:  # a copy of a full packet leaves no room for the ACK, which then travels alone
                    path.received.on_ack_sent()
                    out.append(self._build(path, ordered, acks, chunks, now=now))
        while path.may_send(now=now):
            chunks = select(path, room, new_room, paths=ordered, now=now)
            if not chunks:
                path.delivery_rate.on_app_limited()
                return
            out.append(self._build(path, ordered, b"", chunks, now=now))

    def _send_mtu_probe(self, path: Path, paths: Sequence[Path], size: int, out: list[Transmit], *, now: float) -> None:
        """Sends an MTU probe, and a small packet after it, whose acknowledgement shows if the probe is lost."""
        number = path.recovery.next_number
        out.append(self._build(path, paths, _PING + bytes(size - OVERHEAD - len(_PING)), [], now=now))
        path.network.mtu.on_probe_sent(path.recovery.outstanding_packet(number))
        out.append(self._build(path, paths, COMPANION, [], now=now))

    def _send_check(self, path: Path, paths: Sequence[Path], out: list[Transmit], *, now: float) -> None:
        """Sends MTU probes of many sizes at once.

        They ignore the window and the pacer, because the packets in flight may never arrive.
        """
        sizes, recovery = path.network.mtu.due_rungs(), path.recovery
        if recovery.is_full or not path.addresses.may_send(sum(sizes) + len(sizes) * COMPANION_SIZE):
            return
        numbers, next_send_at = list[int](), path.pacer.next_send_at
        for size in sizes:
            numbers.append(recovery.next_number)
            out.append(self._build(path, paths, _PING + bytes(size - OVERHEAD - len(_PING)), [], now=now))
            out.append(self._build(path, paths, COMPANION, [], now=now))
        path.network.mtu.on_check_sent([recovery.outstanding_packet(number) for number in numbers], now=now)
        self._send_again(path, paths, out, now=now)
        path.pacer.next_send_at = next_send_at

    def _send_again(self, path: Path, paths: Sequence[Path], out: list[Transmit], *, now: float) -> None:
        """Sends interactive data that is in flight in large packets once more, in a small packet of its own."""
        chunks, room = list[Chunk](), path.network.room
        for packet in path.recovery.outstanding():
            if packet.size <= MIN_DATAGRAM_SIZE:
                continue
            for chunk in packet.chunks:
                if chunk.is_wanted and chunk.is_interactive and len(chunk.frame) <= room and chunk not in chunks:
                    chunks.append(chunk)
                    room -= len(chunk.frame)
        if chunks and path.addresses.may_send(path.network.room + OVERHEAD):
            out.append(self._build(path, paths, b"", chunks, now=now))

    def _send_extras(self, path: Path, ordered: Sequence[Path], out: list[Transmit], *, now: float) -> None:
        """Sends new interactive data while the window may be full of packets that never arrive."""
        network, recovery = path.network, path.recovery
        while network.mtu.extras > 0 and not recovery.is_full and path.addresses.may_send(network.room + OVERHEAD):
            chunks: list[Chunk] = []
            self._outbox.take_new(chunks, network.room, takes_bulk=False, now=now)
            if not chunks:
                return
            network.mtu.extras -= 1
            out.append(self._build(path, ordered, b"", chunks, now=now))

    def _send_acks(self, path: Path, paths: Sequence[Path], out: list[Transmit], *, now: float) -> None:
        path.received.on_ack_sent()
        for payload in self._ack_payloads(path, paths, now=now):
            if not path.addresses.may_send(len(payload) + OVERHEAD):
                return
            number, address = path.recovery.take_number(now=now), path.addresses.current
            datagram = self._protection.seal(path.path_id, number, payload)
            path.on_packet_sent(None, len(datagram), address, now=now)
            out.append(Transmit(path.path_id, datagram, address))

    # --- building ---

    def _build(
        self,
        path: Path,
        paths: Sequence[Path],
        prefix: bytes,
        chunks: list[Chunk],
        to: Hashable = None,
        *,
        now: float,
    ) -> Transmit:
        """Builds a packet to an address; `to` is None for the path's current one."""
        address = path.addresses.current if to is None else to
        number = path.recovery.take_number(now=now)
        if len(chunks) == 1 and not prefix:
            payload = chunks[0].frame
        else:
            payload = prefix + b"".join([chunk.frame for chunk in chunks])
        datagram = self._protection.seal(path.path_id, number, payload)
        packet = SentPacket(number, len(datagram), now, chunks)
        path.on_packet_sent(packet, len(datagram), address, now=now)
        if chunks:
            self._scheduler.on_sent(chunks, path, paths=paths, now=now)
            self._outbox.on_sent(packet, path)
        return Transmit(path.path_id, datagram, address)

    def _probe(self, path: Path) -> tuple[bytes, list[Chunk]]:
        """The frames of a probe: a PING, padded if the probe is full, else with the oldest data in flight that fits."""
        room = path.network.datagram_size - OVERHEAD - len(_PING)
        if path.probing.is_full and path.addresses.may_send(path.network.datagram_size):
            path.probing.on_full_sent()
            return _PING + bytes(room), []
        if path.addresses.may_send(path.network.datagram_size):
            for packet in path.recovery.outstanding():
                wanted = [chunk for chunk in packet.chunks if chunk.is_wanted]
                if wanted and sum(len(chunk.frame) for chunk in wanted) <= room:
                    return _PING, wanted
        return _PING, []

    def _acks(self, paths: Iterable[Path], *, now: float) -> bytes:
        return b"".join([path.received.encode_ack(path.path_id, now=now) for path in paths])

    def _ack_payloads(self, path: Path, paths: Sequence[Path], *, now: float) -> Iterator[bytes]:
        """All ACK frames, the path's own first, in as few packets as hold them."""
        own_first = [path, *(other for other in paths if other is not path)]
        room, payload = path.network.datagram_size - OVERHEAD, b""
        for other in own_first:
            encoded = other.received.encode_ack(other.path_id, now=now)
            if payload and len(payload) + len(encoded) > room:
                yield payload
                payload = b""
            payload += encoded
        if payload:
            yield payload


def _new_room(path: Path, ordered: Sequence[Path]) -> int:
    """Bytes of frames in a packet of new data on this path.

    Any other path may have to carry a copy, but a very narrow path must not make the packets of all paths small.
    """
    sizes = [other.network.datagram_size for other in ordered if other.network.datagram_size >= BASE_DATAGRAM_SIZE]
    return min([path.network.room, *(size - OVERHEAD for size in sizes)])
