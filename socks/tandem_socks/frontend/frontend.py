"""The proxy port: accepts clients, negotiates, asks the far side, and relays bytes."""

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tandem_socks.dialects.http import Forwarded
from tandem_socks.dialects.negotiation import State, Terms
from tandem_socks.dialects.protocol import ServerConnection
from tandem_socks.errors import Reply, SocksError, reply_of
from tandem_socks.far_side import Binding, ByteStream, FarSide, Opened
from tandem_socks.frontend.datagrams import DatagramPort
from tandem_socks.frontend.http_exchange import HttpExchange
from tandem_socks.request import Command, Request
from tandem_socks.tcp.connection import TcpConnection
from tandem_socks.tcp.listener import MAX_CONNECTIONS, Listener
from tandem_socks.tcp.relay import Relay, RelayResult
from tandem_socks.tcp.waiting import first_of_two

log = logging.getLogger("tandem.socks")

T = TypeVar("T")

NEGOTIATION_TIMEOUT = 10.0
"""Seconds that a client may take to send its greeting and request."""

KEEPALIVE_TIMEOUT = 60.0
"""Seconds that an HTTP client may take to send its next request on the same connection."""

MAX_NEGOTIATIONS = 1024
"""Limit of negotiating clients; beyond it the oldest are reset, each after `_CHANCE` seconds or later."""

_CHANCE = 1.0
"""Minimum seconds that a client has to send its request, however many other clients there are."""

UDP_IDLE_TIMEOUT = 120.0
"""Seconds without datagrams in both directions after which a UDP port is closed (RFC 4787 section 4.3: 2 minutes)."""

_CLOSE_TIMEOUT = 2.0
_COMPLAIN_EVERY = 60.0

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Authenticate = Callable[[str, str, str], Awaitable[bool]]
"""Decides whether a name and a password are right; the third argument is the client's address."""

OnRelay = Callable[[Request, RelayResult, str], None]
"""Is told of a connection: what was asked for, what it has carried, and which way it takes (`Opened.via`)."""


@dataclass(frozen=True, slots=True)
class FrontendOptions:
    """How a front end treats its clients."""

    authenticate: Authenticate | None = None
    """Checks name and password; None where clients need no password."""
    allow_from: tuple[IPNetwork, ...] = ()
    """Networks that clients may connect from, besides this machine itself; empty for all networks."""
    advertise: str = ""
    """The address that clients are told for UDP and in the PAC file; "" for the one that they connected to."""
    pac_rules: Callable[[], str] = lambda: ""
    """Makes the statements of the PAC file that say what does not go through the port."""
    idle_timeout: float = 0.0
    """Seconds of silence after which a connection is closed, 0 for no timeout."""
    udp_idle_timeout: float = UDP_IDLE_TIMEOUT


