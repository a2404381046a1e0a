"""The clients' names for their links, which they send so that the server's status shows links by name."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tandem.exchange.request import RequestError
from tandem_transport import MAX_PATHS, ClientSession, printable
from tandem_transport.driver import Stream

MAX_NAME = 40
_MAX_LINE = 16 << 10


class LinkNames:
    """The link names of all sessions of a server."""

    def __init__(self) -> None:
        self._names: dict[bytes, tuple[str, ...]] = {}
        """The link names of each session, by connection id."""
        self._told: Counter[bytes] = Counter()
        """How many streams of each session carried names, by connection id."""

    def of(self, session: ClientSession) -> Sequence[str]:
        """The link names of a session, by path id; shorter than its paths where the client has not sent them."""
        return self._names.get(session.connection_id, ())

    def told(self, session: ClientSession) -> int:
        """The number of streams of a session that carried names; they do not count as connections."""
        return self._told[session.connection_id]

    def forget(self, session: ClientSession) -> None:
        """Forgets the link names of a session that has ended."""
        self._names.pop(session.connection_id, None)
        self._told.pop(session.connection_id, None)

    async def take(self, session: ClientSession, stream: Stream) -> None:
        """Reads the link names that a client sends. Raises RequestError, and what `Stream.read` raises."""
        line = b""
        while not line.endswith(b"\n") and len(line) <= _MAX_LINE and (data := await stream.read()):
            line += data
        names = _decode(line)
        if session.connection.is_open:
            self._names[session.connection_id] = names
            self._told[session.connection_id] += 1


def encode(names: Sequence[str]) -> bytes:
    """The line of JSON with the link names, which follows the request."""
    return json.dumps(list(names)).encode() + b"\n"


def _decode(line: bytes) -> tuple[str, ...]:
    try:
        names: Any = json.loads(line)
        return tuple(printable(str(name))[:MAX_NAME] for name in list(names)[:MAX_PATHS])
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"names of links: {error}") from error
