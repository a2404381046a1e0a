"""One port of a server that leads to the side of the client that offers it."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable

from tandem.base.addresses import parse_host_port
from tandem.base.tasks import TaskSet
from tandem.config.publish_section import PublishConfig
from tandem.exchange.arrival import Arrival, Protocol
from tandem.exchange.failures import Failure, rule_failure, session_failure
from tandem.exchange.request import RequestError, read_answer
from tandem.ports.tcp_listener import serving_listener
from tandem.ports.udp_listener import UdpListener
from tandem.server.published_flows import PublishedFlows
from tandem.server.quotas import ClientLimits
from tandem.server.rates import Bucket, ClientRates, RatedStream
from tandem_socks import FarReset, Listener, Relay, Reply, TcpConnection, admits
from tandem_transport import ClientSession, TransportError
from tandem_transport.driver import Stream

log = logging.getLogger("tandem.server")

_SILENCE = 30.0
"""Seconds without a packet after which another computer of the same client may take an offer over."""

OpenStream = Callable[[ClientSession], Stream]
"""Opens a stream to a client. Raises TransportError where its session has ended, or allows no more."""


class Publication:
    """A port that is open while a client offers it, and always where connections are held."""

    def __init__(
        self,
        config: PublishConfig,
        limits: ClientLimits,
        rates: ClientRates,
        open_stream: OpenStream,
        *,
        shares_port: bool = False,
    ) -> None:
        """`shares_port`: other processes of this server listen on it as well, each for its own clients."""
        self.config = config
        self._limits, self._rates, self._open_stream = limits, rates, open_stream
        self._shares_port = shares_port
        self._networks = [ipaddress.ip_network(network) for network in config.allow_from]
        self._place = parse_host_port(config.listen or "", what="listen")
        self._offered = asyncio.Event()
        self._session: ClientSession | None = None
        self._stream: Stream | None = None
        """The stream of the client's offer."""
        self._listener: Listener | None = None
        self._udp: UdpListener | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False
        self._connections = TaskSet()
        self._flows = PublishedFlows(self._open_flow, limits, rates)

    @property
    def place(self) -> tuple[str, int]:
        """The address at which it is reached, as it is configured."""
        return self._place

    @property
    def client(self) -> str:
        """The name of the client that offers it now, "" where none does."""
        return self._session.client_name if self._session is not None else ""

    @property
    def in_use(self) -> int:
        """The number of connections and UDP peers that it carries."""
        return len(self._connections) + len(self._flows)

    async def open(self) -> None:
        """Listens. Raises OSError."""
        async with self._turn:
            if self._listener is not None or self._udp is not None:
                return
            try:
                await self._listen()
            except OSError:
                await self._stop()
                raise

    async def check(self) -> None:
        """Finds out whether it can listen; stays open where connections are held. Raises OSError."""
        await self.open()
        if not self.config.hold or self._shares_port:
            await self._close_port()

    async def drain(self, timeout: float) -> None:
        """Ends the client's offer and stops listening; waits for its connections, `timeout` seconds at most."""
        self._take_offer(None, None)
        await self._close_port()
        await self._connections.wait(timeout)

    async def close(self) -> None:
        """Stops listening, ends the client's offer, and resets what it carries."""
        self._is_closed = True
        await self.drain(0)
        await self._flows.close()
        await self._connections.cancel()

    async def offer(self, session: ClientSession, stream: Stream) -> None:
        """A client offers it from now on. Raises Failure where another one does, or it cannot listen."""
        if self._is_taken(session):
            raise rule_failure(f"{self.config.name} is offered by another client, or another computer of this one")
        try:
            await self.open()
            if self._is_closed or self._is_taken(session):  # meanwhile
                raise rule_failure(f"{self.config.name} is offered by another client now, or no longer listed")
        except OSError as error:
            log.warning("publish %s: cannot listen on %s: %s", self.config.name, self.config.listen, error)
            raise rule_failure(f"{self.config.name}: the server cannot listen: {error.strerror}") from error
        self._take_offer(session, stream)
        log.info("%s: publishes %s at %s", session.client_name, self.config.name, self.config.listen)

    def admits_peer(self, host: str) -> bool:
        """Whether a peer with this address may use it."""
        return admits(host, self._networks)

    async def withdraw(self, stream: Stream) -> None:
        """The offer of a stream has ended; does nothing where another one has come."""
        if self._stream is not stream:
            return
        self._take_offer(None, None)
        log.info("publish %s: nobody offers it now", self.config.name)
        if not self.config.hold or self._shares_port:
            await self._close_port()

    # --- listening ---

    async def _listen(self) -> None:
        host, port = self._place
        if "tcp" in self.config.protocols:
            self._listener = serving_listener(
                self._connections, self._serve, admits=self.admits_peer, reuse_port=self._shares_port
            )
            await self._listener.listen(host, port)
        if "udp" in self.config.protocols:
            self._udp = UdpListener(self._flows.receive, admits=self.admits_peer)
            await self._udp.listen(host, port, reuse_port=self._shares_port)

    async def _close_port(self) -> None:
        async with self._turn:
            if self._session is None:
                await self._stop()

    async def _stop(self) -> None:
        listener, self._listener = self._listener, None
        udp, self._udp = self._udp, None
        if udp is not None:
            udp.close()
        if listener is not None:
            await listener.close()

    def _is_taken(self, session: ClientSession) -> bool:
        """Whether somebody else offers it: another client, or another computer of the same client that is heard."""
        present = self._session
        if present is None or not present.connection.is_open or present is session:
            return False
        if present.client_public != session.client_public:
            return True
        silent_for = time.monotonic() - present.connection.last_received_at
        return present.instance_id != session.instance_id and silent_for < _SILENCE

    def _take_offer(self, session: ClientSession | None, stream: Stream | None) -> None:
        before, self._stream, self._session = self._stream, stream, session
        if before is not None:
            before.reset()
        if session is None:
            self._offered.clear()
        else:
            self._offered.set()

    async def _offering(self) -> ClientSession:
        """The session of the client that offers it; waits for one as long as is configured. Raises Failure."""
        if self._session is None and self.config.hold:
            try:
                async with asyncio.timeout(self.config.hold):
                    await self._offered.wait()
            except TimeoutError:
                pass
        if self._session is None:
            raise session_failure("no client offers it now")
        return self._session

    # --- TCP ---

    async def _serve(self, tcp: TcpConnection) -> None:
        arrival = self._arrival(Protocol.TCP, tcp.peer_address, tcp.local_address)
        try:
            session = await self._offering()
            with self._limits.stream(session.client_name):
                await self._limits.wait_turn(session.client_name)
                await self._carry(session, tcp, arrival)
        except (Failure, TransportError) as error:
            log.info("publish %s: %s", arrival, error)
            tcp.reset()
        except asyncio.CancelledError:
            tcp.reset()
            raise

    async def _carry(self, session: ClientSession, tcp: TcpConnection, arrival: Arrival) -> None:
        began = time.monotonic()
        stream = self._open_stream(session)
        await stream.write(arrival.encode())
        result = await Relay(tcp, _Answered(stream, self._rates.of(session.client_name), arrival)).run()
        log.info(
            "publish %s: to %s: %d bytes to it, %d from it, %.1f s, ended by %s",
            arrival,
            session.client_name,
            result.bytes_to_stream,
            result.bytes_to_tcp,
            time.monotonic() - began,
            result.ended_by,
        )

    # --- UDP ---

    async def _open_flow(self, peer: tuple[str, int], reached: tuple[str, int]) -> tuple[str, Stream]:
        """Opens the stream of a peer; waits for the client's answer. Raises Failure, TransportError, RequestError."""
        session = await self._offering()
        await self._limits.wait_turn(session.client_name)
        stream = self._open_stream(session)
        try:
            await stream.write(self._arrival(Protocol.UDP, peer, reached).encode())
            answer = await read_answer(stream)
            if answer.reply is not Reply.SUCCEEDED:
                raise answer.failure()
        except BaseException:
            stream.reset()
            raise
        return session.client_name, stream

    def _arrival(self, protocol: Protocol, peer: tuple[str, int], reached: tuple[str, int]) -> Arrival:
        return Arrival(protocol, self.config.name, peer, reached, self.config.proxy_protocol)


class _Answered(RatedStream):
    """A stream to a client, whose answer comes before its first byte."""

    def __init__(self, stream: Stream, buckets: tuple[Bucket, Bucket], arrival: Arrival) -> None:
        super().__init__(stream, buckets)
        self._arrival = arrival
        self._is_answered = False

    async def read(self) -> bytes:
        if not self._is_answered:
            await self._take_answer()
        return await super().read()

    async def _take_answer(self) -> None:
        try:
            answer = await read_answer(self._stream)
        except RequestError as error:
            raise FarReset(str(error)) from error
        if answer.reply is not Reply.SUCCEEDED:
            log.info("publish %s: %s", self._arrival, answer.failure())
            self.reset()
            raise FarReset(str(answer.failure()))
        self._is_answered = True
