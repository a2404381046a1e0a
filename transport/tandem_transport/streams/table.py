"""All streams of a session: their ids, their number, and the effect of frames on them (RFC 9000 sections 2 to 4)."""

from collections.abc import Callable, Iterator

from tandem_transport.errors import ErrorCode, LocalProtocolError, PeerError
from tandem_transport.events import (
    Event,
    StopSendingReceived,
    StreamDataReceived,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import Budget
from tandem_transport.streams.memory import ReceiveMemory, SendMemory
from tandem_transport.streams.receive import ReceiveStream
from tandem_transport.streams.send import SendStream
from tandem_transport.streams.turns import SendTurns
from tandem_transport.wire.frames import (
    Frame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    ResetStreamFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.wire.transport_parameters import TransportParameters


class Stream:
    """Both halves of one stream."""

    __slots__ = ("receiving", "sending")

    def __init__(self, stream_id: int, send_limit: int, receive_window: int) -> None:
        self.sending = SendStream(stream_id, send_limit)
        self.receiving = ReceiveStream(stream_id, receive_window)

    @property
    def is_done(self) -> bool:
        return self.sending.is_done and self.receiving.is_done


class Streams:
    """The stream table of one end.

    The client's streams have even ids, the server's odd ones. Each stream is served in turn. What one
    stream may buffer, here and at the peer, is at most as much as is left for all others together,
    so that slow readers never take the last room (docs/decisions/0003).
    """

    def __init__(
        self,
        *,
        is_client: bool,
        local: TransportParameters,
        remote: TransportParameters,
        send_control: Callable[[Frame], None],
        emit: Callable[[Event], None],
        send_budget: Budget | None = None,
        receive_budget: Budget | None = None,
    ) -> None:
        """The budgets are shared with other sessions; without them, only this session's own limits apply."""
        self._local, self._remote = local, remote
        self._send_control, self._emit = send_control, emit
        self._streams: dict[int, Stream] = {}
        self._next_local = 0 if is_client else 1
        self._next_remote = 1 if is_client else 0
        self._may_open = remote.max_streams
        self._may_accept = local.max_streams
        self._opened = self._accepted = self._closed_remote = 0
        self.turns = SendTurns(remote.initial_max_data)
        """The streams with data to send; the sender takes new chunks from here."""
        self._unsent = SendMemory(send_budget)
        self._unread = ReceiveMemory(local.initial_max_data, receive_budget, send_control)
        self._readable: dict[int, ReceiveStream] = {}
        self.bytes_written = 0
        """Bytes of stream data that the application has written, each counted once."""

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def opened(self) -> int:
        """Streams ever opened, by either side."""
        return self._opened + self._accepted

    @property
    def buffered(self) -> int:
        """Bytes that are unsent or unacknowledged, of all streams."""
        return self._unsent.buffered

    # --- application ---

    def open(self) -> int:
        """Opens a stream and returns its id. Raises LocalProtocolError where the peer allows no more streams."""
        if self._opened >= self._may_open:
            raise LocalProtocolError(f"{len(self._streams)} streams are open, the other side allows no more")
        stream_id, self._next_local = self._next_local, self._next_local + 2
        self._opened += 1
        self._add(stream_id)
        return stream_id

    def send_capacity(self, stream_id: int) -> int:
        """Bytes that the application should `write` now; after 0, a StreamWritable event follows."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else self._unsent.capacity(stream.sending)

    def write(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        """Buffers data to send. Raises LocalProtocolError where the stream is unknown, finished or reset."""
        sending = self._known(stream_id).sending
        sending.write(data, end_stream=end_stream)
        self._unsent.reserve(len(data))
        self.bytes_written += len(data)
        self.turns.add(sending)

    def consume(self, stream_id: int, size: int, *, rtt: float, now: float) -> None:
        """The application has passed on `size` bytes; the windows advance.

        The rest of a stream that was reset by either side was counted then.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.receiving.is_reset and not stream.receiving.is_abandoned:
            self._consume(stream_id, stream, size, rtt=rtt, now=now)

    def _consume(self, stream_id: int, stream: Stream, size: int, *, rtt: float, now: float) -> None:
        self._unread.consume(size, rtt=rtt, now=now)
        receiving, share = stream.receiving, self._unread.window.share_of_each
        self._offer(stream_id, receiving, receiving.window.on_consumed(size, share, rtt=rtt, now=now))
        self._remove_if_done(stream_id, stream)

    def reset(self, stream_id: int, code: int, *, rtt: float, now: float) -> Stream | None:
        """Resets both directions of a stream. Returns the stream, None where it is unknown or has ended."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return None
        self._reset_sending(stream.sending, code)
        receiving = stream.receiving
        if not receiving.is_done and not receiving.is_abandoned:
            if not receiving.has_ended:
                self._send_control(StopSendingFrame(stream_id, code))
            unread = receiving.window.received - receiving.window.consumed
            self._unread.buffer(-receiving.buffered, stream_id)
            receiving.abandon()
            self._readable.pop(stream_id, None)
            self._consume(stream_id, stream, unread, rtt=rtt, now=now)
        self._remove_if_done(stream_id, stream)
        return stream

    def release(self) -> None:
        """The session is over: frees the memory that it took from the shared budgets."""
        self._unsent.release()
        self._unread.window.release()

    # --- frames ---

    def on_stream_frame(self, frame: StreamFrame, *, rtt: float, now: float) -> bool:
        """Processes a STREAM frame. Returns whether it has new data. Raises PeerError where it breaks the protocol."""
        stream = self._streams.get(frame.stream_id) or self._accept(frame.stream_id)
        if stream is None or stream.receiving.is_reset:
            return False
        receiving = stream.receiving
        before = receiving.buffered
        growth, is_new = receiving.receive(frame.offset, frame.data, fin=frame.fin)
        self._unread.receive(growth)
        if receiving.buffered != before:
            self._unread.buffer(receiving.buffered - before, frame.stream_id)
        if receiving.is_abandoned:
            self._consume(frame.stream_id, stream, growth, rtt=rtt, now=now)
        elif is_new or frame.fin:
            self._readable[frame.stream_id] = receiving
            if growth and receiving.has_gap:
                self._offer(frame.stream_id, receiving, receiving.window.on_gap(receiving.unread))
        return is_new

    def on_reset_frame(self, frame: ResetStreamFrame, *, rtt: float, now: float) -> None:
        """Processes a RESET_STREAM frame. Raises PeerError where it breaks the protocol."""
        stream = self._accept(frame.stream_id)
        if stream is None or stream.receiving.is_reset:
            return
        receiving = stream.receiving
        self._unread.buffer(-receiving.buffered, frame.stream_id)
        self._unread.receive(receiving.reset(frame.final_size))
        self._readable.pop(frame.stream_id, None)
        self._unread.consume(receiving.window.received - receiving.window.consumed, rtt=rtt, now=now)
        if not receiving.is_abandoned:
            self._emit(StreamReset(frame.stream_id, frame.code))
        self._remove_if_done(frame.stream_id, stream)

    def on_stop_sending_frame(self, frame: StopSendingFrame) -> SendStream | None:
        """Processes a STOP_SENDING frame: resets our direction in response (RFC 9000 section 3.5).

        Returns the sending half, None where it has ended. Raises PeerError where the frame breaks the protocol.
        """
        stream = self._accept(frame.stream_id)
        if stream is None or stream.sending.is_done:
            return None
        self._reset_sending(stream.sending, frame.code)
        self._emit(StopSendingReceived(frame.stream_id, frame.code))
        self._remove_if_done(frame.stream_id, stream)
        return stream.sending

    def on_max_stream_data_frame(self, frame: MaxStreamDataFrame) -> None:
        """Processes a MAX_STREAM_DATA frame. Raises PeerError where it breaks the protocol."""
        stream = self._accept(frame.stream_id)
        if stream is not None:
            stream.sending.raise_limit(frame.limit, frame.window)
            self.turns.revive(stream.sending)

    def on_max_streams_frame(self, frame: MaxStreamsFrame) -> None:
        self._may_open = max(self._may_open, frame.limit)

    # --- output ---

    def on_chunk_acked(self, chunk: Chunk) -> None:
        """A chunk has arrived for the first time."""
        if chunk.stream is None or chunk.stream.is_reset:
            return
        stream = self._streams[chunk.stream.stream_id]  # a stream is never removed before its last chunk arrives
        stream.sending.on_chunk_acked(chunk)
        self._unsent.reserve(-chunk.data_size)
        if stream.sending.is_done:
            self._remove_if_done(chunk.stream.stream_id, stream)

    def events(self) -> Iterator[Event]:
        """The events of streams that became readable or writable since the last call."""
        self._follow_share()
        if self._readable:
            readable, self._readable = self._readable, {}
            for stream_id, receiving in readable.items():
                data, ends = receiving.take()
                if data or ends:
                    yield StreamDataReceived(stream_id, data, ends)
                stream = self._streams.get(stream_id)
                if stream is not None:
                    self._remove_if_done(stream_id, stream)
        for stream_id in self._unsent.writable():
            yield StreamWritable(stream_id)

    # --- inside ---

    def _known(self, stream_id: int) -> Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise LocalProtocolError(f"stream {stream_id} is not open")
        return stream

    def _add(self, stream_id: int) -> Stream:
        stream = Stream(stream_id, self._remote.initial_max_stream_data, self._local.initial_max_stream_data)
        self._streams[stream_id] = stream
        return stream

    def _accept(self, stream_id: int) -> Stream | None:
        """The stream that a frame names, None where it has ended; a new id opens it and all lower ids of the peer.

        Raises PeerError where the id exceeds the limit, or is ours and was never opened.
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            return stream
        if (stream_id ^ self._next_local) & 1 == 0:
            if stream_id >= self._next_local:
                raise PeerError(ErrorCode.STREAM_STATE_ERROR, f"stream {stream_id} was never opened")
            return None
        if stream_id // 2 >= self._may_accept:
            raise PeerError(ErrorCode.STREAM_LIMIT_ERROR, f"stream {stream_id} exceeds the limit")
        while self._next_remote <= stream_id:
            self._add(self._next_remote)
            self._emit(StreamOpened(self._next_remote))
            self._accepted += 1
            self._next_remote += 2
        return self._streams.get(stream_id)

    def _reset_sending(self, sending: SendStream, code: int) -> None:
        if not sending.is_done:
            self._unsent.reserve(-sending.buffered)
            self._unsent.forget(sending.stream_id)
            self._send_control(ResetStreamFrame(sending.stream_id, code, sending.reset()))

    def _offer(self, stream_id: int, receiving: ReceiveStream, limit: int | None) -> None:
        if limit is not None and not receiving.has_ended:
            self._send_control(MaxStreamDataFrame(stream_id, limit, receiving.window.window))

    def _follow_share(self) -> None:
        """Sends new stream limits where shares have fallen, because the peer must then learn of smaller advances."""
        share = self._unread.fallen_share()
        if share is None:
            return
        for stream_id, stream in self._streams.items():
            self._offer(stream_id, stream.receiving, stream.receiving.window.tell(share))

    def _remove_if_done(self, stream_id: int, stream: Stream) -> None:
        if not stream.is_done or stream_id not in self._streams or stream_id in self._readable:
            return
        del self._streams[stream_id]
        self._unsent.forget(stream_id)
        self.turns.remove(stream_id)
        if (stream_id ^ self._next_remote) & 1:
            return
        # The peer may open a new stream for each of its streams that has ended.
        self._closed_remote += 1
        limit = self._closed_remote + self._local.max_streams
        if limit - self._may_accept >= self._local.max_streams // 4:
            self._may_accept = limit
            self._send_control(MaxStreamsFrame(limit))
