"""A transport stream as what a relay expects: one that was answered, and one whose answer is still to come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tandem.exchange.request import Answer, RequestError, read_answer
from tandem_socks import FarReset, Reply
from tandem_transport import Connection, ErrorCode, SessionClosed, TransportError
from tandem_transport.driver import Stream

KEPT = 64 << 10
"""Bytes that an unanswered stream keeps, to say them again to a server that was restarted."""

_T = TypeVar("_T")


class AnsweredStream:
    """A `ByteStream` of tandem_socks over a `Stream` of tandem_transport."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream

    async def read(self) -> bytes:
        return await _mapped(self._stream.read())

    async def write(self, data: bytes) -> None:
        await _mapped(self._stream.write(data))

    async def room(self) -> int:
        return await _mapped(self._stream.room())

    def finish(self) -> None:
        self._stream.finish()

    def reset(self) -> None:
        self._stream.reset()

    def watch_reset(self, callback: Callable[[], None]) -> None:
        self._stream.on_reset = callback
        if self._stream.is_reset:
            callback()

    @property
    def is_held(self) -> bool:
        return self._connection.is_out


class EagerStream(AnsweredStream):
    """One that is written to before the server has answered; the first read takes the answer.

    A session that ends before that is replaced by the next one, if the server cannot have heard
    of this stream: it had forgotten the session, and has said nothing since the stream was opened.
    """

    def __init__(
        self,
        connection: Connection,
        stream: Stream,
        *,
        on_answer: Callable[[Answer], None],
        ask_again: Callable[[], Awaitable[tuple[Connection, Stream]]],
    ) -> None:
        super().__init__(connection, stream)
        self._on_answer = on_answer
        self._ask_again = ask_again
        self._opened_after = connection.last_received_at
        self._kept: bytearray | None = bytearray()
        """What was written; None once it became too much, or superfluous."""
        self._is_answered = self._is_finished = False
        self._again: asyncio.Task[None] | None = None
        self._callback: Callable[[], None] | None = None

    async def read(self) -> bytes:
        if not self._is_answered:
            await self._take_answer()
        return await super().read()

    async def write(self, data: bytes) -> None:
        if self._again is not None:  # what is being said again ends before this
            await asyncio.shield(self._again)
            await super().write(data)
            return
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > KEPT:
                self._kept = None
        try:
            await self._stream.write(data)
        except SessionClosed as error:
            await self._retry(error)  # `data` is among what is kept
        except TransportError as error:
            raise FarReset(str(error)) from error

    async def room(self) -> int:
        try:
            return await self._stream.room()
        except SessionClosed as error:
            await self._retry(error)
            return await super().room()
        except TransportError as error:
            raise FarReset(str(error)) from error

    def finish(self) -> None:
        self._is_finished = True
        if self._again is None or self._again.done():
            super().finish()

    def reset(self) -> None:
        self._kept = None
        if self._again is not None:
            self._again.cancel()
        super().reset()

    def watch_reset(self, callback: Callable[[], None]) -> None:
        # Until the answer is there, the reader hears of a reset; it may still be mended.
        self._callback = callback
        if self._is_answered:
            super().watch_reset(callback)

    async def _take_answer(self) -> None:
        try:
            answer = await self._read_answer()
        except (TransportError, RequestError) as error:
            raise FarReset(str(error)) from error
        self._is_answered, self._kept = True, None
        self._on_answer(answer)
        if answer.reply is not Reply.SUCCEEDED:
            self.reset()
            raise FarReset(str(answer.failure()))
        if self._callback is not None:
            super().watch_reset(self._callback)

    async def _read_answer(self) -> Answer:
        try:
            return await read_answer(self._stream)
        except SessionClosed as error:
            await self._retry(error)
            return await read_answer(self._stream)

    async def _retry(self, error: SessionClosed) -> None:
        """Says everything again on the next session, once. Raises FarReset where that would be wrong."""
        if self._again is None:
            was_heard = self._connection.last_received_at > self._opened_after
            if self._kept is None or was_heard or error.code != ErrorCode.FORGOTTEN:
                raise FarReset(f"session: {error}") from error
            self._again = asyncio.create_task(self._say_again(bytes(self._kept)))
            self._kept = None
        await asyncio.shield(self._again)

    async def _say_again(self, data: bytes) -> None:
        try:
            self._connection, self._stream = await self._ask_again()
        except Exception as error:
            raise FarReset(f"session: {error}") from error
        await _mapped(self._stream.write(data))
        if self._is_finished:
            self._stream.finish()


async def _mapped(action: Awaitable[_T]) -> _T:
    try:
        return await action
    except TransportError as error:
        raise FarReset(str(error)) from error
