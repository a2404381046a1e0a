"""A download through the demonstration's own proxy port, again and again."""

import asyncio
import contextlib

from tandem.demo.site import NAME

_READ_SIZE = 256 << 10
_PAUSE = 1.0
"""Seconds between a download that has failed and the next."""


class Download:
    """Fetches the file of the site, as a browser with a proxy would, until it is cancelled."""

    def __init__(self, proxy: tuple[str, int], site_port: int) -> None:
        self._proxy, self._host = proxy, f"{NAME}:{site_port}"
        self.received = 0
        """Bytes that have come, in all."""

    async def run(self) -> None:
        """Downloads without end."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._fetch()
                continue
            await asyncio.sleep(_PAUSE)

    async def _fetch(self) -> None:
        """Fetches the file once. Raises OSError."""
        reader, writer = await asyncio.open_connection(*self._proxy)
        try:
            head = f"GET http://{self._host}/file HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            if b" 200 " not in await reader.readline():
                raise OSError("the proxy has refused")
            while data := await reader.read(_READ_SIZE):
                self.received += len(data)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
