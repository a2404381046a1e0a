"""The server's side of a speedtest: sends zeros, or counts the bytes that arrive."""

import asyncio

from tandem.exchange.speedtest import CHUNK, COUNT_SIZE
from tandem_socks import ByteStream

_TIMEOUT = 60.0
"""Seconds after which the server ends a speedtest that the client has not ended."""

_COUNT_INTERVAL = 0.1


async def serve(stream: ByteStream, direction: str) -> None:
    """Serves one speedtest until the client ends it. Raises TimeoutError, and what the stream raises."""
    async with asyncio.timeout(_TIMEOUT):
        if direction == "down":
            while True:
                await stream.write(CHUNK)
        await _count(stream)


async def _count(stream: ByteStream) -> None:
    counted = [0]
    telling = asyncio.create_task(_tell(stream, counted))
    try:
        while data := await stream.read():
            counted[0] += len(data)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(stream: ByteStream, counted: list[int]) -> None:
    while True:
        await stream.write(counted[0].to_bytes(COUNT_SIZE, "big"))
        await asyncio.sleep(_COUNT_INTERVAL)
