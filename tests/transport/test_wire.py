"""Everything that is read from the network: round trips, golden bytes, and what arbitrary bytes do."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import FRAME, INTEGER
from tandem_transport.crypto.connection_id import ConnectionIdIssuer
from tandem_transport.errors import DecodeError
from tandem_transport.parameters import MIN_DATAGRAM_SIZE, SMALL_DATAGRAM_SIZES
from tandem_transport.path.mtu import COMPANION, COMPANION_SIZE
from tandem_transport.wire import frames
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import Frame
from tandem_transport.wire.packets import (
    HEADER_SIZE,
    OVERHEAD,
    PREFIX_SIZE,
    PacketType,
    message,
    split_datagram,
    transport_header,
)
from tandem_transport.wire.ranges import RangeSet
from tandem_transport.wire.transport_parameters import CipherSuite, TransportParameters
from tandem_transport.wire.varint import Reader, encode_varint


@given(INTEGER)
def test_integers_come_back(value: int) -> None:
    reader = Reader(encode_varint(value))
    assert reader.varint() == value
    assert not reader.remaining


# RFC 9000 appendix A.1
@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("c2197c5eff14e88c", 151288809941952652),
        ("9d7f3e7d", 494878333),
        ("7bbd", 15293),
        ("25", 37),
        ("4025", 37),
    ],
)
def test_integers_of_rfc_9000(encoded: str, value: int) -> None:
    assert Reader(bytes.fromhex(encoded)).varint() == value


@given(st.lists(FRAME, min_size=1, max_size=6), st.integers(0, 5))
def test_frames_come_back(sent: list[Frame], padding: int) -> None:
    payload = b"".join(frame.encode() + bytes(padding) for frame in sent)
    assert decode_frames(payload) == sent


@given(st.binary(max_size=1500))
def test_arbitrary_payloads_decode_or_are_refused(payload: bytes) -> None:
    try:
        decoded = decode_frames(payload)
    except DecodeError:
        return
    assert all(isinstance(frame, Frame) for frame in decoded)


@given(st.lists(FRAME, min_size=1, max_size=4), st.data())
def test_mutated_frames_decode_or_are_refused(sent: list[Frame], data: st.DataObject) -> None:
    payload = bytearray(b"".join(frame.encode() for frame in sent))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    with contextlib.suppress(DecodeError):
        decode_frames(bytes(payload[:cut]))


# PROTOCOL.md section 5 prints these.
@pytest.mark.parametrize(
    ("frame", "encoded"),
    [
        (frames.PingFrame(), "01"),
        (frames.StreamFrame(4, 1000, b"hello", True), "090443e80568656c6c6f"),
        (frames.AckFrame(1, 70000, 1200, 25, ((7, 9), (2, 4))), "0201098001117044b01901020102"),
        (frames.PathPolicyFrame(1, 1, (frames.PathPreference(0, frames.PathUse.METERED, 0),)), "20010101000100"),
        (frames.PathLimitsFrame(3, (frames.PathLimit(1, 62500),)), "230301018000f424"),
    ],
)
def test_golden_frames(frame: Frame, encoded: str) -> None:
    assert frame.encode().hex() == encoded
    assert decode_frames(bytes.fromhex(encoded)) == [frame]


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "3f",
        "0201",
        "020105000000010500",
        "0220050000000000",
        "1a00",
        "08004001ff",
        "1c0041ff",
        "23012100",
        "2301012000",
    ],
    ids=[
        "empty",
        "unknown type",
        "short",
        "range below zero",
        "path 32",
        "short challenge",
        "short",
        "long reason",
        "33 limits",
        "limit of path 32",
    ],
)
def test_malformed_payloads_are_refused(payload: str) -> None:
    with pytest.raises(DecodeError):
        decode_frames(bytes.fromhex(payload))


@given(st.binary(max_size=3000))
def test_arbitrary_datagrams_split_into_packets_or_nothing(datagram: bytes) -> None:
    packets = list(split_datagram(datagram))
    assert sum(len(packet.data) for packet in packets) <= len(datagram)
    assert len(packets) <= 64


def test_the_sizes_of_headers() -> None:
    assert len(message(PacketType.REFUSED, bytes(16), b"")) == PREFIX_SIZE
    assert len(transport_header(0, bytes(16), 0, 0, 0)) == HEADER_SIZE
    assert len(COMPANION) + OVERHEAD == COMPANION_SIZE
    assert SMALL_DATAGRAM_SIZES[-1] == MIN_DATAGRAM_SIZE


def test_a_datagram_may_hold_several_packets() -> None:
    connection_id = bytes(range(16))
    one = transport_header(1, connection_id, 3, 10, 0x1234_5678_9ABC) + bytes(26)
    two = message(PacketType.REFUSED, connection_id, b"a body")
    first, second = split_datagram(one + two)
    assert (first.packet_type, first.key_phase, first.path_id) == (PacketType.TRANSPORT, 1, 3)
    assert (first.packet_number, len(first.data)) == (0x1234_5678_9ABC, 10 + OVERHEAD)
    assert (second.packet_type, second.body) == (PacketType.REFUSED, b"a body")
    assert len(list(split_datagram(one * 70))) == 64
    assert list(split_datagram(one[: PREFIX_SIZE - 1])) == []
    assert list(split_datagram(message(PacketType.REFUSED, connection_id, b"short"))) == [], "no message is"


@given(st.binary(max_size=100))
def test_arbitrary_parameters_decode_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        TransportParameters.decode(data)


def test_parameters_come_back_and_unknown_ones_are_skipped() -> None:
    parameters = TransportParameters(0.025, 1 << 20, 1 << 16, 100, CipherSuite.CHACHA20_POLY1305)
    unknown = bytes.fromhex("3f03010203")
    assert TransportParameters.decode(unknown + parameters.encode() + bytes(20)) == parameters


def test_connection_ids_are_recognised_without_being_remembered() -> None:
    issued = ConnectionIdIssuer(bytes(32)).issue(b"8 bytes!")
    again, stranger = ConnectionIdIssuer(bytes(32)), ConnectionIdIssuer(b"k" * 32)
    assert again.is_ours(issued)
    assert not stranger.is_ours(issued)
    assert not again.is_ours(bytes(16))
    assert again.reset_token(issued) == ConnectionIdIssuer(bytes(32)).reset_token(issued)
    assert again.reset_token(issued) != stranger.reset_token(issued)


@given(st.lists(st.integers(0, 60)))
def test_range_sets_hold_what_was_added(numbers: list[int]) -> None:
    ranges = RangeSet()
    for number in numbers:
        ranges.add(number)
    buffered = [n for low, high in ranges.newest(100) for n in range(low, high + 1)]
    assert sorted(buffered) == sorted(set(numbers))
    assert all(number in ranges for number in numbers)
    assert 61 not in ranges
    lows = [low for low, _ in ranges.newest(100)]
    assert lows == sorted(lows, reverse=True)
    if numbers:
        oldest = ranges.newest(100)[-1]
        assert ranges.drop_oldest() == oldest[1]
        assert oldest[0] not in ranges
