"""A session under a driver: turns its events into streams."""

import asyncio
import time
from collections.abc import Callable

from tandem_transport.driver.stream import Stream, Wake
from tandem_transport.errors import SessionClosed
from tandem_transport.events import (
    ConnectionTerminated,
    DatagramReceived,
    Event,
    PathStatus,
    PathStatusChanged,
    StopSendingReceived,
    StreamDataReceived,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tandem_transport.session.connection import Connection


class SessionStreams:
    """The streams of one session."""

    def __init__(self, connection: Connection, wake: Wake, accept: Callable[[Stream], None] | None = None) -> None:
        """`accept` takes the streams that the peer opens; without it they are reset."""
        self.connection = connection
        self._wake = wake
        self._accept = accept
        self._streams: dict[int, Stream] = {}
        self.down_since: dict[int, float] = {}
        """For each path that is down, the time when it went down, by `time.monotonic`."""
        self.closed: asyncio.Future[SessionClosed] = asyncio.get_running_loop().create_future()
        """Done once the session is over; its result is the reason."""

    @property
    def streams_open(self) -> int:
        """The number of streams that are not over."""
        return len(self._streams)

    def open_stream(self) -> Stream:
        """Opens a stream. Raises LocalProtocolError where the peer allows no more, or the session is closed."""
        return self._make(self.connection.open_stream())

    def handle(self, event: Event) -> None:
        """Passes an event of the session on to the stream that it concerns."""
        match event:
            case StreamDataReceived(stream_id, data, end_stream):
                stream = self._streams.get(stream_id)
                if stream is None:
                    self.connection.consume(stream_id, len(data))
                else:
                    stream.feed(data, end_stream=end_stream)
            case StreamWritable(stream_id):
                if stream_id in self._streams:
                    self._streams[stream_id].on_writable()
            case DatagramReceived(stream_id, data):
                if stream_id in self._streams:
                    self._streams[stream_id].deliver_datagram_frame(data)
            case StreamOpened(stream_id):
                self._on_opened(stream_id)
            case StreamReset(stream_id, code) | StopSendingReceived(stream_id, code):
                if stream_id in self._streams:
                    self._streams[stream_id].on_peer_reset(code)
                    self.connection.reset_stream(stream_id, code)
            case PathStatusChanged(path_id, status):
                self._note_status(path_id, status)
            case ConnectionTerminated(code, reason, is_remote):
                self._on_terminated(SessionClosed(code, reason, is_remote=is_remote))
            case _:
                pass

    def _note_status(self, path_id: int, status: PathStatus) -> None:
        if status is PathStatus.DOWN:
            self.down_since.setdefault(path_id, time.monotonic())
        else:
            self.down_since.pop(path_id, None)

    def _on_opened(self, stream_id: int) -> None:
        if self._accept is None:
            self.connection.reset_stream(stream_id)
            return
        self._accept(self._make(stream_id))

    def _make(self, stream_id: int) -> Stream:
        stream = Stream(stream_id, self.connection, self._wake, self._forget)
        self._streams[stream_id] = stream
        return stream

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream.stream_id, None)

    def _on_terminated(self, error: SessionClosed) -> None:
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            stream.on_session_closed(error)
        if not self.closed.done():
            self.closed.set_result(error)