class SocksFrontend:
    """A proxy port: its listener and its clients."""

    def __init__(
        self,
        far: FarSide,
        options: FrontendOptions | None = None,
        *,
        on_opened: OnRelay | None = None,
        on_closed: OnRelay | None = None,
    ) -> None:
        """`on_opened` gets the result of a connection at its start, and it stays up to date; `on_closed` at the end."""
        self._far = far
        self._options = options or FrontendOptions()
        self._on_opened = on_opened
        self._on_closed = on_closed
        networks = self._options.allow_from
        self._listener = Listener(self._accept, admits=lambda host: admits(host, networks), limit=MAX_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._negotiations: dict[TcpConnection, float] = {}
        """When each negotiating client connected, the oldest first."""
        self._crowd_timer: asyncio.TimerHandle | None = None
        self._complained_at = float("-inf")
        self._is_draining = False
        self._idle: set[TcpConnection] = set()
        """Client connections that wait for their next HTTP request."""
        self._endings: set[asyncio.Task[None]] = set()
        """Tasks that wait for the ends of streams whose answer has passed."""

    @property
    def port(self) -> int:
        """The port number that it listens on."""
        return self._listener.port

    async def listen(self, host: str, port: int) -> None:
        """Starts to listen. Raises OSError where the address cannot be used."""
        await self._listener.listen(host, port)

    async def drain(self, timeout: float) -> None:
        """Stops accepting, and waits at most `timeout` seconds for the open connections."""
        await self._listener.close()
        self._is_draining = True
        for tcp in self._idle:
            tcp.write_eof()  # its last answer is complete; another request would not be served
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout)

    async def close(self) -> None:
        """Stops accepting and ends all connections."""
        await self._listener.close()
        if self._crowd_timer is not None:
            self._crowd_timer.cancel()
        for task in (*self._tasks, *self._endings):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._endings, return_exceptions=True)

    # --- clients ---

    def _accept(self, tcp: TcpConnection) -> None:
        task = asyncio.get_running_loop().create_task(self._run(tcp))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._listener.release()

    async def _run(self, tcp: TcpConnection) -> None:
        try:
            await self._serve(tcp)
        except OSError as error:
            log.debug("a client went away: %s", error)
        finally:
            await tcp.close()

    async def _serve(self, tcp: TcpConnection) -> None:
        behind: bytes | None = await self._serve_one(ServerConnection(self._terms(tcp)), tcp, NEGOTIATION_TIMEOUT)
        while behind is not None:
            negotiation = ServerConnection(self._terms(tcp), is_further=True)
            negotiation.receive_data(behind)
            self._idle.add(tcp)
            behind = await self._serve_one(negotiation, tcp, KEEPALIVE_TIMEOUT)

    async def _serve_one(self, negotiation: ServerConnection, tcp: TcpConnection, timeout: float) -> bytes | None:
        """Serves one request. Returns the bytes after it if another may follow, None if the connection is over."""
        self._negotiations[tcp] = time.monotonic()
        self._make_room()
        try:
            async with asyncio.timeout(timeout):
                request = await self._read_request(negotiation, tcp)
        except TimeoutError:
            log.debug("a client took over %.0f s for its request", timeout)
            return None
        finally:
            self._negotiations.pop(tcp, None)
            self._idle.discard(tcp)
        if request is None:
            self._tell(negotiation)
            await _close_politely(tcp)
            return None
        try:
            return await self._fulfil(negotiation, request, tcp)
        except SocksError as error:
            log.info("%s: %s", request, error)
            negotiation.fail(error if error.reply else SocksError(Reply.GENERAL_FAILURE, str(error)))
            await tcp.write(negotiation.data_to_send())
            await _close_politely(tcp)
            return None

    def _make_room(self) -> None:
        """Resets the oldest negotiating clients beyond MAX_HANDSHAKES, each after `_CHANCE` seconds at the earliest."""
        if self._crowd_timer is not None:
            self._crowd_timer.cancel()
            self._crowd_timer = None
        while len(self._negotiations) > MAX_NEGOTIATIONS:
            oldest, since = next(iter(self._negotiations.items()))
            left = since + _CHANCE - time.monotonic()
            if left > 0:
                self._crowd_timer = asyncio.get_running_loop().call_later(left, self._make_room)
                return
            del self._negotiations[oldest]
            oldest.reset()

    def _terms(self, tcp: TcpConnection) -> Terms:
        advertised = self._options.advertise
        host, port = tcp.local_address
        names = frozenset({advertised.lower()} if advertised else ())
        # The PAC file needs no password: what it says of routes is for those who need none, and for this machine.
        is_told = self._options.authenticate is None or _is_loopback(tcp.peer_address[0])
        rules = self._options.pac_rules if is_told else str
        return Terms(self._options.authenticate is not None, advertised or host, port, rules, names)

    async def _read_request(self, negotiation: ServerConnection, tcp: TcpConnection) -> Request | None:
        """Reads the client's request; None where there is none, after the error answer is sent."""
        user = ""
        while True:
            await tcp.write(negotiation.data_to_send())
            if negotiation.credentials is not None:
                name, host = negotiation.credentials[0], tcp.peer_address[0]
                is_right = await self._is_right(*negotiation.credentials, host)
                user = name if is_right else ""
                if not is_right:
                    log.info("%s: wrong password, or no such user: %.40r", host, name)
                negotiation.decide(is_accepted=is_right)
                continue
            if negotiation.state is not State.READING:
                if negotiation.request is None or negotiation.state is not State.PENDING:
                    return None
                return replace(negotiation.request, user=user, peer=tcp.peer_address[0])
            data = await tcp.read(4096)
            if not data:
                return None
            negotiation.receive_data(data)

    async def _is_right(self, name: str, password: str, host: str) -> bool:
        authenticate = self._options.authenticate
        return authenticate is None or await authenticate(name, password, host)

    def _tell(self, negotiation: ServerConnection) -> None:
        """Logs why a negotiation failed: at most one warning a minute for clients that are configured wrongly."""
        now = time.monotonic()
        if negotiation.is_misconfigured and now - self._complained_at >= _COMPLAIN_EVERY:
            self._complained_at = now
            log.warning("%s; it should have this as its SOCKS v5 or HTTP proxy", negotiation.error)
        else:
            log.debug("handshake failed: %s", negotiation.error or "the client closed")

    # --- commands ---

    async def _fulfil(self, negotiation: ServerConnection, request: Request, tcp: TcpConnection) -> bytes | None:
        """Serves a request. Returns the bytes after it if another may follow, else None."""
        match request.command:
            case Command.CONNECT if negotiation.forwarded is not None:
                return await self._forward(negotiation, negotiation.forwarded, request, tcp)
            case Command.CONNECT:
                await self._connect(negotiation, request, tcp)
            case Command.BIND:
                await self._bind(negotiation, request, tcp)
            case Command.UDP_ASSOCIATE:
                await self._associate(negotiation, request, tcp)
            case Command.RESOLVE:
                address = await _unless_reset(tcp, self._far.resolve(request))
                negotiation.succeed(address, 0)
                await tcp.write(negotiation.data_to_send())
                await _close_politely(tcp)
        return None

    async def _connect(self, negotiation: ServerConnection, request: Request, tcp: TcpConnection) -> None:
        first = negotiation.trailing_data()
        opened = await _unless_reset(tcp, self._far.connect(request, first, is_told=True))
        await self._carry(negotiation, request, tcp, opened, already_sent=len(first))

    async def _forward(
        self, negotiation: ServerConnection, forwarded: Forwarded, request: Request, tcp: TcpConnection
    ) -> bytes | None:
        """Relays one HTTP request and its answer over a separate stream. Returns like `_fulfil`."""
        first = negotiation.trailing_data()
        opened = await _unless_reset(tcp, self._far.connect(request, first, is_told=False))
        negotiation.succeed(opened.bound_host, opened.bound_port)
        exchange = HttpExchange(tcp, forwarded, opened.stream, negotiation.behind)
        relay = Relay(
            tcp,
            exchange.stream,
            read=exchange.read,
            idle_timeout=self._options.idle_timeout,
            keeps_open=lambda: exchange.keeps_alive,
        )
        try:
            await self._run_relay(relay, request, opened.via, already_sent=len(first))
        finally:
            self._let_go(opened.stream)
        return exchange.behind if relay.goes_on and not tcp.is_lost and not self._is_draining else None

    async def _carry(
        self, negotiation: ServerConnection, request: Request, tcp: TcpConnection, opened: Opened, *, already_sent: int
    ) -> None:
        negotiation.succeed(opened.bound_host, opened.bound_port)
        try:
            # A separate write: some clients lose data that arrives in one segment with the reply.
            await tcp.write(negotiation.data_to_send())
        except OSError:
            opened.stream.reset()
            raise
        relay = Relay(tcp, opened.stream, idle_timeout=self._options.idle_timeout)
        await self._run_relay(relay, request, opened.via, already_sent=already_sent)

    async def _run_relay(self, relay: Relay, request: Request, via: str, *, already_sent: int) -> None:
        if self._on_opened is not None:
            self._on_opened(request, relay.result, via)
        result = await relay.run(already_sent=already_sent)
        if self._on_closed is not None:
            self._on_closed(request, result, via)

    def _let_go(self, stream: ByteStream) -> None:
        """Leaves the end of a stream to a task: the origin was asked to close, but may take long, or never do it."""
        stream.finish()
        task = asyncio.get_running_loop().create_task(_until_the_end(stream))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _bind(self, negotiation: ServerConnection, request: Request, tcp: TcpConnection) -> None:
        binding = await self._far.bind(request)
        try:
            negotiation.announce(*binding.address)
            await tcp.write(negotiation.data_to_send())
            opened = await _accepted(binding, tcp)
        finally:
            binding.close()
        if opened is not None:
            await self._carry(negotiation, request, tcp, opened, already_sent=0)

    async def _associate(self, negotiation: ServerConnection, request: Request, tcp: TcpConnection) -> None:
        local_host, _ = tcp.local_address
        client_host, _ = tcp.peer_address
        try:
            # Some clients give the destination here; RFC 1928 means the address that they will send from.
            is_own = request.host in ("0.0.0.0", "::", client_host)
            port = await DatagramPort.open(local_host, client_host, request.port if is_own else 0)
        except OSError as error:
            raise SocksError(reply_of(error), f"local: no UDP port: {error.strerror}") from error
        try:
            association = await self._far.associate(request, port.deliver)
            try:
                port.attach(association)
                negotiation.succeed(self._options.advertise or local_host, port.port)
                await tcp.write(negotiation.data_to_send())
                await self._while_used(tcp, port, association.wait_closed())
            finally:
                association.close()
        finally:
            port.close()
            log.info("udp %s: %s", request, port.counters)

    async def _while_used(self, tcp: TcpConnection, port: DatagramPort, far_end: Awaitable[None]) -> None:
        """Waits until the control connection ends (RFC 1928 section 7), the far side closes, or the port is idle."""
        ends = {asyncio.ensure_future(_drained(tcp)), asyncio.ensure_future(far_end)}
        try:
            done = set[asyncio.Future[None]]()
            while not done:
                idle_at = port.active_at + self._options.udp_idle_timeout
                left = idle_at - time.monotonic()
                if left <= 0:
                    return
                done, _ = await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


