"""New connections a second through two real processes over two loopback links, and the CPU that one costs each end.

    python tests/benchmarks/connections.py [--count 1000] [--at-once 1 25 100] [--fast-open known]

Each connection asks for 1 KB and gets it. Prints figures; asserts nothing. Whoever asks and whoever answers run on the
same cores, in one process.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from loopback.ends import cpu, link_tables, processes
from loopback.processes import Pair

_ANSWER = bytes(1024)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends 1 KB to whoever has sent a byte."""
    await reader.read(1)
    writer.write(_ANSWER)
    await writer.drain()
    writer.close()


async def ask(socks_port: int, port: int) -> None:
    """One connection, from its first byte to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", socks_port)
    writer.write(b"\x05\x01\x00")
    assert await reader.readexactly(2) == b"\x05\x00"
    writer.write(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big"))
    reply = await reader.readexactly(10)
    assert reply[1] == 0, reply
    writer.write(b"x")
    assert await reader.read(-1) == _ANSWER
    writer.close()


async def ask_all(socks_port: int, port: int, count: int, at_once: int) -> float:
    """Seconds for `count` connections of which `at_once` are open at any time."""
    left = iter(range(count))

    async def ask_again() -> None:
        for _ in left:
            await ask(socks_port, port)

    began = time.monotonic()
    await asyncio.gather(*(ask_again() for _ in range(at_once)))
    return time.monotonic() - began


async def measure(pair: Pair, count: int, at_once: list[int]) -> None:
    """Prints a line for each number of connections at once."""
    ends = processes(pair)
    target = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    port = target.sockets[0].getsockname()[1]
    await ask_all(pair.socks_port, port, 10, 1)
    for number in at_once:
        before = [cpu(end) for end in ends]
        seconds = await ask_all(pair.socks_port, port, count, number)
        spent = [(cpu(end) - begin) / count * 1e3 for end, begin in zip(ends, before, strict=True)]
        print(
            f"{number:3} at once {count / seconds:6.0f} connections a second; "
            f"CPU for each: server {spent[0]:.2f} ms, client {spent[1]:.2f} ms",
            flush=True,
        )
    target.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 25, 100])
    parser.add_argument("--fast-open", choices=("off", "known", "always"), default="known")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        both = Pair(Path(directory))
        try:
            both.start_server()
            settings = Path(directory, "tandem.toml")
            settings.write_text(link_tables() + f'[socks]\nfast_open = "{arguments.fast_open}"\n')
            both.start_client(both.invite(), "--config", str(settings))
            asyncio.run(measure(both, arguments.count, arguments.at_once))
        finally:
            both.close()
