"""What 50,000 first messages of strangers do to a working session's echo, over real sockets.

    python tests/benchmarks/flood.py

Prints the echo's round trip before and during each flood (30 ms each way), what the server
answered, and how much memory it took. Server and client share a process, and so a core.
"""

import asyncio
import contextlib
import multiprocessing
import os
import random
import socket
import time
from hashlib import blake2s

import psutil
import uvloop

from tandem_transport import SessionClosed, TransportParameters, public_key
from tandem_transport.crypto.handshake import ClientHandshake, mac1_key
from tandem_transport.driver import (
    ClientDriver,
    Link,
    LocalAddress,
    ServerDriver,
    Source,
    Stream,
    UdpAddress,
    local_identity,
)
from tandem_transport.endpoint.sessions import ClientSession

SERVER_KEY, CLIENT_KEY = bytes(range(32)), bytes(range(32, 64))
DELAY = 0.030
FLOOD = 50_000
RATES = (5_000, 30_000)
"""Datagrams a second: those of docs/threat-model.md."""


def first_messages(kind: str) -> list[bytes]:
    """Of somebody without a registered key; with a valid mac1, or without."""
    stranger = ClientHandshake(
        static_private=os.urandom(32),
        server_public=public_key(SERVER_KEY),
        parameters=TransportParameters(),
        instance_id=bytes(8),
        timestamp_us=time.time_ns() // 1000,
        token=bytes(16),
        randomness=os.urandom,
    )
    template, key = stranger.initiation(), mac1_key(public_key(SERVER_KEY))
    made: list[bytes] = []
    for _ in range(FLOOD):
        unsigned = template[:1] + os.urandom(16) + template[17:-32]
        mac1 = blake2s(unsigned, key=key, digest_size=16).digest() if kind == "valid mac1" else os.urandom(16)
        made.append(unsigned + mac1 + bytes(16))
    return made


def flood(messages: list[bytes], port: int, rate: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        begin = time.monotonic()
        for i, message in enumerate(messages):
            sock.sendto(message, ("127.0.0.1", port))
            if i % 50 == 0:
                time.sleep(max(0.0, begin + i / rate - time.monotonic()))


class Ends:
    """A server and a client with 30 ms between them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.server = ServerDriver(SERVER_KEY, {public_key(CLIENT_KEY): "laptop"}.get, accept=self._accept)
        self._link = Link("link", lambda: [LocalAddress("127.0.0.2", None)], [])
        self.client = ClientDriver(local_identity(CLIENT_KEY, public_key(SERVER_KEY)), [self._link])
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> Stream:
        """Returns a stream that sends back what is written."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        await self.server.sockets.listen([("127.0.0.1", self.port)])
        self.server.send = self._send_down
        self._link.endpoints.append(("127.0.0.1", self.port))
        self._link.send = self._send_up
        self.client.start()
        return (await self.client.wait_connected()).open_stream()

    def _accept(self, session: ClientSession, stream: Stream) -> None:
        task = asyncio.create_task(self._echo(stream))
        self._tasks.add(task)

    async def _echo(self, stream: Stream) -> None:
        with contextlib.suppress(SessionClosed):
            while data := await stream.read():
                await stream.write(data)

    def _send_up(self, data: bytes, remote: UdpAddress) -> bool:
        sock = self._link.sock
        if sock is not None:
            self._loop.call_later(DELAY, sock.send, data, remote)
        return True

    def _send_down(self, source: Source, data: bytes) -> bool:
        if source.remote[0] == "127.0.0.2":
            self._loop.call_later(DELAY, self.server.sockets.send, source, [data])
        else:
            self.server.sockets.send(source, [data])
        return True


async def echoes(stream: Stream, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        await stream.write(b"k")
        await stream.read_exactly(1)
        times.append(time.monotonic() - begin)
        await asyncio.sleep(random.uniform(0.01, 0.03))
    return sorted(times)


def show(what: str, times: list[float]) -> None:
    p50, p99 = times[len(times) // 2], times[int(0.99 * (len(times) - 1))]
    figures = f"echo p50 {p50 * 1e3:.1f}, p99 {p99 * 1e3:.1f}, max {times[-1] * 1e3:.1f} ms of {len(times)}"
    rss = psutil.Process().memory_info().rss / 1e6
    print(f"{what:32} {figures}; {rss:.0f} MB resident")


async def main() -> None:
    ends = Ends()
    stream = await ends.start()
    show("nothing else", await echoes(stream, 5))
    for kind in ("random keys", "valid mac1"):
        messages = first_messages(kind)
        for rate in RATES:
            process = multiprocessing.Process(target=flood, args=(messages, ends.port, rate))
            process.start()
            show(f"{kind}, {rate} a second", await echoes(stream, FLOOD / rate))
            process.join()
            print(f"    {ends.server.endpoint.counters}")
    await ends.client.close()
    await ends.server.close()


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    uvloop.run(main())
