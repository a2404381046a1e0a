"""How a client opens far streams: it waits for the server's answer, or expects success and does not wait (`fast_open`).

The stream's first packet carries the request and what the near side has sent already. Where success is
expected, the near side is told at once that it is connected, which saves one round trip for each connection.
If the dial fails after all, the connection is reset.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Literal

from tandem.admin.snapshots import refusal_text
from tandem.exchange.eager_stream import EagerStream
from tandem.exchange.failures import Failure, Hop, session_failure
from tandem.exchange.request import Answer, Request, RequestError, read_answer
from tandem.exchange.tally import Tally
from tandem_socks import Opened, Reply
from tandem_transport import BoundedTable, SessionClosed, TransportError
from tandem_transport.driver import ClientDriver, SessionStreams, Stream

log = logging.getLogger("tandem.client")

FastOpen = Literal["off", "known", "always"]

KNOWN_LIFETIME = 600.0
"""Seconds for which a target that was reached is expected to be reachable."""

MAX_KNOWN = 4096
"""The maximum number of targets that are remembered; beyond it, the oldest are forgotten."""

_SESSION_TIMEOUT = 15.0
"""Seconds that a new connection waits for a session while there is none."""

_UNBOUND = Answer(Reply.SUCCEEDED)


class KnownTargets:
    """Targets that were reached recently, and the bound address in the server's answer."""

    def __init__(self) -> None:
        self._answers: BoundedTable[Request, tuple[float, Answer]] = BoundedTable(MAX_KNOWN)

    def find(self, request: Request, *, now: float) -> Answer | None:
        """The last answer to a request, None where it is too old, or there is none."""
        known_at, answer = self._answers.get(request) or (float("-inf"), _UNBOUND)
        return answer if now - known_at <= KNOWN_LIFETIME else None

    def learn(self, request: Request, answer: Answer, *, now: float) -> None:
        """Remembers an answer of success; after another answer, the target is forgotten."""
        if answer.reply is Reply.SUCCEEDED:
            self._answers.put(request, (now, answer))
        else:
            self._answers.pop(request)


@dataclass(frozen=True, slots=True)
class Asked:
    """A stream whose request the server has answered with success."""

    stream: Stream
    answer: Answer


class Opener:
    """Opens streams of the present session."""

    def __init__(self, driver: ClientDriver, fast_open: FastOpen) -> None:
        self._driver = driver
        self.tally = Tally()
        """Counts of requests that failed at the server, or on the way there."""
        self._fast_open = fast_open
        self._known = KnownTargets()

    def use(self, driver: ClientDriver) -> None:
        """Uses another driver from now on. Known targets are forgotten, because its server may be another one."""
        self._driver = driver
        self._known = KnownTargets()

    async def open(self, request: Request, first: bytes = b"", *, may_guess: bool = True) -> Opened:
        """A connection for SOCKS; `first` is what the near side has sent already.

        Without `may_guess` it waits for the answer: the near side is told nothing early, so guessing saves no time.
        Raises Failure with the server's reply, or with GENERAL_FAILURE where it was never asked.
        """
        expected = self._expected(request) if may_guess else None
        if expected is not None:
            return await self.open_at_once(request, first, expected)
        asked = await self.ask(request, first)
        return Opened(asked.stream, asked.answer.bound_host, asked.answer.bound_port)

    async def ask(self, request: Request, first: bytes = b"") -> Asked:
        """Opens a stream and waits for the answer. Raises Failure like `open`."""
        try:
            return await self._ask_twice(request, first)
        except Failure as failure:
            self.tally.add(failure)
            raise

    async def ask_once(self, request: Request, first: bytes = b"") -> Answer:
        """Opens a stream that carries nothing after the answer, and resets it, because nobody reads it to its end.

        Returns the answer. Raises Failure like `open`.
        """
        asked = await self.ask(request, first)
        asked.stream.reset()
        return asked.answer

    async def _ask_twice(self, request: Request, first: bytes) -> Asked:
        try:
            return await self._ask(request, first)
        except SessionClosed as error:
            if first:
                raise session_failure(error) from error
            # The server may have been restarted. Nothing was sent yet that must not be sent twice.
            log.info("%s: %s; asking again", request, error)
        try:
            return await self._ask(request, first)
        except SessionClosed as error:
            raise session_failure(error) from error

    async def open_at_once(self, request: Request, first: bytes = b"", expected: Answer = _UNBOUND) -> Opened:
        """A connection that does not wait for the server's answer, but uses the `expected` one.

        Raises Failure where there is no session.
        """
        session = await self._session()

        def on_answer(answer: Answer) -> None:
            self._known.learn(request, answer, now=time.monotonic())
            if answer.reply is not Reply.SUCCEEDED:
                self.tally.add(answer.failure())
                log.info("%s: %s; it was expected to work, and is reset", request, answer.failure())

        async def ask_again() -> Stream:
            log.info("%s: the server was restarted; asking again", request)
            return _open_stream(await self._session())

        data = _encoded(request) + first
        try:
            eager = EagerStream(_open_stream(session), on_answer=on_answer, ask_again=ask_again)
            await eager.write(data)
        except ConnectionError as error:
            raise session_failure(error) from error
        return Opened(eager, expected.bound_host, expected.bound_port)

    def _expected(self, request: Request) -> Answer | None:
        """The answer that the server is expected to give, None where it has to be asked."""
        if self._fast_open == "off":
            return None
        known = self._known.find(request, now=time.monotonic())
        return known or (_UNBOUND if self._fast_open == "always" else None)

    async def _ask(self, request: Request, first: bytes) -> Asked:
        """Asks the server, without a second attempt. Raises SessionClosed, and Failure like `open`."""
        data = _encoded(request) + first
        session = await self._session()
        stream = _open_stream(session)
        try:
            await stream.write(data)
            answer = await read_answer(stream)
        except SessionClosed:
            raise
        except (TransportError, RequestError) as error:
            stream.reset()
            raise session_failure(error) from error
        except asyncio.CancelledError:
            stream.reset()
            raise
        self._known.learn(request, answer, now=time.monotonic())
        if answer.reply is not Reply.SUCCEEDED:
            stream.reset()
            raise answer.failure()
        return Asked(stream, answer)

    async def _session(self) -> SessionStreams:
        """The session, or the next one. Raises Failure, at once where the server refuses this client."""
        if self._driver.session is None and self._driver.refused is not None:
            raise self._no_session()
        try:
            async with asyncio.timeout(_SESSION_TIMEOUT):
                return await self._driver.wait_connected()
        except TimeoutError as error:
            raise self._no_session() from error

    def _no_session(self) -> Failure:
        refused = self._driver.refused
        return session_failure("no session with the server yet" if refused is None else refusal_text(refused))


def _encoded(request: Request) -> bytes:
    """The request as bytes on the wire. Raises Failure for a host that is too long."""
    try:
        return request.encode()
    except ValueError as error:
        raise Failure(Reply.HOST_UNREACHABLE, Hop.LOCAL, f"the host's name: {error}") from error


def _open_stream(session: SessionStreams) -> Stream:
    """Opens a stream. Raises Failure where the server allows no more of them."""
    try:
        return session.open_stream()
    except TransportError as error:
        raise session_failure(error) from error
