"""A small web site for the demonstration: a page, and a file that takes a while."""

import asyncio
from collections.abc import AsyncGenerator

from tandem.web.messages import Answer, Request, refusal
from tandem.web.server import HttpServer

NAME = "tandem.example"
"""The site's name, which only the demonstration's server knows (RFC 2606)."""

FILE_SIZE = 50_000_000
_CHUNK = bytes(range(256)) * 256

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>It works</title>
<h1>It works</h1><p>This page came through Tandem, over two bad links at once.</p>
<p><a href="/file">A file of 50 MB</a> takes a while.</p></html>
"""


class Site:
    """The web server."""

    def __init__(self) -> None:
        self._server = HttpServer(_answer)
        self.port = 0

    async def start(self) -> None:
        """Begins to listen at a free port of this machine."""
        self.port = await self._server.listen("127.0.0.1", 0)

    async def close(self) -> None:
        """Stops."""
        await self._server.close()


async def _answer(request: Request) -> Answer:
    await asyncio.sleep(0)
    if request.path == "/":
        return Answer(body=PAGE.encode(), content_type="text/html")
    if request.path == "/file":
        return Answer(content_type="application/octet-stream", parts=_file())
    return refusal(404, "there are / and /file")


async def _file() -> AsyncGenerator[bytes, None]:
    for begin in range(0, FILE_SIZE, len(_CHUNK)):
        yield _CHUNK[: FILE_SIZE - begin]
