"""An application at one end: sends what it was told to, keeps what it received."""

from collections.abc import Callable

from tandem_transport.events import (
    ConnectionTerminated,
    DatagramReceived,
    Event,
    GoAwayReceived,
    OutageChanged,
    PathStatusChanged,
    StopSendingReceived,
    StreamDataReceived,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tandem_transport.session.connection import Connection


class Peer:
    """Everything that happened to one connection, and the data it still has to send."""

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self.connection = connection
        self._clock = clock
        self.received: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.opened: list[int] = []
        self.datagrams: list[bytes] = []
        self.statuses: list[tuple[float, int, str]] = []
        """(time, path id, status) of each change."""
        self.outages: list[OutageChanged] = []
        self.terminated: ConnectionTerminated | None = None
        self.go_aways = 0
        self.events = 0
        self.deliveries: list[tuple[float, int]] = []
        """(time, bytes) of each delivery, on any stream."""
        self.paused: set[int] = set()
        """Streams that this application does not read."""
        self.pause_all = False
        self.unread: dict[int, int] = {}
        self._to_send: dict[int, memoryview] = {}
        self.on_data: Callable[[int, bytes, bool], object] | None = None

    def send(self, data: bytes, *, stream_id: int | None = None) -> int:
        """Sends all of it and finishes the direction; opens a stream where none is given."""
        if stream_id is None:
            stream_id = self.connection.open_stream()
        self._to_send[stream_id] = memoryview(data)
        self._push(stream_id)
        return stream_id

    def reset(self, stream_id: int) -> None:
        """Gives the stream up."""
        self._to_send.pop(stream_id, None)
        self.connection.reset_stream(stream_id)

    def resume(self, stream_id: int) -> None:
        """Reads what was left unread, and goes on reading."""
        self.paused.discard(stream_id)
        self.connection.consume(stream_id, self.unread.pop(stream_id, 0))

    def handle(self, event: Event) -> None:
        self.events += 1
        match event:
            case StreamDataReceived(stream_id, data, end_stream):
                self._on_data(stream_id, data, end_stream)
            case StreamOpened(stream_id):
                self.opened.append(stream_id)
            case StreamReset(stream_id, code) | StopSendingReceived(stream_id, code):
                self.resets[stream_id] = code
                self._to_send.pop(stream_id, None)
            case StreamWritable(stream_id):
                self._push(stream_id)
            case GoAwayReceived():
                self.go_aways += 1
            case DatagramReceived(_, data):
                self.datagrams.append(data)
            case PathStatusChanged(path_id, status, _):
                self.statuses.append((self._clock(), path_id, status))
            case OutageChanged():
                self.outages.append(event)
            case ConnectionTerminated():
                self.terminated = event

    def _on_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        self.received.setdefault(stream_id, bytearray()).extend(data)
        self.deliveries.append((self._clock(), len(data)))
        if end_stream:
            self.ended.add(stream_id)
        if self.pause_all or stream_id in self.paused:
            self.paused.add(stream_id)
            self.unread[stream_id] = self.unread.get(stream_id, 0) + len(data)
        else:
            self.connection.consume(stream_id, len(data))
        if self.on_data is not None:
            self.on_data(stream_id, data, end_stream)

    def _push(self, stream_id: int) -> None:
        data = self._to_send.get(stream_id)
        if data is None or not self.connection.is_open:
            return
        size = min(len(data), self.connection.send_capacity(stream_id))
        is_last = size == len(data)
        if size or is_last:
            self.connection.send_stream_data(stream_id, bytes(data[:size]), end_stream=is_last)
        if is_last:
            del self._to_send[stream_id]
            return
        self._to_send[stream_id] = data[size:]
        self.connection.send_capacity(stream_id)  # 0 now: a StreamWritable will follow
