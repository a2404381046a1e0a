"""The UDP peers of a published port: each has a stream of its own, with its datagrams in DATAGRAM frames beside it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from tandem.base.tasks import TaskSet
from tandem.exchange.failures import Failure
from tandem.exchange.pieces import Cutter, Joiner
from tandem.exchange.request import RequestError
from tandem.ports.udp_listener import Caller, answer
from tandem.server.quotas import ClientLimits
from tandem.server.rates import Bucket, ClientRates
from tandem_transport import TransportError
from tandem_transport.driver import Stream

log = logging.getLogger("tandem.server")

MAX_FLOWS = 1024
"""Peers of one port at the same time; a further one takes the place of the one that has been silent for longest."""

MAX_OPENING = 64
"""Peers whose stream is not open yet; datagrams of further ones are dropped."""

MAX_EARLY = 16
"""Datagrams of a peer that wait until its stream is open."""

MAX_EARLY_BYTES = 32 << 10
"""Bytes of them."""

FLOW_LIFETIME = 120.0
"""Seconds of silence after which a peer is forgotten (RFC 4787 section 4.3)."""

_LOOK_INTERVAL = 5.0

HostPort = tuple[str, int]
OpenFlow = Callable[[HostPort, HostPort], Awaitable[tuple[str, Stream]]]
"""Opens the stream of a peer, by its address and the one that it has reached; tells the client's name.

Raises Failure, TransportError and RequestError.
"""


class _Flow:
    """One peer."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        host, port = caller.sock.getsockname()[:2]
        self.reached = (caller.reached or str(host), int(port))
        self.heard_at = time.monotonic()
        self.end: Callable[[], object]
        """Ends the flow."""
        self._early: list[bytes] = []
        self._stream: Stream | None = None
        self._to_peer: Bucket
        self._to_client: Bucket
        self._cutter, self._joiner = Cutter(), Joiner()

    @property
    def is_open(self) -> bool:
        """Whether the stream is open."""
        return self._stream is not None

    def attach(self, stream: Stream, buckets: tuple[Bucket, Bucket]) -> None:
        """The stream is open: what has waited for it is sent. `buckets`: the client's rate, up and down."""
        self._stream = stream
        self._to_peer, self._to_client = buckets
        stream.on_datagram_frame = self._on_piece
        early, self._early = self._early, []
        for data in early:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Sends a datagram of the peer to the client."""
        self.heard_at = time.monotonic()
        if self._stream is None:
            if len(self._early) < MAX_EARLY and sum(map(len, self._early)) + len(data) <= MAX_EARLY_BYTES:
                self._early.append(data)
        elif self._to_client.admits(len(data)):
            for piece in self._cutter.cut(data, self._stream.datagram_room):
                self._stream.send_datagram_frame(piece)

    def _on_piece(self, piece: bytes) -> None:
        data = self._joiner.join(piece)
        if data is not None and self._to_peer.admits(len(data)):
            self.heard_at = time.monotonic()
            answer(self.caller, data)


class PublishedFlows:
    """The peers of one port."""

    def __init__(self, open_flow: OpenFlow, limits: ClientLimits, rates: ClientRates) -> None:
        """`limits` and `rates`: those of the clients."""
        self._open_flow = open_flow
        self._limits, self._rates = limits, rates
        self._flows: dict[Caller, _Flow] = {}
        self._tasks = TaskSet()
        """One for each flow, and one that forgets those that are silent."""
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._flows)

    def receive(self, caller: Caller, data: bytes) -> None:
        """Takes a datagram that has arrived at the port."""
        flow = self._flows.get(caller)
        if flow is None:
            if sum(not each.is_open for each in self._flows.values()) >= MAX_OPENING:
                return
            flow = self._begin(caller)
        flow.send(data)

    async def close(self) -> None:
        """Ends all flows."""
        await self._tasks.cancel()

    # --- inside ---

    def _begin(self, caller: Caller) -> _Flow:
        if self._looking is None or self._looking.done():
            self._looking = self._tasks.begin(self._forget_silent())
        if len(self._flows) >= MAX_FLOWS:
            oldest = min(self._flows.values(), key=lambda flow: flow.heard_at)
            del self._flows[oldest.caller]
            oldest.end()
        flow = self._flows[caller] = _Flow(caller)
        task = self._tasks.begin(self._carry(flow))
        task.add_done_callback(lambda _: self._on_ended(flow))  # also of a task that was cancelled before it began
        flow.end = task.cancel
        return flow

    def _on_ended(self, flow: _Flow) -> None:
        if self._flows.get(flow.caller) is flow:
            del self._flows[flow.caller]

    async def _carry(self, flow: _Flow) -> None:
        stream: Stream | None = None
        try:
            client, stream = await self._open_flow((flow.caller.host, flow.caller.port), flow.reached)
            with self._limits.stream(client):
                flow.attach(stream, self._rates.of(client))
                while await stream.read():  # until the client ends it
                    pass
        except (Failure, TransportError, RequestError) as error:
            log.info("publish: a udp peer: %s", error)
        finally:
            if stream is not None:
                stream.on_datagram_frame = None
                stream.reset()

    async def _forget_silent(self) -> None:
        while self._flows:
            await asyncio.sleep(_LOOK_INTERVAL)
            limit = time.monotonic() - FLOW_LIFETIME
            for flow in list(self._flows.values()):
                if flow.heard_at < limit:
                    flow.end()
