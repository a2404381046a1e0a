"""The SOCKS port: accepts connections, reads handshakes, asks its owner for a far stream, relays."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tandem_socks.errors import Reply, SocksError
from tandem_socks.messages import Request
from tandem_socks.protocol import ServerConnection, State
from tandem_socks.relay import ByteStream, Relay, RelayResult, reset_tcp

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


OpenStream = Callable[[Request], Awaitable[Opened]]
"""Connects to what a client wants. Raises SocksError with the reply that tells why not."""

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
        self._server = await asyncio.start_server(self._accept, host, port, backlog=1024)

    async def close(self) -> None:
        """Stops accepting and ends all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError) as error:
            log.debug("a client went away: %s", error)
        except asyncio.CancelledError:
            pass  # the frontend closes
        finally:
            self._tasks.discard(task)
            if not writer.is_closing():
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake = ServerConnection()
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                request = await self._read_request(handshake, reader, writer)
        except TimeoutError:
            log.debug("a client took over %.0f s for its handshake", HANDSHAKE_TIMEOUT)
            return
        if request is None:
            log.debug("handshake failed: %s", handshake.error or "the client closed")
            await _close_politely(reader, writer)
            return
        await self._connect(handshake, request, reader, writer)

    async def _read_request(
        self, handshake: ServerConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | None:
        while handshake.state not in (State.PENDING, State.CLOSED):
            data = await reader.read(4096)
            if not data:
                return None
            handshake.receive_data(data)
            writer.write(handshake.data_to_send())
            await writer.drain()
        return handshake.request if handshake.state is State.PENDING else None

    async def _connect(
        self,
        handshake: ServerConnection,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            opened = await self._open_stream(request)
        except SocksError as error:
            log.info("%s: %s", request, error)
            handshake.fail(SocksError(error.reply or Reply.GENERAL_FAILURE, str(error)))
            writer.write(handshake.data_to_send())
            await _close_politely(reader, writer)
            return
        handshake.succeed(opened.bound_host, opened.bound_port)
        # In a write of its own: some clients lose data that comes in one segment with the reply.
        writer.write(handshake.data_to_send())
        await writer.drain()
        result = await Relay(reader, writer, opened.stream).run(handshake.trailing_data())
        if self._on_closed is not None:
            self._on_closed(request, result)


async def _close_politely(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes so that the last reply arrives: unread data would turn the close into a reset."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            while await reader.read(4096):
                pass
    except TimeoutError:
        reset_tcp(writer)
