"""Whether an upgrade is felt: 200 connections that tick, and a large download, through an upgrade of a running server.

    python tests/benchmarks/upgrade.py [--streams 200] [--megabytes 1000] [--tick 0.05]

Prints the longest silence of any connection before, during and after the upgrade, and what became of the download.
Asserts nothing. Whoever ticks, and whoever counts, runs in this process, on the same cores.
"""

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from loopback.processes import Pair

assert sys.platform != "win32"  # which has no signal for it

BLOCK = bytes(64 << 10)


class Ticking:
    """Connections through the client over which the far end says a byte again and again."""

    def __init__(self, pair: Pair, tick: float) -> None:
        self._pair, self._tick = pair, tick
        self.longest = 0.0
        """Seconds of the longest silence on any connection since this was last set to 0."""
        self.ended = 0
        """Connections that have ended, which none should."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The far end: ticks, or sends as many blocks as it was asked for."""
        wish = int.from_bytes(await reader.readexactly(4), "big")
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # the end of the benchmark
            for _ in range(wish):
                writer.write(BLOCK)
                await writer.drain()
            while not wish:
                writer.write(b".")
                await asyncio.sleep(self._tick)
        writer.close()

    async def listen(self, port: int) -> None:
        """One connection, until it ends."""
        reader, writer = await self.open(port, 0)
        heard = time.monotonic()
        try:
            while await reader.read(4096):
                now = time.monotonic()
                self.longest, heard = max(self.longest, now - heard), now
        except ConnectionError:
            pass
        self.ended += 1
        writer.close()

    async def download(self, port: int, blocks: int) -> tuple[int, float]:
        """Bytes of a download, and its longest silence in seconds."""
        reader, writer = await self.open(port, blocks)
        size, longest, heard = 0, 0.0, time.monotonic()
        while data := await reader.read(1 << 20):
            now = time.monotonic()
            size, longest, heard = size + len(data), max(longest, now - heard), now
        writer.close()
        return size, longest

    async def open(self, port: int, wish: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection through the SOCKS port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._pair.socks_port)
        writer.write(b"\x05\x01\x00")
        await reader.readexactly(2)
        writer.write(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big"))
        await reader.readexactly(10)
        writer.write(wish.to_bytes(4, "big"))
        return reader, writer

    def silence(self) -> float:
        """Milliseconds of the longest silence since the last call."""
        longest, self.longest = self.longest, 0.0
        return longest * 1e3


async def measure(pair: Pair, streams: int, megabytes: int, tick: float) -> None:
    """Opens everything, upgrades, and prints what was felt."""
    ticking = Ticking(pair, tick)
    server = await asyncio.start_server(ticking.serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    tasks = [asyncio.create_task(ticking.listen(port)) for _ in range(streams)]
    await asyncio.sleep(3)
    ticking.silence()
    download = asyncio.create_task(ticking.download(port, megabytes * 16))
    await asyncio.sleep(5)
    print(
        f"before: {streams} connections, longest silence {ticking.silence():.0f} ms (a tick each {tick * 1e3:.0f} ms)"
    )
    assert pair.server is not None
    pair.server.send_signal(signal.SIGUSR2)
    await asyncio.to_thread(pair.wait, lambda: "upgraded: other" in pair.log("server"), "the upgrade")
    await asyncio.sleep(5)
    print(f"during: longest silence {ticking.silence():.0f} ms, {ticking.ended} connections ended")
    size, longest = await download
    print(f"the download: {size / (16 * len(BLOCK)):.0f} of {megabytes} MiB, longest silence {longest * 1e3:.0f} ms")
    await asyncio.sleep(3)
    print(f"after: longest silence {ticking.silence():.0f} ms, {ticking.ended} connections ended")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    server.close()


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tick", type=float, default=0.05)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        invite = pair.invite()
        pair.start_server("--workers", "2")
        pair.start_client(invite, "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
        try:
            asyncio.run(measure(pair, given.streams, given.megabytes, given.tick))
        finally:
            pair.close()


if __name__ == "__main__":
    main()