def _is_loopback(host: str) -> bool:
    """Whether an address is of this machine's loopback interface."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def admits(host: str, networks: Collection[IPNetwork]) -> bool:
    """Whether a client may connect from an address: loopback always may, and every address if `networks` is empty."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return not networks or address.is_loopback or any(address in network for network in networks)


async def _unless_reset(tcp: TcpConnection, waiting: Coroutine[Any, Any, T]) -> T:
    """The answer of the far side. Raises ConnectionResetError when the client goes away before it."""
    task = asyncio.ensure_future(waiting)

    def give_up() -> None:
        task.cancel()

    tcp.on_lost = give_up
    try:
        return await task
    except asyncio.CancelledError:
        if tcp.is_lost:
            raise ConnectionResetError("the client went away") from None
        raise
    finally:
        tcp.on_lost = None
        task.cancel()


async def _accepted(binding: Binding, tcp: TcpConnection) -> Opened | None:
    """The connection that BIND waits for; None where the client goes away first."""
    # Nothing may come before the second reply but the end.
    coming, _ = await first_of_two(binding.accepted(), tcp.read(1))
    return None if coming.cancelled() else coming.result()


async def _drained(tcp: TcpConnection) -> None:
    """Reads and discards until the other side closes."""
    with contextlib.suppress(OSError):
        while await tcp.read(4096):
            pass


async def _until_the_end(stream: ByteStream) -> None:
    """Discards what comes after an answer; resets a stream that does not end in time."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            while await stream.read():
                pass
    except (TimeoutError, ConnectionError):
        stream.reset()


async def _close_politely(tcp: TcpConnection) -> None:
    """Closes a connection so that the last reply arrives: with unread data, a close would become a reset."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            tcp.write_eof()
            await _drained(tcp)
    except TimeoutError:
        tcp.reset()
