"""How a client opens far streams: asks the server and waits, or goes ahead and hopes (`fast_open`).

The request and what the near side has sent already travel in the stream's first packet. Where the
answer is foreseeable, the near side is told at once that it is connected: a round trip less for
each connection. If the dial fails after all, the connection is reset.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Literal

from tandem.admin.status import refusal_text
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
"""Seconds for which a target that was reached counts as one that will be."""

MAX_KNOWN = 4096
"""Targets that are remembered; the oldest give way."""

_SESSION_TIMEOUT = 15.0
"""Seconds that a new connection waits for a session while there is none."""

_UNBOUND = Answer(Reply.SUCCEEDED)


class KnownTargets:
    """What was dialed with success lately, and the bound address that the server told."""

    def __init__(self) -> None:
        self._answers: BoundedTable[Request, tuple[float, Answer]] = BoundedTable(MAX_KNOWN)

    def find(self, request: Request, *, now: float) -> Answer | None:
        """The last answer, None where it is too old, or there is none."""
        known_at, answer = self._answers.get(request) or (float("-inf"), _UNBOUND)
        return answer if now - known_at <= KNOWN_LIFETIME else None

    def learn(self, request: Request, answer: Answer, *, now: float) -> None:
        """An answer has come."""
        if answer.reply is Reply.SUCCEEDED:
            self._answers.put(request, (now, answer))
        else:
            self._answers.pop(request)


@dataclass(frozen=True, slots=True)
class Asked:
    """A stream whose request the server has answered: it is served."""

    stream: Stream
    answer: Answer


class Opener:
    """Opens streams of whatever session there is."""

    def __init__(self, driver: ClientDriver, fast_open: FastOpen) -> None:
        self._driver = driver
        self.tally = Tally()
        """Requests that the server, or the way there, did not serve."""
        self._fast_open = fast_open
        self._known = KnownTargets()

    def use(self, driver: ClientDriver) -> None:
        """Another driver from now on, and another server perhaps: what was known of targets is not known of that."""
        self._driver = driver
        self._known = KnownTargets()

    async def open(self, request: Request, first: bytes = b"", *, may_guess: bool = True) -> Opened:
        """A connection for SOCKS; `first` is what the near side has sent already.

        Not `may_guess`: the near side is told nothing before the answer, so that nothing is won by guessing it.
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
        """The answer of a stream that says nothing after it, and is given up: nobody reads it to its end.

        Raises Failure like `open`.
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
            # The server was restarted perhaps: nothing was sent yet that must not be sent twice.
            log.info("%s: %s; asking again", request, error)
        try:
            return await self._ask(request, first)
        except SessionClosed as error:
            raise session_failure(error) from error

    async def open_at_once(self, request: Request, first: bytes = b"", expected: Answer = _UNBOUND) -> Opened:
        """A connection whose answer nobody waits for. Raises Failure where there is no session."""
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
        """What the server will answer, None where it has to be asked."""
        if self._fast_open == "off":
            return None
        known = self._known.find(request, now=time.monotonic())
        return known or (_UNBOUND if self._fast_open == "always" else None)

    async def _ask(self, request: Request, first: bytes) -> Asked:
        """Raises SessionClosed, and Failure like `open`."""
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
        """Raises Failure, at once where the server does not want this client: waiting does not help."""
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
    """Raises Failure for a host that has no room in a request."""
    try:
        return request.encode()
    except ValueError as error:
        raise Failure(Reply.HOST_UNREACHABLE, Hop.LOCAL, f"the host's name: {error}") from error


def _open_stream(session: SessionStreams) -> Stream:
    """Raises Failure where the server allows no more."""
    try:
        return session.open_stream()
    except TransportError as error:
        raise session_failure(error) from error
