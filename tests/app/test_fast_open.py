"""Streams that are written to before the server has answered."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from tandem.client.opener import KNOWN_LIFETIME, MAX_KNOWN, KnownTargets
from tandem.exchange.eager_stream import KEPT, EagerStream
from tandem.exchange.failures import Hop
from tandem.exchange.request import Answer, Kind, Request
from tandem_socks import FarReset, Reply
from tandem_transport import ErrorCode, SessionClosed
from tandem_transport.driver import Stream

LIMIT = 60.0
"""Seconds after which an answer that was never given ends a test."""


class Far:
    """A stream whose other end is the test."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_finished = self.is_reset = False
        self.error: SessionClosed | None = None
        self.callback: Callable[[], None] | None = None
        self.heard_at = 10.0
        self.is_suspended = False
        self._received = bytearray()
        self._has_news = asyncio.Event()

    def answer(self, answer: Answer, data: bytes = b"") -> None:
        self._received += answer.encode() + data
        self._has_news.set()

    def fail(self, code: int) -> None:
        self.error = SessionClosed(code, "test", is_remote=True)
        self._has_news.set()

    async def read(self, limit: int = 1 << 16) -> bytes:
        while not self._received:
            if self.error is not None:
                raise self.error
            self._has_news.clear()
            async with asyncio.timeout(LIMIT):
                await self._has_news.wait()
        data = bytes(self._received[:limit])
        del self._received[:limit]
        return data

    async def read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self.read(size - len(data))
        return data

    async def write(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.written += data

    def watch_reset(self, callback: Callable[[], None]) -> None:
        self.callback = callback

    def finish(self) -> None:
        self.is_finished = True

    def reset(self) -> None:
        self.is_reset = True


class Bench:
    """An eager stream, and the one that it would be given on another session."""

    def __init__(self) -> None:
        self.far, self.again = Far(), Far()
        self.answers: list[Answer] = []
        self.may_go_again = asyncio.Event()
        self.may_go_again.set()
        far = cast("Stream", self.far)
        self.stream = EagerStream(far, on_answer=self.answers.append, ask_again=self._ask_again)

    async def _ask_again(self) -> Stream:
        await self.may_go_again.wait()
        return cast("Stream", self.again)


SUCCEEDED = Answer(Reply.SUCCEEDED, "192.0.2.1", 80)


async def test_data_goes_ahead_and_the_answer_is_no_data() -> None:
    bench = Bench()
    await bench.stream.write(b"request and data")
    assert bench.far.written == b"request and data"
    bench.far.answer(SUCCEEDED, b"hello")
    assert await bench.stream.read() == b"hello"
    assert bench.answers == [SUCCEEDED]


async def test_a_dial_that_fails_is_a_reset() -> None:
    bench = Bench()
    await bench.stream.write(b"request")
    bench.far.answer(Answer(Reply.CONNECTION_REFUSED, hop=Hop.DIAL, detail="refused"))
    with pytest.raises(FarReset, match="refused"):
        await bench.stream.read()
    assert bench.far.is_reset


async def test_a_server_that_was_restarted_hears_everything_again() -> None:
    bench = Bench()
    await bench.stream.write(b"request")
    reading = asyncio.create_task(bench.stream.read())
    await asyncio.sleep(0)
    bench.far.fail(ErrorCode.FORGOTTEN)
    await bench.stream.write(b" and data")
    bench.stream.finish()
    bench.again.answer(SUCCEEDED, b"hello")
    assert await reading == b"hello"
    assert bench.again.written == b"request and data"
    assert bench.again.is_finished


async def test_what_is_written_while_it_is_said_again_comes_after_it() -> None:
    bench = Bench()
    await bench.stream.write(b"request")
    bench.may_go_again.clear()
    reading = asyncio.create_task(bench.stream.read())
    await asyncio.sleep(0)
    bench.far.fail(ErrorCode.FORGOTTEN)
    await asyncio.sleep(0.01)
    writing = asyncio.create_task(bench.stream.write(b" body"))
    await asyncio.sleep(0.01)
    bench.may_go_again.set()
    await writing
    await bench.stream.write(b" tail")
    bench.stream.finish()
    bench.again.answer(SUCCEEDED, b"hello")
    assert await reading == b"hello"
    assert bench.again.written == b"request body tail"
    assert bench.again.is_finished


@pytest.mark.parametrize("why", ["the server was heard", "another end", "too much was said"])
async def test_nothing_is_said_twice_where_that_could_be_wrong(why: str) -> None:
    bench = Bench()
    await bench.stream.write(b"request")
    if why == "too much was said":
        await bench.stream.write(bytes(KEPT))
    if why == "the server was heard":
        bench.far.heard_at += 1
    bench.far.fail(ErrorCode.REVOKED if why == "another end" else ErrorCode.FORGOTTEN)
    with pytest.raises(ConnectionError):
        await bench.stream.read()
    assert not bench.again.written


async def test_a_reset_before_the_answer_is_the_readers_to_hear_of() -> None:
    bench, calls = Bench(), list[str]()
    bench.stream.watch_reset(lambda: calls.append("reset"))
    assert bench.far.callback is None
    bench.far.answer(SUCCEEDED, b"hello")
    await bench.stream.read()
    assert bench.far.callback is not None


def test_what_was_reached_is_known_for_ten_minutes() -> None:
    known, request = KnownTargets(), Request(Kind.DIAL, "example.org", 443)
    assert known.find(request, now=0.0) is None
    known.learn(request, SUCCEEDED, now=0.0)
    assert known.find(request, now=KNOWN_LIFETIME) == SUCCEEDED
    assert known.find(request, now=KNOWN_LIFETIME + 1) is None
    assert known.find(Request(Kind.DIAL, "example.org", 80), now=0.0) is None
    known.learn(request, Answer(Reply.CONNECTION_REFUSED), now=1.0)
    assert known.find(request, now=1.0) is None


def test_not_more_is_known_than_there_is_room_for() -> None:
    known = KnownTargets()
    for port in range(MAX_KNOWN + 1):
        known.learn(Request(Kind.DIAL, "example.org", port), SUCCEEDED, now=0.0)
    assert known.find(Request(Kind.DIAL, "example.org", 0), now=0.0) is None
    assert known.find(Request(Kind.DIAL, "example.org", 1), now=0.0) == SUCCEEDED
