"""What the fuzzer calls: a function of bytes that raises where something does not hold.

`tests/tools/fuzz/run.py` calls them with inputs that grow towards new coverage (`make fuzz`);
`tests/transport/test_fuzz.py` with the inputs that are checked in.
"""

import base64
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from hashlib import blake2s
from random import Random
from typing import Any, TypeVar

from simnet import SERVER_KEY, Victim
from tandem.base.errors import UsageError
from tandem.config.invites import FLEET_PREFIX, PREFIX, Invite, decode_invites, encode_fleet
from tandem.config.patterns import canonical_name, parse_pattern
from tandem.exchange.pieces import MAX_DATAGRAM, MAX_UNFINISHED_SIZE, Joiner, decode_datagram
from tandem.exchange.request import RequestError, read_answer, read_request
from tandem_socks import ServerConnection, State
from tandem_socks.dialects.http_answer import AnswerFilter
from tandem_transport import LocalProtocolError, TransportParameters
from tandem_transport.crypto.handshake import ServerHandshake
from tandem_transport.errors import DecodeError
from tandem_transport.events import Event, StreamDataReceived
from tandem_transport.parameters import AMPLIFICATION_LIMIT, MAX_STREAMS
from tandem_transport.wire.decoding import decode_frames
from tandem_transport.wire.frames import (
    AckFrame,
    ConnectionCloseFrame,
    DatagramFrame,
    Frame,
    MaxDataFrame,
    MaxStreamDataFrame,
    MaxStreamsFrame,
    PathChallengeFrame,
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
from tandem_transport.wire.packets import PacketType, split_datagram

_MAX_OPERATIONS = 200

T = TypeVar("T")


def wire(data: bytes) -> None:
    """Decoders of datagrams, frames, transport parameters and first messages."""
    position = 0
    for packet in split_datagram(data):
        assert packet.data == data[position : position + len(packet.data)]
        position += len(packet.data)
        if packet.packet_type is PacketType.INITIATION and len(packet.body) > 96:
            with suppress(DecodeError):
                ServerHandshake(SERVER_KEY, packet)
    with suppress(DecodeError):
        TransportParameters.decode(data)
    try:
        frames = decode_frames(data)
    except DecodeError:
        return
    encoded = b"".join(frame.encode() for frame in frames)
    assert not frames or decode_frames(encoded) == frames


class _Input:
    """Small numbers and byte strings, cut from the fuzzer's bytes; zeros once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        return self._position >= len(self._data)

    def byte(self) -> int:
        self._position += 1
        return self._data[self._position - 1] if self._position <= len(self._data) else 0

    def integer(self) -> int:
        """Mostly small, sometimes anything up to 2^62."""
        kind = self.byte()
        if kind < 192:
            return kind
        size = 1 + kind % 8
        return int.from_bytes(bytes(self.byte() for _ in range(size)), "big") & (1 << 62) - 1

    def blob(self) -> bytes:
        size = self.byte() * 4
        piece = self._data[self._position : self._position + size]
        self._position += size
        return piece


def session(data: bytes) -> None:
    """A session as a list of operations: of a peer that has valid keys, of the network, of the application."""
    given = _Input(data)
    victim = Victim(is_client=bool(given.byte() % 2))
    for _ in range(_MAX_OPERATIONS):
        if given.is_empty:
            break
        with suppress(LocalProtocolError):
            _OPERATIONS[given.byte() % len(_OPERATIONS)](victim, given)
        _check(victim)
    victim.advance(5)
    _check(victim)


def _check(victim: Victim) -> None:
    stats = victim.connection.stats(now=victim.now)
    assert stats.streams_open <= 2 * MAX_STREAMS
    assert len(stats.paths) <= 32
    timeout = victim.connection.next_timeout()
    assert timeout is None or timeout > victim.now - 60
    if not victim.connection.is_client:
        for address, sent in victim.sent_to.items():
            assert sent <= AMPLIFICATION_LIMIT * victim.received_from[address], "nobody here can prove an address"


# --- operations ---


def _frames(given: _Input) -> Iterator[Frame]:
    for _ in range(1 + given.byte() % 4):
        yield _FRAMES[given.byte() % len(_FRAMES)](given)


def _packet(victim: Victim, given: _Input) -> None:
    payload = b"".join(frame.encode() for frame in _frames(given))
    victim.receive(payload, path_id=given.byte() % 34, source=f"address {given.byte() % 6}")


def _raw_payload(victim: Victim, given: _Input) -> None:
    victim.receive(given.blob())


def _datagram(victim: Victim, given: _Input) -> None:
    victim.receive_datagram(given.blob(), source="stranger")


def _replay(victim: Victim, given: _Input) -> None:
    if victim.packets:
        data = bytearray(victim.packets[given.integer() % len(victim.packets)])
        if given.byte() % 2:
            data[given.integer() % len(data)] ^= 1 << given.byte() % 8
        victim.receive_datagram(bytes(data), path_id=data[17], source="stranger")


def _open(victim: Victim, given: _Input) -> None:
    stream_id = victim.connection.open_stream()
    victim.connection.send_stream_data(stream_id, given.blob(), end_stream=bool(given.byte() % 2))
    victim.run_timers()


def _write(victim: Victim, given: _Input) -> None:
    stream_id = given.integer()
    size = min(victim.connection.send_capacity(stream_id), given.integer(), 100_000)
    victim.connection.send_stream_data(stream_id, bytes(size), end_stream=bool(given.byte() % 2))
    victim.run_timers()


def _consume(victim: Victim, given: _Input) -> None:
    stream_id = given.integer()
    received = sum(_size(event, stream_id) for event in victim.events)
    victim.connection.consume(stream_id, received)
    victim.events = [event for event in victim.events if not _size(event, stream_id)]
    victim.run_timers()


def _size(event: Event, stream_id: int) -> int:
    """Bytes of the stream's data in the event."""
    return len(event.data) if isinstance(event, StreamDataReceived) and event.stream_id == stream_id else 0


def _reset(victim: Victim, given: _Input) -> None:
    victim.connection.reset_stream(given.integer(), given.integer())
    victim.run_timers()


def _send_datagram(victim: Victim, given: _Input) -> None:
    victim.connection.send_datagram_frame(given.integer(), given.blob())
    victim.run_timers()


def _advance(victim: Victim, given: _Input) -> None:
    victim.advance(0.001 * 2 ** (given.byte() % 20))


def _keys(victim: Victim, given: _Input) -> None:
    if given.byte() % 2:
        victim.update_peer_keys()
    else:
        victim.connection.update_keys(now=victim.now)


def _link(victim: Victim, given: _Input) -> None:
    if not victim.connection.is_client:
        return
    match given.byte() % 4:
        case 0:
            victim.connection.on_wake(now=victim.now)
        case 1:
            victim.connection.on_rebound(0, is_same_network=bool(given.byte() % 2), now=victim.now)
        case 2:
            victim.connection.set_link_error(0, "gone" if given.byte() % 2 else "", now=victim.now)
        case _:
            victim.connection.add_path(given.byte() % 34, now=victim.now)
    victim.run_timers()


def _close(victim: Victim, given: _Input) -> None:
    if given.byte() == 255:
        victim.connection.close(given.integer(), "fuzz", now=victim.now)
        victim.run_timers()


_OPERATIONS: list[Callable[[Victim, _Input], None]] = [
    _packet,
    _packet,
    _packet,
    _raw_payload,
    _datagram,
    _replay,
    _open,
    _write,
    _consume,
    _reset,
    _send_datagram,
    _advance,
    _keys,
    _link,
    _close,
]


def _ack(given: _Input) -> Frame:
    low = given.integer()
    ranges = [(low, low + given.byte())]
    for _ in range(given.byte() % 4):
        low = ranges[-1][1] + 2 + given.byte()
        ranges.append((low, low + given.byte()))
    times = (given.integer(), given.integer(), given.integer())
    return AckFrame(given.byte() % 34, *times, tuple(reversed(ranges)))


def _policy(given: _Input) -> Frame:
    preferences = tuple(
        PathPreference(given.byte() % 32, PathUse(given.byte() % len(PathUse)), given.integer())
        for _ in range(given.byte() % 4)
    )
    return PathPolicyFrame(given.integer(), given.byte(), preferences)


_FRAMES: list[Callable[[_Input], Frame]] = [
    lambda given: StreamFrame(given.integer(), given.integer() >> 1, given.blob(), bool(given.byte() % 2)),
    lambda given: StreamFrame(2 * (given.byte() % 8), 4 * given.byte(), given.blob(), bool(given.byte() % 2)),
    _ack,
    _policy,
    lambda _: PingFrame(),
    lambda given: ResetStreamFrame(given.integer(), given.integer(), given.integer()),
    lambda given: StopSendingFrame(given.integer(), given.integer()),
    lambda given: MaxDataFrame(given.integer(), given.integer()),
    lambda given: MaxStreamDataFrame(given.integer(), given.integer(), given.integer()),
    lambda given: MaxStreamsFrame(given.integer()),
    lambda given: PathChallengeFrame(Random(given.byte()).randbytes(8)),
    lambda given: PathResponseFrame(Random(given.byte()).randbytes(8)),
    lambda given: StatsFrame(given.integer(), given.integer(), given.integer(), ()),
    lambda given: PathLimitsFrame(given.integer(), (PathLimit(given.byte() % 4, given.integer()),)),
    lambda given: DatagramFrame(given.integer(), given.integer(), given.blob()),
    lambda given: ConnectionCloseFrame(given.integer(), "fuzz") if given.byte() == 255 else PingFrame(),
]

# --- what comes from strangers and neighbours above the transport ---


class _Said:
    """A stream that says some bytes and ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read_exactly(self, size: int) -> bytes:
        if len(self._data) < size:
            raise EOFError
        data, self._data = self._data[:size], self._data[size:]
        return data


def _run(reading: Coroutine[Any, Any, T]) -> T:
    """A coroutine that never waits."""
    try:
        reading.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits for something")


def heads(data: bytes) -> None:
    """What stands at the head of a stream, and datagrams in pieces: whatever gets through is printable."""
    said: Any = _Said(data)
    with suppress(RequestError):
        request = _run(read_request(said))
        assert request.host.isprintable()
        with suppress(ValueError):
            name = canonical_name(request.host)
            assert canonical_name(name) == name, "one form"
            assert name.isascii()
            assert name == name.strip(".") or ":" in name
    said = _Said(data)
    with suppress(RequestError):
        answer = _run(read_answer(said))
        assert (answer.bound_host + answer.error + answer.detail).isprintable()
        assert str(answer.failure()).isprintable()
    joiner = Joiner()
    given = _Input(data)
    while not given.is_empty:
        whole = joiner.join(given.blob())
        decoded = decode_datagram(whole) if whole is not None else None
        assert decoded is None or decoded[0].isprintable()
        assert joiner.buffered <= MAX_UNFINISHED_SIZE + MAX_DATAGRAM


def http(data: bytes) -> None:
    """A client of the SOCKS port, an origin server behind it: any bytes, in any segmentation, with the same result."""
    step = 1 + data[0] % 16 if data else 1
    whole, parts = ServerConnection(), ServerConnection()
    whole.receive_data(data)
    begin = 0
    while begin < len(data) and parts.state is State.READING:
        parts.receive_data(data[begin : begin + step])
        begin += step
    if whole.state is parts.state:
        assert whole.request == parts.request
        assert whole.data_to_send() == parts.data_to_send()
    else:  # a body that cannot be followed is refused if it comes with its head, and the last if it comes later
        assert (whole.state, parts.state) == (State.CLOSED, State.PENDING)
        assert parts.forwarded is not None
        parts.forwarded.body.take(data[begin:])
        assert parts.forwarded.body.is_malformed
    at_once, slowly = (AnswerFilter("GET", keeps_alive=True) for _ in range(2))
    out = at_once.take(data) + at_once.end()
    assert out == b"".join(slowly.take(data[at : at + step]) for at in range(0, len(data), step)) + slowly.end()
    assert (at_once.is_over, at_once.keeps_alive) == (slowly.is_over, slowly.keeps_alive)


def words(data: bytes) -> None:
    """What people type or paste: invites, patterns of rules."""
    text = data.decode(errors="replace")
    with suppress(UsageError):
        invite = Invite.decode(text)
        assert Invite.decode(invite.encode()) == invite
    body = PREFIX + base64.urlsafe_b64encode(data + blake2s(data, digest_size=4).digest()).decode().rstrip("=")
    with suppress(UsageError):
        invite = Invite.decode(body)
        assert Invite.decode(invite.encode()) == invite
    fleet = FLEET_PREFIX + body.removeprefix(PREFIX)
    with suppress(UsageError):
        invites = decode_invites(fleet)
        assert decode_invites(encode_fleet(invites)) == invites
    with suppress(ValueError):
        pattern = parse_pattern(text)
        assert sum(map(bool, (pattern.forward, pattern.host, pattern.network is not None))) == 1


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire": wire,
    "session": session,
    "heads": heads,
    "http": http,
    "words": words,
}

SHARES = {"wire": 1, "session": 4, "heads": 1, "http": 2, "words": 1}
"""Of the time that `make fuzz` has: a session is played a few hundred times slower than a head is parsed."""
