"""What a scheduler works with: paths whose controller does as it is told, an outbox, streams with data."""

from typing import Any

from one_path import Congestion, client_path
from tandem_transport.path.path import Path
from tandem_transport.path.probing import Reachability
from tandem_transport.recovery.chunk import Chunk, Origin
from tandem_transport.recovery.sent_packet import SentPacket
from tandem_transport.sending.control import ControlQueue
from tandem_transport.sending.outbox import Outbox
from tandem_transport.sending.sources import Draft, Source
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import StreamFrame
from tandem_transport.wire.transport_parameters import TransportParameters


def measured(path_id: int, rtt: float = 0.04) -> Path:
    """A path of which the round trip is known; 0 for one that has not answered."""
    path, _ = client_path(path_id)
    if rtt:
        path.network.rtt.on_ack(0, rtt, now=0.0)
    return path


def pair(first: float = 0.04, second: float = 0.04) -> list[Path]:
    """Two paths, with these round trips in seconds."""
    return [measured(0, first), measured(1, second)]


def suspect(path: Path) -> None:
    """A probe timeout has passed on the path."""
    path.probing.reachability = Reachability.SUSPECT


def lossy(path_id: int, lost_of_ten: int, *, rtt: float = 0.04) -> Path:
    """A path that is known to lose so many of ten packets."""
    path = measured(path_id, rtt)
    for _ in range(1000):
        path.network.loss_rate.on_acked(10 - lost_of_ten)
        path.network.loss_rate.on_lost(lost_of_ten)
    return path


def congestion_of(path: Path) -> Congestion:
    congestion: Any = path.network.congestion
    assert isinstance(congestion, Congestion)
    return congestion


class Work:
    """The outbox of one end, and its streams."""

    def __init__(self) -> None:
        parameters = TransportParameters()
        self.control = ControlQueue()
        self.streams = Streams(
            is_client=True,
            local=parameters,
            remote=parameters,
            send_control=self.control.add,
            emit=lambda _: None,
        )
        self.outbox = Outbox(self.control, self.streams)

    def write(self, size: int, *, is_bulk: bool = False) -> int:
        """New data of a stream; what is bulk has sent much already."""
        stream_id = self.streams.open()
        self.streams.write(stream_id, bytes(size), end_stream=False)
        if is_bulk:
            sending: Any = self.streams.turns
            for queued in sending._interactive:
                if queued.stream_id == stream_id:
                    queued.offset = 20_000
                    queued.raise_limit(1 << 30, 1 << 30)
                    queued._level = 1e12
        return stream_id

    def send(self, path: Path, *chunks: Chunk, now: float, size: int = 1000) -> SentPacket:
        """A packet with these chunks leaves on a path."""
        packet = SentPacket(path.recovery.take_number(now=now), size, now, list(chunks))
        path.on_packet_sent(packet, size, path.addresses.current, now=now)
        self.outbox.on_sent(packet, path)
        return packet


def bulk(size: int = 100, *, stream: Origin | None = None) -> Chunk:
    """A chunk that nobody waits for."""
    return Chunk(bytes(size), stream, size, is_interactive=False)


def press(text: bytes = b"key press") -> Chunk:
    """A chunk that somebody waits for."""
    return Chunk(text)


def framed(size: int, *, offset: int = 0, fin: bool = False, stream_id: int = 0) -> Chunk:
    """A STREAM frame with so many bytes of data."""
    data = bytes(number % 251 for number in range(size))
    frame = StreamFrame(stream_id, offset, data, fin).encode()
    return Chunk(frame, Origin(stream_id), size, is_fin=fin, is_interactive=False)


def taken(source: Source, path: Path, *paths: Path, room: int = 1000, now: float = 1.0) -> list[Chunk]:
    """What a source puts into an empty packet."""
    draft = Draft(room, room)
    source.take(path, paths or [path], draft, now=now)
    assert draft.room in (room, room - sum(len(chunk.frame) for chunk in draft.chunks)), "new data is the last"
    return draft.chunks
