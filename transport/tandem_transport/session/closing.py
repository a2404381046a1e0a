"""The closing state of a session that this end has closed (RFC 9000 section 10.2)."""

from collections.abc import Iterable, Iterator

from tandem_transport.crypto.protection import PacketProtection
from tandem_transport.errors import DecodeError
from tandem_transport.path.path import Path
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import ConnectionCloseFrame
from tandem_transport.wire.packets import Transmit


class Closing:
    """Sends CONNECTION_CLOSE at once on all paths, and again in answer to packets that still arrive."""

    def __init__(self, frame: ConnectionCloseFrame, paths: Iterable[Path], over_at: float) -> None:
        """Packets are answered until `over_at`; then the session can be forgotten."""
        self._frame = frame.encode()
        self._to_tell = list(paths)
        self._received = 0
        self.over_at = over_at
        self.is_over = False

    def handle_timeout(self, *, now: float) -> None:
        """To be called when `over_at` has passed."""
        self.is_over = self.is_over or now >= self.over_at

    def receive(self, path: Path, number: int, payload: bytes, *, now: float) -> None:
        """An authentic packet has arrived: the 1st, 2nd, 4th, 8th and so on is answered, but never a CONNECTION_CLOSE.

        Otherwise two ends that close at the same time would answer each other without end.
        """
        path.received.record(number, len(payload), now=now)
        try:
            says_so_too = any(isinstance(frame, ConnectionCloseFrame) for frame in decode_frames(payload))
        except DecodeError:
            return
        if says_so_too:
            self.is_over = True
            return
        self._received += 1
        if self._received & (self._received - 1) == 0 and path not in self._to_tell:
            self._to_tell.append(path)

    def packets(self, protection: PacketProtection, *, now: float) -> Iterator[Transmit]:
        """The packets to send now, regardless of windows and pacers."""
        paths, self._to_tell = self._to_tell, []
        for path in paths:
            address = path.addresses.current
            data = protection.seal(path.path_id, path.recovery.take_number(now=now), self._frame)
            if not self.is_over and path.addresses.may_send(len(data)):
                path.on_packet_sent(None, len(data), address, now=now)
                yield Transmit(path.path_id, data, address)
