"""The UDP peers of a published port: each has a stream of its own, with its datagrams in DATAGRAM frames beside it."""

import logging
from collections.abc import Awaitable, Callable

from tandem.exchange.failures import Failure
from tandem.exchange.request import RequestError
from tandem.exchange.stream_datagrams import StreamDatagrams
from tandem.ports.flows import Flow, FlowTable
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

HostPort = tuple[str, int]
OpenFlow = Callable[[HostPort, HostPort], Awaitable[tuple[str, Stream]]]
"""Opens the stream of a peer, by its address and the one that it has reached; tells the client's name.

Raises Failure, TransportError and RequestError.
"""


class _Flow(Flow):
    """One peer."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self.caller = caller
        host, port = caller.sock.getsockname()[:2]
        self.reached = (caller.reached or str(host), int(port))
        self._early: list[bytes] = []
        self._datagrams: StreamDatagrams | None = None
        self._to_peer: Bucket
        self._to_client: Bucket

    @property
    def is_waiting(self) -> bool:
        """Whether the stream is not open yet."""
        return self._datagrams is None

    def attach(self, stream: Stream, buckets: tuple[Bucket, Bucket]) -> None:
        """The stream is open: what has waited for it is sent. `buckets`: the client's rate, up and down."""
        self._to_peer, self._to_client = buckets
        self._datagrams = StreamDatagrams(stream, self._answer)
        early, self._early = self._early, []
        for data in early:
            self.send(data)

    def send(self, data: bytes) -> None:
        """Sends a datagram of the peer to the client."""
        self.touch()
        if self._datagrams is None:
            if len(self._early) < MAX_EARLY and sum(map(len, self._early)) + len(data) <= MAX_EARLY_BYTES:
                self._early.append(data)
        elif self._to_client.admits(len(data)):
            self._datagrams.send(data)

    def _answer(self, data: bytes) -> None:
        if self._to_peer.admits(len(data)):
            self.touch()
            answer(self.caller, data)


class PublishedFlows:
    """The peers of one port."""

    def __init__(self, open_flow: OpenFlow, limits: ClientLimits, rates: ClientRates) -> None:
        """`limits` and `rates`: those of the clients."""
        self._open_flow = open_flow
        self._limits, self._rates = limits, rates
        self._flows = FlowTable[Caller, _Flow](MAX_FLOWS)

    def __len__(self) -> int:
        return len(self._flows)

    def receive(self, caller: Caller, data: bytes) -> None:
        """Takes a datagram that has arrived at the port."""
        flow = self._flows.get(caller)
        if flow is None:
            if self._flows.count(lambda each: each.is_waiting) >= MAX_OPENING:
                return
            flow = _Flow(caller)
            self._flows.begin(caller, flow, self._carry(flow))
        flow.send(data)

    async def close(self) -> None:
        """Ends all flows."""
        await self._flows.close()

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
