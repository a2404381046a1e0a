"""One end's table of streams, and all that it sends and tells."""

from tandem_transport.events import (
    Event,
)
from tandem_transport.recovery.chunk import Chunk
from tandem_transport.streams.flow_control import Budget
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import (
    Frame,
    ResetStreamFrame,
    StreamFrame,
)
from tandem_transport.wire.transport_parameters import TransportParameters

WINDOW = 1000


class End:
    """The streams of one end, which is the server unless told otherwise, and what they send and tell."""

    def __init__(
        self,
        *,
        is_client: bool = False,
        session: int = 100_000,
        window: int = WINDOW,
        max_streams: int = 8,
        budget: Budget | None = None,
    ) -> None:
        self.sent: list[Frame] = []
        self.told: list[Event] = []
        local = TransportParameters(initial_max_data=session, initial_max_stream_data=window, max_streams=max_streams)
        remote = TransportParameters(initial_max_data=50_000, initial_max_stream_data=2 * WINDOW, max_streams=3)
        self.streams = Streams(
            is_client=is_client,
            local=local,
            remote=remote,
            send_control=self.sent.append,
            emit=self.told.append,
            send_budget=budget,
            receive_budget=budget,
        )

    def receive(self, stream_id: int, offset: int, data: bytes, *, fin: bool = False) -> bool:
        return self.streams.on_stream_frame(StreamFrame(stream_id, offset, data, fin), rtt=0.1, now=1.0)

    def events(self) -> list[Event]:
        return list(self.streams.events())

    def consume(self, stream_id: int, size: int, *, rtt: float = 0.1, now: float = 1.0) -> None:
        self.streams.consume(stream_id, size, rtt=rtt, now=now)

    def reset(self, stream_id: int) -> bool:
        return self.streams.reset(stream_id, 7, rtt=0.1, now=1.0) is not None

    def receive_reset(self, stream_id: int, final_size: int) -> None:
        self.streams.on_reset_frame(ResetStreamFrame(stream_id, 5, final_size), rtt=0.1, now=1.0)

    def cut(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        while chunk := self.streams.turns.cut(1200, now=1.0):
            chunks.append(chunk)
        return chunks

    def deliver(self) -> None:
        """Everything that may be sent arrives."""
        for chunk in self.cut():
            self.streams.on_chunk_acked(chunk)

    def finish(self, stream_id: int) -> None:
        """Our direction ends, and its end has arrived."""
        self.streams.write(stream_id, b"", end_stream=True)
        self.deliver()
