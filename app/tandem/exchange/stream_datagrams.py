"""Datagrams beside a stream, cut into pieces that its DATAGRAM frames can carry (PROTOCOL.md section 7.1)."""

from collections.abc import Callable

from tandem.exchange.pieces import Cutter, Joiner
from tandem_transport.driver import Stream


class StreamDatagrams:
    """Both directions of one stream's datagrams."""

    def __init__(self, stream: Stream, receive: Callable[[bytes], None]) -> None:
        """`receive` takes each datagram that is complete."""
        self._stream, self._receive = stream, receive
        self._cutter, self._joiner = Cutter(), Joiner()
        stream.on_datagram_frame = self._on_piece

    def send(self, datagram: bytes) -> None:
        """Sends a datagram; it arrives whole, or not at all."""
        for piece in self._cutter.cut(datagram, self._stream.datagram_room):
            self._stream.send_datagram_frame(piece)

    def stop(self) -> None:
        """Takes no further datagrams."""
        self._stream.on_datagram_frame = None

    def _on_piece(self, piece: bytes) -> None:
        datagram = self._joiner.join(piece)
        if datagram is not None:
            self._receive(datagram)
