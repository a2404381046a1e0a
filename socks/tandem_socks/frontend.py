"""The SOCKS port: accepts connections, reads handshakes, asks its owner for a far stream, relays."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tandem_socks.errors import Reply, SocksError
from tandem_socks.messages import Request
from tandem_socks.protocol import ServerConnection, State
from tandem_socks.relay import ByteStream, Relay, RelayResult
from tandem_socks.tcp import TcpConnection

log = logging.getLogger("tandem.socks")

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client may take for its greeting and request."""

_CLOSE_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A far connection that stands."""

    stream: ByteStream
    bound_host: str
    bound_port: int


OpenStream = Callable[[Request, bytes], Awaitable[Opened]]
"""Connects to what a client wants, and sends what it has sent already. Raises SocksError with the reply that tells
why not."""

OnClosed = Callable[[Request, RelayResult], None]


class SocksFrontend:
    """A listener and its connections."""

    def __init__(self, open_stream: OpenStream, *, on_closed: OnClosed | None = None) -> None:
        self._open_stream = open_stream
        self._on_closed = on_closed
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TcpConnection(self._accept), host, port, backlog=1024)

    async def close(self) -> None:
        """Stops accepting and ends all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, tcp: TcpConnection) -> None:
        task = asyncio.get_running_loop().create_task(self._run(tcp))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, tcp: TcpConnection) -> None:
        try:
            await self._serve(tcp)
        except OSError as error:
            log.debug("a client went away: %s", error)
        finally:
            await tcp.close()

    async def _serve(self, tcp: TcpConnection) -> None:
        handshake = ServerConnection()
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                request = await self._read_request(handshake, tcp)
        except TimeoutError:
            log.debug("a client took over %.0f s for its handshake", HANDSHAKE_TIMEOUT)
            return
        if request is None:
            log.debug("handshake failed: %s", handshake.error or "the client closed")
            await _close_politely(tcp)
            return
        await self._connect(handshake, request, tcp)

    async def _read_request(self, handshake: ServerConnection, tcp: TcpConnection) -> Request | None:
        while handshake.state not in (State.PENDING, State.CLOSED):
            data = await tcp.read(4096)
            if not data:
                return None
            handshake.receive_data(data)
            await tcp.write(handshake.data_to_send())
        return handshake.request if handshake.state is State.PENDING else None

    async def _connect(self, handshake: ServerConnection, request: Request, tcp: TcpConnection) -> None:
        first = handshake.trailing_data()
        try:
            opened = await self._open_stream(request, first)
        except SocksError as error:
            log.info("%s: %s", request, error)
            handshake.fail(SocksError(error.reply or Reply.GENERAL_FAILURE, str(error)))
            await tcp.write(handshake.data_to_send())
            await _close_politely(tcp)
            return
        handshake.succeed(opened.bound_host, opened.bound_port)
        # In a write of its own: some clients lose data that comes in one segment with the reply.
        await tcp.write(handshake.data_to_send())
        result = await Relay(tcp, opened.stream).run(already_sent=len(first))
        if self._on_closed is not None:
            self._on_closed(request, result)


async def _close_politely(tcp: TcpConnection) -> None:
    """Closes so that the last reply arrives: unread data would turn the close into a reset."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            tcp.write_eof()
            while await tcp.read(4096):
                pass
    except TimeoutError:
        tcp.reset()
