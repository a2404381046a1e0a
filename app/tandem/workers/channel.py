"""Questions and answers between the parent and one worker: lines of JSON over a pair of sockets."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, cast

from tandem.base.errors import TandemError
from tandem.base.tasks import TaskSet

log = logging.getLogger("tandem.workers")

Body = dict[str, Any]

Handler = Callable[[str, Body], Awaitable[Body]]
"""Answers a question: its name and its body. Raises TandemError where it cannot."""

_LARGEST = 64 << 20
"""Bytes of a line: the status of thousands of sessions."""


class ChannelClosed(TandemError):
    """The other process is gone, or does not answer in time."""

    is_late = False
    """It is there, and has not answered."""


class Channel:
    """One end of the channel. Both ends may ask."""

    def __init__(self, sock: socket.socket, handle: Handler, on_closed: Callable[[], None]) -> None:
        """`on_closed` is called once when the other end is gone."""
        self._socket = sock
        self._handle = handle
        self._on_closed = on_closed
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Body]] = {}
        self._answers = TaskSet()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begins to answer."""
        reader, self._writer = await asyncio.open_connection(sock=self._socket, limit=_LARGEST)
        self._reading = asyncio.create_task(self._read(reader))

    async def close(self) -> None:
        """Closes this end."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._answers.cancel()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        else:
            self._socket.close()

    async def ask(self, what: str, body: Body | None = None, *, timeout: float) -> Body:
        """Asks the other end. Raises TandemError where it cannot answer, ChannelClosed where it does not in time."""
        number = next(self._numbers)
        answer: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send({"ask": number, "what": what, "body": body or {}})
            async with asyncio.timeout(timeout):
                return await answer
        except (TimeoutError, OSError) as error:
            late = ChannelClosed(f"no answer to {what!r} within {timeout:.0f} s")
            late.is_late = True
            raise late from error
        finally:
            self._waiting.pop(number, None)

    # --- inside ---

    def _send(self, message: Body) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ChannelClosed("the other process is gone")
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(cast("Body", json.loads(line)))
        except (OSError, ValueError) as error:
            log.debug("channel: %s", error)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ChannelClosed("the other process is gone"))
            if self._writer is not None:
                self._writer.close()
        self._on_closed()

    def _take(self, message: Body) -> None:
        if "ask" in message:
            self._answers.begin(self._answer(message))
            return
        answer = self._waiting.get(message["answer"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(TandemError(message["error"], message["hint"]))
        else:
            answer.set_result(message["body"])

    async def _answer(self, message: Body) -> None:
        said: Body = {"answer": message["ask"]}
        try:
            said["body"] = await self._handle(message["what"], message["body"])
        except TandemError as error:
            said |= {"error": str(error), "hint": error.hint}
        except Exception:  # a bug here must not leave the other end waiting
            log.exception("the question %r", message["what"])
            said |= {"error": "it could not be answered; the log says why", "hint": ""}
        with contextlib.suppress(TandemError):
            self._send(said)
