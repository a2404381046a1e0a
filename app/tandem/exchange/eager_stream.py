"""A stream that is written to before the server has answered its request."""

import asyncio
from collections.abc import Awaitable, Callable

from tandem.exchange.request import Answer, RequestError, read_answer
from tandem_socks import FarReset, Reply
from tandem_transport import ErrorCode, SessionClosed
from tandem_transport.driver import Stream

KEPT = 64 << 10
"""Bytes that a stream buffers until the answer, to send them again to a server that was restarted."""


class EagerStream:
    """A `ByteStream` of tandem_socks; the first read receives the server's answer.

    Where the session ends before the answer, the stream is opened again in the next session. That happens only
    if the server cannot have received the request: it no longer knew the session, and nothing has arrived from
    it since the stream was opened.
    """

    def __init__(
        self, stream: Stream, *, on_answer: Callable[[Answer], None], ask_again: Callable[[], Awaitable[Stream]]
    ) -> None:
        """`ask_again` opens the same stream in the next session."""
        self._stream = stream
        self._on_answer = on_answer
        self._ask_again = ask_again
        self._opened_after = stream.heard_at
        self._kept: bytearray | None = bytearray()
        """The bytes written so far; None after they exceed KEPT, or are no longer needed."""
        self._is_answered = self._is_finished = False
        self._again: asyncio.Task[None] | None = None
        self._callback: Callable[[], None] | None = None

    async def read(self) -> bytes:
        if not self._is_answered:
            await self._take_answer()
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        if self._again is not None:  # what is sent again goes first
            await asyncio.shield(self._again)
            await self._stream.write(data)
            return
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > KEPT:
                self._kept = None
        try:
            await self._stream.write(data)
        except SessionClosed as error:
            await self._retry(error)  # this sends `data` too

    async def room(self) -> int:
        try:
            return await self._stream.room()
        except SessionClosed as error:
            await self._retry(error)
            return await self._stream.room()

    def finish(self) -> None:
        self._is_finished = True
        if self._again is None or self._again.done():
            self._stream.finish()

    def reset(self) -> None:
        self._kept = None
        if self._again is not None:
            self._again.cancel()
        self._stream.reset()

    def watch_reset(self, callback: Callable[[], None]) -> None:
        # Before the answer, only the first read reports a reset, because a new session may still replace the stream.
        self._callback = callback
        if self._is_answered:
            self._stream.watch_reset(callback)

    @property
    def is_reset(self) -> bool:
        return self._stream.is_reset

    @property
    def is_suspended(self) -> bool:
        return self._stream.is_suspended

    async def _take_answer(self) -> None:
        try:
            answer = await self._read_answer()
        except RequestError as error:
            self.reset()
            raise FarReset(str(error)) from error
        self._is_answered, self._kept = True, None
        self._on_answer(answer)
        if answer.reply is not Reply.SUCCEEDED:
            self.reset()
            raise FarReset(str(answer.failure()))
        if self._callback is not None:
            self._stream.watch_reset(self._callback)

    async def _read_answer(self) -> Answer:
        try:
            return await read_answer(self._stream)
        except SessionClosed as error:
            await self._retry(error)
            return await read_answer(self._stream)

    async def _retry(self, error: SessionClosed) -> None:
        """Sends everything again in the next session, at most once. Raises FarReset where that would not be safe."""
        if self._again is None:
            was_heard = self._stream.heard_at > self._opened_after
            if self._kept is None or was_heard or error.code != ErrorCode.FORGOTTEN:
                raise FarReset(f"session: {error}") from error
            self._again = asyncio.create_task(self._say_again(bytes(self._kept)))
            self._kept = None
        await asyncio.shield(self._again)

    async def _say_again(self, data: bytes) -> None:
        try:
            self._stream = await self._ask_again()
        except Exception as error:
            raise FarReset(f"session: {error}") from error
        await self._stream.write(data)
        if self._is_finished:
            self._stream.finish()
