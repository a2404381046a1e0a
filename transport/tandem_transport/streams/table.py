"""All streams of a session: ids, limits, fairness, the memory they share (RFC 9000 sections 2 to 4)."""

from collections import deque
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
from tandem_transport.parameters import MAX_SEGMENT_OVERHEAD, SESSION_BUFFER
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import Budget, ReceiveWindow, SendCredit, fair_share
from tandem_transport.streams.receive import ReceiveStream
from tandem_transport.streams.send import SendStream
from tandem_transport.wire.frames import (
    Frame,
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    ResetStreamFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.wire.transport_parameters import TransportParameters

_WORTH_WAKING = 16 << 10
"""Room for which a waiting writer is woken; less would mean a wake-up for every packet."""


_CRUMB = 256
"""Credit that is worth a packet: a stream with more to send than that waits for more."""

_SEGMENTS_LEAST = 1 << 20
"""Memory for out-of-order data that every session may use, however small its window."""


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

    Ids of the client's streams are even, of the server's odd. Each stream is served in turn;
    what one of them may hold, here and at the peer, is at most as much as is left for all others
    together, so that slow readers never take the last room (docs/decisions/0003).
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
        """The budgets are shared with other sessions; without them there are none."""
        self._local, self._remote = local, remote
        self._send_control, self._emit = send_control, emit
        self._streams: dict[int, Stream] = {}
        self._next_local = 0 if is_client else 1
        self._next_remote = 1 if is_client else 0
        self._may_open = remote.max_streams
        self._may_accept = local.max_streams
        self._opened = self._accepted = self._closed_remote = 0
        self._credit = SendCredit(remote.initial_max_data)
        self._send_budget = send_budget or Budget(2 * SESSION_BUFFER)
        self._window = ReceiveWindow(local.initial_max_data, SESSION_BUFFER, receive_budget)
        self._interactive: deque[SendStream] = deque()
        self._bulk: deque[SendStream] = deque()
        """Streams with something to cut; each begins as interactive and is found out when its turn comes."""
        self._queued: set[int] = set()
        self._share = 0
        """Bytes of the session's credit that the stream may use whose turn it is."""
        self._starved: dict[int, SendStream] = {}
        """Streams that have all of the peer's credit that is fair; until it grows they are not asked."""
        self._readable: dict[int, ReceiveStream] = {}
        self._waiting: dict[int, None] = {}
        """Streams whose writers found no room, first come first served."""
        self._told_share = self._window.share_of_each
        """The share by which streams were last told what was read of them."""
        self._buffered = 0
        """Memory for out-of-order data, of all streams."""
        self._held = 0
        """Bytes unsent or unacknowledged, of all streams."""

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def opened(self) -> int:
        """Streams ever opened, by either side."""
        return self._opened + self._accepted

    @property
    def held(self) -> int:
        """Bytes that wait for sending or for an acknowledgement."""
        return self._held

    # --- application ---

    def open(self) -> int:
        """Raises LocalProtocolError where the peer allows no more."""
        if self._opened >= self._may_open:
            raise LocalProtocolError(f"{len(self._streams)} streams are open, the other side allows no more")
        stream_id, self._next_local = self._next_local, self._next_local + 2
        self._opened += 1
        self._add(stream_id)
        return stream_id

    def send_capacity(self, stream_id: int) -> int:
        """Bytes that `write` should be given now; after 0, a StreamWritable follows."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        capacity = self._capacity(stream.sending)
        if capacity <= 0:
            self._waiting[stream_id] = None
        return capacity

    def write(self, stream_id: int, data: bytes, *, end_stream: bool) -> None:
        """Raises LocalProtocolError for a stream that is unknown, finished or reset."""
        sending = self._known(stream_id).sending
        sending.write(data, end_stream=end_stream)
        self._hold(len(data))
        self._queue(sending)

    def consume(self, stream_id: int, size: int, *, rtt: float, now: float) -> None:
        """The application has passed on `size` bytes; the windows move.

        What a stream that was reset or given up had left is counted already.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.receiving.is_reset and not stream.receiving.is_abandoned:
            self._consume(stream_id, stream, size, rtt=rtt, now=now)

    def _consume(self, stream_id: int, stream: Stream, size: int, *, rtt: float, now: float) -> None:
        self._consume_session(size, rtt=rtt, now=now)
        receiving, share = stream.receiving, self._window.share_of_each
        self._offer(stream_id, receiving, receiving.window.on_consumed(size, share, rtt=rtt, now=now))
        self._remove_if_done(stream_id, stream)

    def reset(self, stream_id: int, code: int, *, rtt: float, now: float) -> Stream | None:
        """Ends both directions at once; unknown streams are ended already."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return None
        self._reset_sending(stream.sending, code)
        receiving = stream.receiving
        if not receiving.is_done and not receiving.is_abandoned:
            if not receiving.has_ended:
                self._send_control(StopSendingFrame(stream_id, code))
            unread = receiving.window.received - receiving.window.consumed
            self._buffered -= receiving.buffered
            receiving.abandon()
            self._readable.pop(stream_id, None)
            self._consume(stream_id, stream, unread, rtt=rtt, now=now)
        self._remove_if_done(stream_id, stream)
        return stream

    def release(self) -> None:
        """The session is over: what it held of memory shared with others is free."""
        self._hold(-self._held)
        self._send_budget = Budget(0)  # nothing that follows counts there
        self._window.release()

    # --- frames ---

    def on_stream_frame(self, frame: StreamFrame, *, rtt: float, now: float) -> bool:
        """Tells whether the frame brought anything new. Raises PeerError."""
        stream = self._streams.get(frame.stream_id) or self._accept(frame.stream_id)
        if stream is None or stream.receiving.is_reset:
            return False
        receiving = stream.receiving
        before = receiving.buffered
        growth, is_new = receiving.receive(frame.offset, frame.data, fin=frame.fin)
        self._receive_session(growth)
        if receiving.buffered != before:
            self._buffer(receiving.buffered - before, frame.stream_id)
        if receiving.is_abandoned:
            self._consume(frame.stream_id, stream, growth, rtt=rtt, now=now)
        elif is_new or frame.fin:
            self._readable[frame.stream_id] = receiving
            if growth and receiving.has_gap:
                self._offer(frame.stream_id, receiving, receiving.window.on_gap(receiving.unread))
        return is_new

    def on_reset_frame(self, frame: ResetStreamFrame, *, rtt: float, now: float) -> None:
        """Raises PeerError."""
        stream = self._accept(frame.stream_id)
        if stream is None or stream.receiving.is_reset:
            return
        receiving = stream.receiving
        self._buffered -= receiving.buffered
        self._receive_session(receiving.reset(frame.final_size))
        self._readable.pop(frame.stream_id, None)
        self._consume_session(receiving.window.received - receiving.window.consumed, rtt=rtt, now=now)
        if not receiving.is_abandoned:
            self._emit(StreamReset(frame.stream_id, frame.code))
        self._remove_if_done(frame.stream_id, stream)

    def on_stop_sending_frame(self, frame: StopSendingFrame) -> SendStream | None:
        """Our direction is reset in answer (RFC 9000 section 3.5). Raises PeerError."""
        stream = self._accept(frame.stream_id)
        if stream is None or stream.sending.is_done:
            return None
        self._reset_sending(stream.sending, frame.code)
        self._emit(StopSendingReceived(frame.stream_id, frame.code))
        self._remove_if_done(frame.stream_id, stream)
        return stream.sending

    def on_max_stream_data_frame(self, frame: MaxStreamDataFrame) -> None:
        """Raises PeerError."""
        stream = self._accept(frame.stream_id)
        if stream is not None:
            stream.sending.raise_limit(frame.limit, frame.window)
            self._starved.pop(frame.stream_id, None)
            self._queue(stream.sending)

    def on_max_data_frame(self, frame: MaxDataFrame) -> None:
        if frame.limit <= self._credit.limit:
            return
        self._credit.raise_limit(frame.limit, frame.window, self._credit.used)
        starved, self._starved = self._starved, {}
        for sending in starved.values():
            self._queue(sending)

    def on_max_streams_frame(self, frame: MaxStreamsFrame) -> None:
        self._may_open = max(self._may_open, frame.limit)

    # --- output ---

    def has_fresh_data(self, *, takes_bulk: bool = True) -> bool:
        """Some stream could be cut from."""
        return bool(self._interactive) or (takes_bulk and bool(self._bulk))

    def has_backlog(self, size: float) -> bool:
        """Whether more than so many bytes of bulk data wait."""
        for sending in self._bulk:
            size -= sending.backlog
            if size < 0:
                return True
        return False

    def cut(self, room: int, *, takes_bulk: bool = True, now: float) -> Chunk | None:
        """The next chunk of new data: of each interactive stream in turn, then of each bulk one."""
        while self._interactive:
            sending = self._interactive[0]
            if not sending.is_interactive(now=now):
                self._bulk.append(self._interactive.popleft())
            elif self._is_ready(sending, self._interactive):
                return self._cut(self._interactive, room, is_interactive=True)
        while takes_bulk and self._bulk:
            if self._is_ready(self._bulk[0], self._bulk):
                return self._cut(self._bulk, room, is_interactive=False)
        return None

    def _is_ready(self, sending: SendStream, queue: deque[SendStream]) -> bool:
        """Takes a stream out of its queue that has nothing to send, or as much of the peer's credit as is fair."""
        if sending.is_ready:
            left = self._credit.left
            self._share = min(left, fair_share(left, self._credit.window) - sending.unread)
            if self._share >= _CRUMB or self._share >= sending.unsent:
                return True
            self._starved[sending.stream_id] = sending
        self._queued.discard(sending.stream_id)
        queue.popleft()
        return False

    def _cut(self, queue: deque[SendStream], room: int, *, is_interactive: bool) -> Chunk | None:
        """A chunk of the first stream in a queue, which is ready."""
        chunk = queue[0].cut(room, max(self._share, 0), is_interactive=is_interactive)
        if chunk is not None:
            self._credit.used += chunk.data_size
            if len(queue) > 1:
                queue.rotate(-1)
        return chunk

    def on_chunk_acked(self, chunk: Chunk) -> None:
        """A chunk has arrived for the first time."""
        if chunk.stream is None or chunk.stream.is_reset:
            return
        stream = self._streams[chunk.stream.stream_id]  # it is not removed before its last chunk has arrived
        stream.sending.on_chunk_acked(chunk)
        self._hold(-chunk.data_size)
        if stream.sending.is_done:
            self._remove_if_done(chunk.stream.stream_id, stream)

    def events(self) -> Iterator[Event]:
        """What became readable or writable since the last call."""
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
        if self._waiting and self._held < SESSION_BUFFER:
            yield from self._writable()

    # --- inside ---

    def _writable(self) -> Iterator[Event]:
        room = self._room
        if room <= 0:
            return
        share = fair_share(room, room + self._held)
        for stream_id in list(self._waiting):
            stream = self._streams.get(stream_id)
            if stream is None or stream.sending.is_reset:
                del self._waiting[stream_id]
                continue
            held = stream.sending.held
            fair = min(room, share - held)
            least = _WORTH_WAKING if held else 1
            # The cheap question first: a thousand may wait, and this is asked with each packet.
            if fair >= least and stream.sending.ahead >= least:
                del self._waiting[stream_id]
                yield StreamWritable(stream_id)

    @property
    def _room(self) -> int:
        """Bytes that all streams together may take now."""
        return min(SESSION_BUFFER - self._held, self._send_budget.left_for(self._held))

    def _capacity(self, sending: SendStream) -> int:
        room = self._room
        return max(0, min(room, fair_share(room, room + self._held) - sending.held, sending.ahead))

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
        """The stream of a frame; the peer opens one, and all before it, by naming it."""
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

    def _queue(self, sending: SendStream) -> None:
        if sending.is_ready and sending.stream_id not in self._queued:
            self._queued.add(sending.stream_id)
            self._interactive.append(sending)

    def _reset_sending(self, sending: SendStream, code: int) -> None:
        if not sending.is_done:
            self._hold(-sending.held)
            self._send_control(ResetStreamFrame(sending.stream_id, code, sending.reset()))

    def _offer(self, stream_id: int, receiving: ReceiveStream, limit: int | None) -> None:
        if limit is not None and not receiving.has_ended:
            self._send_control(MaxStreamDataFrame(stream_id, limit, receiving.window.window))

    def _hold(self, growth: int) -> None:
        self._held += growth
        self._send_budget.used += growth

    def _receive_session(self, growth: int) -> None:
        window = self._window
        window.received += growth
        if window.received > window.limit:
            raise PeerError(ErrorCode.FLOW_CONTROL_ERROR, "the session's window is exceeded")
        if window.left <= window.window // 2:
            limit = window.on_filled()
            if limit is not None:
                self._send_control(MaxDataFrame(limit, window.window))

    def _follow_share(self) -> None:
        """Where shares have fallen, the peer must hear of less than before: also what was read in better times."""
        share = self._window.share_of_each
        if share >= self._told_share // 2:
            self._told_share = max(self._told_share, share)
            return
        self._told_share = share
        for stream_id, stream in self._streams.items():
            self._offer(stream_id, stream.receiving, stream.receiving.window.tell(share))

    def _buffer(self, growth: int, stream_id: int) -> None:
        """Out-of-order data that overlaps may take more memory than the window says."""
        self._buffered += growth
        if self._buffered > max(MAX_SEGMENT_OVERHEAD * self._window.window, _SEGMENTS_LEAST):
            raise PeerError(ErrorCode.PROTOCOL_VIOLATION, f"stream {stream_id} overlaps itself without end")

    def _consume_session(self, size: int, *, rtt: float, now: float) -> None:
        limit = self._window.on_consumed(size, self._window.share_of_each, rtt=rtt, now=now)
        if limit is not None:
            self._send_control(MaxDataFrame(limit, self._window.window))

    def _remove_if_done(self, stream_id: int, stream: Stream) -> None:
        if not stream.is_done or stream_id not in self._streams or stream_id in self._readable:
            return
        del self._streams[stream_id]
        self._waiting.pop(stream_id, None)
        self._starved.pop(stream_id, None)
        if (stream_id ^ self._next_remote) & 1:
            return
        # The peer may open another for each of its streams that has ended.
        self._closed_remote += 1
        limit = self._closed_remote + self._local.max_streams
        if limit - self._may_accept >= self._local.max_streams // 4:
            self._may_accept = limit
            self._send_control(MaxStreamsFrame(limit))
