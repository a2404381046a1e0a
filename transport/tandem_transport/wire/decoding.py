"""Decodes the frames of a packet (PROTOCOL.md section 5)."""

from collections.abc import Callable
from typing import Final

from tandem_transport.errors import DecodeError
from tandem_transport.parameters import MAX_ACK_RANGES, MAX_PATHS, MAX_REASON_SIZE, MAX_VARINT
from tandem_transport.text import printable
from tandem_transport.wire.frames import (
    AckFrame,
    ConnectionCloseFrame,
    DatagramFrame,
    Frame,
    FrameType,
    GoAwayFrame,
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    PathChallengeFrame,
    PathCount,
    PathLimit,
    PathLimitsFrame,
    PathPolicyFrame,
    PathPreference,
    PathResponseFrame,
    PathUse,
    PingFrame,
    ResetStreamFrame,
    StatsFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.wire.varint import Reader


def decode_frames(payload: bytes) -> list[Frame]:
    """All frames of a packet's payload.

    Raises:
        DecodeError: the payload is empty, a frame is cut short, has an unknown type, or
            holds a value out of its range.
    """
    reader = Reader(payload)
    frames: list[Frame] = []
    if not payload:
        raise DecodeError("a packet without frames")
    while reader.remaining:
        frame_type = reader.varint()
        if frame_type in (_STREAM, _STREAM_FIN):  # first, because most frames are, and speed matters most here
            frames.append(_stream_body(reader, fin=frame_type == _STREAM_FIN))
            continue
        if frame_type == _PADDING:
            reader.skip_zeros()
            continue
        decode = _DECODERS.get(frame_type)
        if decode is None:
            raise DecodeError(f"unknown frame type {frame_type:#x}")
        frames.append(decode(reader))
    return frames


def _ping(reader: Reader) -> Frame:
    return PingFrame()


def _go_away(reader: Reader) -> Frame:
    return GoAwayFrame()


def _ack(reader: Reader) -> Frame:
    path_id, high = _path_id(reader), reader.varint()
    received_at_us, received_bytes, delay_us = reader.varint(), reader.varint(), reader.varint()
    more, low = reader.varint(), high - reader.varint()
    if more >= MAX_ACK_RANGES:
        raise DecodeError(f"{more + 1} ranges in an ACK")
    ranges = [(low, high)]
    for _ in range(more):
        high = low - reader.varint() - 2
        low = high - reader.varint()
        ranges.append((low, high))
    if low < 0:
        raise DecodeError("an ACK range below zero")
    return AckFrame(path_id, received_at_us, received_bytes, delay_us, tuple(ranges))


def _reset_stream(reader: Reader) -> Frame:
    return ResetStreamFrame(reader.varint(), reader.varint(), reader.varint())


def _stop_sending(reader: Reader) -> Frame:
    return StopSendingFrame(reader.varint(), reader.varint())


def _stream_body(reader: Reader, *, fin: bool) -> StreamFrame:
    stream_id, offset, size = reader.varint(), reader.varint(), reader.varint()
    if offset + size > MAX_VARINT:
        raise DecodeError("a stream offset beyond 2^62 - 1")
    return StreamFrame(stream_id, offset, reader.take(size), fin)


def _max_data(reader: Reader) -> Frame:
    return MaxDataFrame(reader.varint(), reader.varint())


def _max_stream_data(reader: Reader) -> Frame:
    return MaxStreamDataFrame(reader.varint(), reader.varint(), reader.varint())


def _max_streams(reader: Reader) -> Frame:
    return MaxStreamsFrame(reader.varint())


def _path_challenge(reader: Reader) -> Frame:
    return PathChallengeFrame(reader.take(8))


def _path_response(reader: Reader) -> Frame:
    return PathResponseFrame(reader.take(8))


def _connection_close(reader: Reader) -> Frame:
    code, size = reader.varint(), reader.varint()
    if size > MAX_REASON_SIZE:
        raise DecodeError(f"a reason of {size} bytes")
    text = printable(reader.take(size).decode(errors="replace"))  # escapes can make it longer
    return ConnectionCloseFrame(code, text.encode()[:MAX_REASON_SIZE].decode(errors="ignore"))


def _path_policy(reader: Reader) -> Frame:
    sequence, mode = reader.varint(), reader.varint()
    preferences = tuple(
        PathPreference(_path_id(reader), _path_use(reader), reader.varint()) for _ in _path_list(reader)
    )
    return PathPolicyFrame(sequence, mode, preferences)


def _stats(reader: Reader) -> Frame:
    sequence, rescued, copied = reader.varint(), reader.varint(), reader.varint()
    counts = tuple(PathCount(_path_id(reader), reader.varint(), reader.varint()) for _ in _path_list(reader))
    return StatsFrame(sequence, rescued, copied, counts)


def _path_limits(reader: Reader) -> Frame:
    sequence = reader.varint()
    return PathLimitsFrame(sequence, tuple(PathLimit(_path_id(reader), reader.varint()) for _ in _path_list(reader)))


def _datagram(reader: Reader) -> Frame:
    return DatagramFrame(reader.varint(), reader.varint(), reader.take(reader.varint()))


def _path_id(reader: Reader) -> int:
    path_id = reader.varint()
    if path_id >= MAX_PATHS:
        raise DecodeError(f"path id {path_id}")
    return path_id


def _path_list(reader: Reader) -> range:
    count = reader.varint()
    if count > MAX_PATHS:
        raise DecodeError(f"{count} paths")
    return range(count)


def _path_use(reader: Reader) -> PathUse:
    value = reader.varint()
    if value > PathUse.OFF:
        raise DecodeError(f"path use {value}")
    return PathUse(value)


_PADDING: Final = int(FrameType.PADDING)
_STREAM: Final = int(FrameType.STREAM)
_STREAM_FIN: Final = int(FrameType.STREAM_FIN)

_DECODERS: dict[int, Callable[[Reader], Frame]] = {
    FrameType.PING: _ping,
    FrameType.ACK: _ack,
    FrameType.RESET_STREAM: _reset_stream,
    FrameType.STOP_SENDING: _stop_sending,
    FrameType.MAX_DATA: _max_data,
    FrameType.MAX_STREAM_DATA: _max_stream_data,
    FrameType.MAX_STREAMS: _max_streams,
    FrameType.PATH_CHALLENGE: _path_challenge,
    FrameType.PATH_RESPONSE: _path_response,
    FrameType.CONNECTION_CLOSE: _connection_close,
    FrameType.PATH_POLICY: _path_policy,
    FrameType.STATS: _stats,
    FrameType.GO_AWAY: _go_away,
    FrameType.PATH_LIMITS: _path_limits,
    FrameType.DATAGRAM: _datagram,
}
