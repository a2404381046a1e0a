"""Ending connections of asyncio's streams, whatever state they are in."""

import asyncio
import contextlib


def abort(writer: asyncio.StreamWriter) -> None:
    """Ends a connection at once.

    asyncio trips over a transport that was closed while it still had something to write, and has written it since.
    """
    with contextlib.suppress(AttributeError):
        writer.transport.abort()
