"""How much one client may ask of a server."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tandem.config.config import QuotaConfig
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.request import Kind
from tandem_socks import Reply

BURST_SECONDS = 5.0
"""A client that was quiet may open as many streams at once as it may open in this time."""

MAX_HELD = {Kind.UDP: 64, Kind.BIND: 64, Kind.SPEEDTEST: 2}
"""Of one client at the same time. A UDP port may hold half a megabyte of unfinished datagrams, a port that waits for
a connection is one of the machine's, and a speedtest takes all that there is."""

_NAMES = {Kind.UDP: "UDP ports", Kind.BIND: "ports that wait for a connection", Kind.SPEEDTEST: "speedtests"}

MAX_WAIT = 10.0
"""Seconds that a stream may wait for its turn; those behind are refused."""


@dataclass(slots=True)
class _Usage:
    open: int = 0
    held: Counter[Kind] = field(default_factory=Counter[Kind])
    due_at: float = 0.0
    """When the next stream would have its turn if the client had never been quiet."""


class ClientLimits:
    """Counts streams, by client."""

    def __init__(self, max_streams: int, max_new_streams: float) -> None:
        """`max_streams` at the same time, `max_new_streams` a second, both for each client."""
        self.configure(max_streams, max_new_streams)
        self._usage: dict[str, _Usage] = {}
        """Of clients that are registered: there are as many names as the owner has given."""

    def configure(self, max_streams: int, max_new_streams: float, exceptions: Sequence[QuotaConfig] = ()) -> None:
        """Other limits from now on; what is open stays."""
        self._max_streams, self._max_new_streams = max_streams, max_new_streams
        self._exceptions = tuple(exceptions)

    def of(self, client: str) -> tuple[int, float]:
        """A client's `max_streams` and `max_new_streams`."""
        own = next((item for item in self._exceptions if fnmatchcase(client, item.name)), None)
        if own is None:
            return self._max_streams, self._max_new_streams
        return own.max_streams or self._max_streams, own.max_new_streams or self._max_new_streams

    @contextlib.contextmanager
    def stream(self, client: str) -> Generator[None]:
        """Holds one of the client's streams. Raises Failure where it has too many."""
        usage = self._usage.setdefault(client, _Usage())
        if usage.open >= self.of(client)[0]:
            raise _too_much(f"{client} has {usage.open} connections open, as many as a client may have (max_streams)")
        usage.open += 1
        try:
            yield
        finally:
            usage.open -= 1

    @contextlib.contextmanager
    def hold(self, client: str, kind: Kind) -> Generator[None]:
        """Holds one of the few of this kind that the client may have (`MAX_HELD`). Raises Failure beyond that."""
        held = self._usage.setdefault(client, _Usage()).held
        if held[kind] >= MAX_HELD[kind]:
            raise _too_much(f"{client} has {held[kind]} {_NAMES[kind]}, as many as a client may have")
        held[kind] += 1
        try:
            yield
        finally:
            held[kind] -= 1

    async def wait_turn(self, client: str) -> None:
        """Slows down a client that opens streams too fast. Raises Failure where it would have to wait too long."""
        usage, now = self._usage.setdefault(client, _Usage()), time.monotonic()
        due_at = max(usage.due_at, now - BURST_SECONDS)
        wait = due_at - now
        if wait > MAX_WAIT:
            raise _too_much(f"{client} opens connections faster than a client may (max_new_streams)")
        usage.due_at = due_at + 1 / self.of(client)[1]
        if wait > 0:
            await asyncio.sleep(wait)


def _too_much(text: str) -> Failure:
    return Failure(Reply.GENERAL_FAILURE, Hop.RULE, text)
