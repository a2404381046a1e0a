"""A small HTTP/1.1 server (RFC 9112): h11 knows the protocol, asyncio carries the bytes, a handler answers.

It is made for a few clients of this machine or its neighbours: it has neither TLS, nor compression, nor ranges.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import h11

from tandem.base.tasks import TaskSet
from tandem.web.messages import Answer, Request, refusal

log = logging.getLogger("tandem.web")

Handler = Callable[[Request], Awaitable[Answer]]
"""Answers a request. It is cancelled when the client goes away."""

MAX_CONNECTIONS = 128
"""Connections at a time; further ones are closed."""

MAX_BODY = 64 << 10
"""The largest body of a request in bytes. A head may have as many as h11 allows, 16 kB."""

REQUEST_TIMEOUT = 10.0
"""Seconds that a request may take to arrive, and for which a connection may be idle between two requests."""

_WRITE_TIMEOUT = 30.0
"""Seconds after which a client that does not read is given up."""

_GRACE = 1.0
"""Seconds for which an answer goes on after the client has ended its side: it may have closed only one direction."""

_READ_SIZE = 16 << 10


class HttpServer:
    """Accepts connections at one address, and has their requests answered."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections = TaskSet()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begins to listen, at a free port where `port` is 0; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stops listening, and ends all connections, answers under way included."""
        if self._server is not None:
            self._server.close()
        await self._connections.cancel()
        await asyncio.sleep(0)  # closed connections end in the next turn of the loop

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) < MAX_CONNECTIONS:
            self._connections.begin(_Conversation(reader, writer, self._handler).run())
        else:
            writer.close()


class _BodyTooLarge(Exception):
    pass


class _Conversation:
    """One connection: requests and their answers, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader, self._writer, self._handler = reader, writer, handler
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Serves the connection until either end closes it. A client that does not read is not waited for."""
        is_well = False
        try:
            while await self._turn():
                self._http.start_next_cycle()
            is_well = True
        except (OSError, TimeoutError, h11.LocalProtocolError):
            pass
        except Exception:
            log.exception("a connection has failed")
        finally:
            self._writer.close() if is_well else self._writer.transport.abort()

    async def _turn(self) -> bool:
        """Reads a request and answers it; returns whether another one may come."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._send(refusal(error.error_status_hint, "this is not a request"), is_last=True)
            return False
        except _BodyTooLarge:
            await self._send(refusal(413, f"a body has {MAX_BODY} bytes at most"), is_last=True)
            return False
        if request is None:
            return False
        await self._answer_while_connected(request)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _request(self) -> Request | None:
        """The next request, None where the client has closed. Raises RemoteProtocolError, _BodyTooLarge, OSError."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(_READ_SIZE))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY:
                    raise _BodyTooLarge
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def _answer_while_connected(self, request: Request) -> None:
        """Answers a request, unless the client goes away before; then the handler is cancelled."""
        answering = asyncio.ensure_future(self._answer(request))
        watching = asyncio.ensure_future(self._wait_for_end())
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, watching):
                task.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)
        if not answering.cancelled() and (error := answering.exception()) is not None:
            raise error

    async def _wait_for_end(self) -> None:
        """Returns a moment after the client has ended its side. What it sends before that is kept for the next turn."""
        while data := await self._reader.read(_READ_SIZE):
            self._http.receive_data(data)
            if len(self._http.trailing_data[0]) > MAX_BODY:
                return
        await asyncio.sleep(_GRACE)

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = refusal(500, "this failed; the log says why")
        await self._send(answer, has_body=request.method != "HEAD")

    async def _send(self, answer: Answer, *, has_body: bool = True, is_last: bool = False) -> None:
        headers = {"Content-Type": answer.content_type, "Cache-Control": "no-store", **answer.headers}
        if answer.parts is None:
            headers["Content-Length"] = str(len(answer.body))
        if is_last or answer.parts is not None:
            headers["Connection"] = "close"
        await self._write(h11.Response(status_code=answer.status, headers=list(headers.items())))
        if answer.parts is not None:
            async with contextlib.aclosing(answer.parts) as parts:
                async for part in parts:
                    await self._write(h11.Data(data=part))
        elif has_body:
            await self._write(h11.Data(data=answer.body))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        """Sends a part of an answer. Raises OSError, and TimeoutError where the client does not read."""
        self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(_WRITE_TIMEOUT):
            await self._writer.drain()


def _request(head: h11.Request, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    target = urlsplit(head.target.decode("latin-1"))
    if target.netloc:  # the absolute form: what it names counts, not Host (RFC 9112, section 3.2.2)
        headers["host"] = target.netloc
    return Request(head.method.decode("latin-1"), target.path, headers, body)
