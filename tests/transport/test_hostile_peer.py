"""A peer with valid keys sends whatever it likes: nothing raises, and other sessions would not notice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet import Victim
from strategies import FRAME
from tandem_transport import ErrorCode, TransportParameters
from tandem_transport.events import Event, StreamDataReceived
from tandem_transport.parameters import MAX_OUTSTANDING, MAX_STREAMS
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import (
    AckFrame,
    Frame,
    MaxDataFrame,
    MaxStreamDataFrame,
    PathChallengeFrame,
    PathPolicyFrame,
    PathPreference,
    PathUse,
    ResetStreamFrame,
    StopSendingFrame,
    StreamFrame,
)
from tandem_transport.wire.packets import split_datagram


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.lists(st.lists(FRAME, min_size=1, max_size=4), min_size=1, max_size=6), st.integers(0, 3))
def test_any_frames_in_any_order(is_client: bool, packets: list[list[Frame]], path_id: int) -> None:
    victim = Victim(is_client=is_client)
    if is_client:
        victim.connection.send_stream_data(victim.connection.open_stream(), b"hello")
        victim.run_timers()
    for number, frames in enumerate(packets):
        victim.receive(b"".join(frame.encode() for frame in frames), path_id=path_id if number % 2 else 0)
    victim.connection.stats(now=victim.now)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_any_payload(payloads: list[bytes]) -> None:
    victim = Victim(is_client=False)
    for payload in payloads:
        victim.receive(payload)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=1500))
def test_arbitrary_datagrams_reach_no_application(datagram: bytes) -> None:
    victim = Victim(is_client=False)
    victim.connection.receive_packets(0, split_datagram(datagram), now=0.0, source="stranger")
    assert victim.connection.next_event() is None
    assert not victim.connection.is_confirmed
    assert list(victim.connection.datagrams_to_send(now=0.0)) == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (StreamFrame(0, 1 << 40, b"x", False), ErrorCode.FLOW_CONTROL_ERROR),
        (StreamFrame(2 * MAX_STREAMS, 0, b"x", False), ErrorCode.STREAM_LIMIT_ERROR),
        (StreamFrame(1, 0, b"x", False), ErrorCode.STREAM_STATE_ERROR),
        (MaxStreamDataFrame(7, 1, 1), ErrorCode.STREAM_STATE_ERROR),
        (StopSendingFrame(9, 1), ErrorCode.STREAM_STATE_ERROR),
        (ResetStreamFrame(0, 1, 1 << 50), ErrorCode.FLOW_CONTROL_ERROR),
        (AckFrame(0, 0, 0, 0, ((0, 1 << 40),)), ErrorCode.PROTOCOL_VIOLATION),
        (AckFrame(5, 0, 0, 0, ((0, 0),)), ErrorCode.PROTOCOL_VIOLATION),
    ],
)
def test_violations_close_the_session_with_a_reason(frame: Frame, code: ErrorCode) -> None:
    victim = Victim(is_client=False)
    victim.receive(frame.encode())
    assert victim.closed_with == code
    assert not victim.connection.is_open


def test_a_server_makes_no_policy() -> None:
    victim = Victim(is_client=True)
    victim.receive(PathPolicyFrame(1, 1, ()).encode())
    assert victim.closed_with == ErrorCode.PROTOCOL_VIOLATION


def test_a_reset_stream_takes_no_more_data_and_gives_its_credit_once() -> None:
    controls: list[Frame] = []
    events: list[Event] = []
    parameters = TransportParameters()
    streams = Streams(
        is_client=False, local=parameters, remote=parameters, send_control=controls.append, emit=events.append
    )
    for stream_id in range(0, 3000, 2):
        streams.on_stream_frame(StreamFrame(stream_id, 0, bytes(4000), False), rtt=0.1, now=1.0)
        events.extend(streams.events())
        streams.on_reset_frame(ResetStreamFrame(stream_id, 1, 8000), rtt=0.1, now=1.0)
        assert not streams.on_stream_frame(StreamFrame(stream_id, 4000, bytes(500), False), rtt=0.1, now=1.0)
        streams.consume(stream_id, 4000, rtt=0.1, now=1.0)
    limits = [frame.limit for frame in controls if isinstance(frame, MaxDataFrame)]
    assert 12_000_000 < max(limits) <= 1500 * 8000 + parameters.initial_max_data
    assert sum(len(event.data) for event in events if isinstance(event, StreamDataReceived)) == 1500 * 4000


def test_challenges_that_nobody_acknowledges_are_not_answered_without_end() -> None:
    victim = Victim(is_client=True)
    for number in range(MAX_OUTSTANDING + 500):
        victim.receive_only(PathChallengeFrame(number.to_bytes(8, "big")).encode())
    assert victim.connection.stats(now=victim.now).paths[0].bytes_in_flight < (MAX_OUTSTANDING + 10) * 60


def test_a_short_frame_does_not_carry_a_long_one_past_the_limit() -> None:
    victim = Victim(is_client=False)
    victim.receive(b"\x01" + bytes(1100))
    assert victim.connection.send_datagram_frame(1, bytes(1000))
    victim.receive(PathChallengeFrame(bytes(8)).encode(), source="elsewhere")
    assert victim.sent_to["elsewhere"] <= 3 * 51


def test_a_path_that_is_off_makes_no_timer_fire_forever_and_holds_nothing_up() -> None:
    victim = Victim(is_client=False)
    victim.receive(PathPolicyFrame(1, 1, (PathPreference(0, PathUse.OFF, 0),)).encode())
    for _ in range(20):
        victim.receive(b"\x01")
    timeout = victim.connection.next_timeout()
    assert timeout is None or timeout > victim.now
