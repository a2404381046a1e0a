"""Both halves of a stream, windows, and the memory that streams share."""

from itertools import islice

import pytest

from tandem_transport.errors import LocalProtocolError, PeerError
from tandem_transport.parameters import (
    MAX_SEGMENT_OVERHEAD,
    SESSION_BUFFER,
)
from tandem_transport.streams.flow_control import Budget, ReceiveWindow
from tandem_transport.streams.receive import ReceiveStream
from tandem_transport.streams.send import SendStream
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import StreamFrame
from tandem_transport.wire.transport_parameters import TransportParameters


def test_segments_in_any_order_with_overlaps() -> None:
    stream = ReceiveStream(0, 1 << 16)
    data = bytes(range(200))
    for start, end in [(150, 200), (50, 120), (40, 60), (100, 160), (0, 10), (0, 45)]:
        stream.receive(start, data[start:end], fin=end == 200)
    assert stream.take() == (data, True)
    assert stream.take() == (b"", False), "the end is told once"


def test_a_stream_does_not_exceed_its_window_or_its_end() -> None:
    stream = ReceiveStream(0, 1000)
    with pytest.raises(PeerError, match="FLOW_CONTROL"):
        stream.receive(900, bytes(101), fin=False)
    stream.receive(100, bytes(10), fin=True)
    with pytest.raises(PeerError, match="FINAL_SIZE"):
        stream.receive(105, bytes(10), fin=False)
    late_end = ReceiveStream(0, 1000)
    late_end.receive(0, bytes(50), fin=False)
    with pytest.raises(PeerError, match="FINAL_SIZE"):
        late_end.receive(0, bytes(20), fin=True)


def test_segments_that_overlap_without_end_are_a_violation() -> None:
    parameters = TransportParameters()
    streams = Streams(
        is_client=False, local=parameters, remote=parameters, send_control=lambda _: None, emit=lambda _: None
    )
    frames = (StreamFrame(2 * i, offset, bytes(1000), False) for i in range(1000) for offset in range(1, 50))
    fitting = MAX_SEGMENT_OVERHEAD * SESSION_BUFFER // 1160
    for frame in islice(frames, fitting):
        streams.on_stream_frame(frame, rtt=0.1, now=1.0)
    with pytest.raises(PeerError, match="overlaps"):
        streams.on_stream_frame(next(frames), rtt=0.1, now=1.0)


def test_no_session_takes_all_of_the_memory_that_a_server_has() -> None:
    budget = Budget(32 << 20)
    parameters = TransportParameters()
    everybody = [
        Streams(
            is_client=False,
            local=parameters,
            remote=parameters,
            send_control=lambda _: None,
            emit=lambda _: None,
            send_budget=budget,
        )
        for _ in range(12)
    ]
    for streams in everybody:
        for _ in range(100):
            stream_id = streams.open()
            while capacity := streams.send_capacity(stream_id):
                streams.write(stream_id, bytes(capacity), end_stream=False)
        assert streams.buffered > 0
    assert sum(streams.buffered for streams in everybody) == budget.used <= budget.limit
    for streams in everybody:
        streams.release()
    assert budget.used == 0


def test_a_window_grows_for_slow_readers_while_the_budget_allows() -> None:
    budget = Budget(1 << 20)
    greedy, modest = ReceiveWindow(128 << 10, 8 << 20, budget), ReceiveWindow(128 << 10, 8 << 20, budget)
    for window in (greedy, modest):
        while True:
            window.received = window.limit
            if window.on_filled() is None:
                break
    assert greedy.window == 512 << 10
    assert modest.window == 256 << 10
    greedy.release()
    assert modest.on_filled() == 512 << 10


def test_empty_segments_are_not_kept() -> None:
    stream = ReceiveStream(0, 1 << 20)
    assert not any(stream.receive(offset, b"", fin=False)[1] for offset in range(1, 1000))
    assert not stream.has_gap


def test_chunks_fit_the_room_and_the_credit() -> None:
    stream = SendStream(4, limit=1500)
    stream.write(bytes(2000), end_stream=True)
    first = stream.cut(1000, 1 << 20, is_interactive=False)
    assert first is not None
    assert len(first.frame) == 1000 or len(first.frame) == 999
    second = stream.cut(5000, 1 << 20, is_interactive=False)
    assert second is not None
    assert first.data_size + second.data_size == 1500
    assert stream.cut(5000, 1 << 20, is_interactive=False) is None
    stream.raise_limit(3000, 1500)
    assert stream.cut(20, 1 << 20, is_interactive=False) is None
    last = stream.cut(5000, 1 << 20, is_interactive=False)
    assert last is not None
    assert last.is_fin
    for chunk in (first, second, last):
        stream.on_chunk_acked(chunk)
    assert stream.is_done
    with pytest.raises(LocalProtocolError):
        stream.write(b"more", end_stream=False)


def test_windows_grow_where_they_are_the_limit() -> None:
    window = ReceiveWindow(1000, 8000)
    assert window.on_consumed(400, 8 << 20, rtt=0.1, now=1.0) is None
    assert window.on_consumed(200, 8 << 20, rtt=0.1, now=1.0) == 600 + 4000
    assert window.on_consumed(2500, 8 << 20, rtt=0.1, now=9.0) == 3100 + 4000, "slow consumption does not grow it"
