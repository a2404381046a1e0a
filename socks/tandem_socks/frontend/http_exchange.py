"""One forwarded HTTP request and its answer, between a client's connection and a far stream."""

import asyncio

from tandem_socks.dialects.http import Forwarded
from tandem_socks.dialects.http_answer import AnswerFilter
from tandem_socks.far_side import ByteStream
from tandem_socks.tcp.connection import TcpConnection
from tandem_socks.tcp.waiting import first_of_two

MAX_PIPELINED = 64 << 10
"""Limit of bytes of further requests that are buffered during an answer."""


class HttpExchange:
    """Filters both directions of a relay: passes one request up, and one answer down.

    Bytes after the request do not reach its server: they are buffered for the next request.
    """

    def __init__(self, tcp: TcpConnection, forwarded: Forwarded, stream: ByteStream, behind: bytes) -> None:
        """`behind`: the bytes after the request that have already arrived."""
        self._tcp = tcp
        self._request = forwarded
        self._stream = stream
        self._answer = AnswerFilter(
            forwarded.method, keeps_alive=forwarded.keeps_alive, may_upgrade=forwarded.is_upgrade
        )
        self._behind = bytearray(behind)
        self._upgraded = asyncio.Event()

    @property
    def stream(self) -> "FilteredStream":
        """The far stream, with its answer filtered for the client."""
        return FilteredStream(self._stream, self)

    @property
    def keeps_alive(self) -> bool:
        """Whether the answer is over and another request may follow."""
        body = self._request.body
        return self._answer.is_over and self._answer.keeps_alive and body.is_over and not body.is_malformed

    @property
    def behind(self) -> bytes:
        """The bytes that the client has sent after this request."""
        return bytes(self._behind)

    # --- up ---

    async def read(self, limit: int) -> bytes:
        """The next part of the request; b"" at the end of the client's data. Raises OSError."""
        while not self._upgraded.is_set():
            self._check()
            data = await self._next(limit) if len(self._behind) <= MAX_PIPELINED else None
            if data is None or (not data and self._request.is_upgrade and self._behind):
                await self._upgraded.wait()
                break
            size = self._request.body.take(data)
            self._behind += data[size:]
            if size or not data:
                return data[:size]
        if self._behind:
            data = bytes(self._behind)
            self._behind.clear()
            return data
        return await self._tcp.read(limit)

    async def _next(self, limit: int) -> bytes | None:
        """Some bytes from the client; None where the connection switches to another protocol meanwhile."""
        if not self._request.is_upgrade:
            return await self._tcp.read(limit)
        reading, _ = await first_of_two(self._tcp.read(limit), self._upgraded.wait())
        return None if reading.cancelled() else reading.result()

    # --- down ---

    async def read_answer(self) -> bytes:
        """Some bytes for the client; b"" at the end of the answer. Raises what the stream raises, and OSError."""
        while not self._answer.is_over:
            data = await self._stream.read()
            if not data:
                return self._answer.end()
            out = self._answer.take(data)
            self._check()
            if self._answer.is_upgraded:
                self._upgraded.set()
            if out:
                return out
        return b""

    def _check(self) -> None:
        """Raises ConnectionAbortedError where the client may take this server's bytes for another server's answer."""
        body = self._request.body
        if self._behind.strip(b"\r\n") and (self._answer.is_raw or body.is_malformed):
            raise ConnectionAbortedError("a request behind one whose end, or whose answer's, cannot be told")


class FilteredStream:
    """A far stream that an exchange filters; its data ends where the answer ends."""

    def __init__(self, stream: ByteStream, exchange: HttpExchange) -> None:
        self._stream = stream
        self.read = exchange.read_answer
        self.write, self.room, self.finish = stream.write, stream.room, stream.finish
        self.reset, self.watch_reset = stream.reset, stream.watch_reset

    @property
    def is_reset(self) -> bool:
        """Whether either side has reset the stream."""
        return self._stream.is_reset

    @property
    def is_suspended(self) -> bool:
        """Whether the far side is unreachable for a while."""
        return self._stream.is_suspended
