"""Too many clients of the SOCKS port: some wait, nobody is lost, nothing leaks. Real processes."""

import asyncio
import contextlib
import resource
import shutil
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from conformance.bench import GREETING, request
from loopback import Pair, Target
from loopback.sockets import abort

assert sys.platform != "win32"  # see conftest.py

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")

LINKS = ("--link", "a=127.0.0.2", "--link", "b=127.0.0.3")


def start(pair: Pair) -> psutil.Process:
    """Both ends; returns the client's process."""
    pair.start_server()
    pair.start_client(pair.invite(), *LINKS)
    assert pair.client is not None
    return psutil.Process(pair.client.pid)


def need_descriptors(count: int) -> None:
    """For this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"this process may open {hard} files, {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.asynccontextmanager
async def echo() -> AsyncGenerator[int]:
    """A target that says everything back; its port."""
    writers: set[asyncio.StreamWriter] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, backlog=4096)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        await end(writer)


async def end(writer: asyncio.StreamWriter) -> None:
    abort(writer)
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class Client:
    """One SOCKS client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, pair: Pair, target: int) -> "Client":
        made = cls(*await asyncio.open_connection("127.0.0.1", pair.socks_port))
        try:
            made.writer.write(GREETING + request("127.0.0.1", target))
            assert (await made.reader.readexactly(12))[:4] == b"\x05\x00\x05\x00"
        except BaseException:
            await end(made.writer)
            raise
        return made

    async def ping(self) -> None:
        self.writer.write(b"ping")
        assert await self.reader.readexactly(4) == b"ping"


async def test_two_thousand_connections_at_the_same_time(pair: Pair) -> None:
    need_descriptors(6000)
    start(pair)
    async with echo() as port, asyncio.timeout(200):
        # A hundred at a time: on a slow machine this process would let thousands stand there and say nothing.
        turns = asyncio.Semaphore(100)

        async def connect() -> Client:
            async with turns:
                return await Client.connect(pair, port)

        clients = await asyncio.gather(*(connect() for _ in range(2000)))
        await asyncio.gather(*(client.ping() for client in clients))
        for client in clients:
            await end(client.writer)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
async def test_a_client_out_of_descriptors_makes_new_connections_wait(tmp_path: Path) -> None:
    pair = Pair(tmp_path, at_client=("prlimit", "--nofile=160:160"))
    try:
        async with echo() as port, asyncio.timeout(200):
            process = await asyncio.to_thread(start, pair)
            first = await Client.connect(pair, port)
            before = process.num_fds()
            attempts = [asyncio.create_task(Client.connect(pair, port)) for _ in range(300)]
            await asyncio.to_thread(
                pair.wait, lambda: "Too many open files: new connections wait" in pair.log("client"), "complaint"
            )
            await first.ping()
            waiting = [attempt for attempt in attempts if not attempt.done()]
            opened = [attempt for attempt in attempts if attempt.done()]  # now: others open as these are ended
            assert len(waiting) > 100
            for attempt in opened:
                await end(attempt.result().writer)
            for client in await asyncio.gather(*waiting[:50]):
                await client.ping()
            for attempt in attempts:
                attempt.cancel()
            for done in await asyncio.gather(*attempts, return_exceptions=True):
                if isinstance(done, Client):
                    await end(done.writer)
            await asyncio.to_thread(pair.wait, lambda: process.num_fds() <= before, "end of all descriptors")
            await first.ping()
            await end(first.writer)
    finally:
        await asyncio.to_thread(pair.close)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_ten_thousand_clients_that_say_nothing_hold_nobody_up(pair: Pair, target: Target) -> None:
    need_descriptors(11_000)
    process = start(pair)
    assert pair.curl(target.url("bytes/1000")).returncode == 0
    before, memory = process.num_fds(), process.memory_info().rss
    sockets: list[socket.socket] = []
    try:
        for number in range(10_000):
            sock = socket.create_connection(("127.0.0.1", pair.socks_port), timeout=60)
            sockets.append(sock)
            sock.send(b"\x05")
            if number % 2500 == 2499:
                assert pair.curl(target.url("bytes/1000")).stdout == Target.content(1000)
                assert process.num_fds() < before + 4200
        assert process.memory_info().rss < memory + (100 << 20)
    finally:
        for sock in sockets:
            sock.close()
    pair.wait(lambda: process.num_fds() <= before, "end of all descriptors")
