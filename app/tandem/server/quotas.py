"""Limits on what one client may use of a server."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tandem.config.server_sections import QuotaConfig
from tandem.exchange.failures import Failure, Hop
from tandem.exchange.request import Kind
from tandem.registry.registration import Terms
from tandem_socks import Reply

BURST_SECONDS = 5.0
"""Burst size in seconds: a client that was idle may open at once as many streams as its rate allows in this time."""

MAX_IN_USE = {Kind.UDP: 256, Kind.BIND: 64, Kind.SPEEDTEST: 2, Kind.PUBLISH: 64}
"""How many of each kind one client may have at the same time. A UDP port may buffer half a megabyte of datagrams, a
BIND port occupies one of the machine's ports, and a speedtest takes all the bandwidth."""

_NAMES = {
    Kind.UDP: "UDP ports",
    Kind.BIND: "ports that wait for a connection",
    Kind.SPEEDTEST: "speedtests",
    Kind.PUBLISH: "published ports",
}

MAX_WAIT = 10.0
"""Seconds that a new stream may wait because of the rate limit; one that would wait longer is refused."""


@dataclass(slots=True)
class _Usage:
    open: int = 0
    in_use: Counter[Kind] = field(default_factory=Counter[Kind])
    due_at: float = 0.0
    """When the next stream is due at the client's rate; a time in the past is burst credit."""


class ClientLimits:
    """Counts the streams of each client, and enforces its limits."""

    def __init__(
        self,
        max_streams: int,
        max_new_streams: float,
        terms: Callable[[str], Terms] = lambda name: Terms(),
        *,
        share: float = 1.0,
    ) -> None:
        """Each client may have `max_streams` at the same time, and open `max_new_streams` per second.

        `terms`: the registered terms of a client, which come before all other limits. `share`: how much of
        `max_streams` counts here.
        """
        self._terms, self._share = terms, share
        self.configure(max_streams, max_new_streams)
        self._usage: dict[str, _Usage] = {}
        """Usage by client name. Only registered clients get here, so its size is bounded."""

    def configure(self, max_streams: int, max_new_streams: float, exceptions: Sequence[QuotaConfig] = ()) -> None:
        """Sets new limits; open streams stay. The first of `exceptions` that matches a client's name overrides them."""
        self._max_streams, self._max_new_streams = max_streams, max_new_streams
        self._exceptions = tuple(exceptions)

    def of(self, client: str) -> tuple[int, float]:
        """The `max_streams` and `max_new_streams` of a client."""
        own = next((item for item in self._exceptions if fnmatchcase(client, item.name)), None)
        max_streams = self._terms(client).max_streams or (own and own.max_streams) or self._max_streams
        return max(1, int(max_streams * self._share)), (own and own.max_new_streams) or self._max_new_streams

    @contextlib.contextmanager
    def stream(self, client: str) -> Generator[None]:
        """Counts one stream of the client for the duration of the block. Raises Failure where it has too many."""
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
        """Counts one use of this kind for the duration of the block. Raises Failure beyond `MAX_IN_USE`."""
        in_use = self._usage.setdefault(client, _Usage()).in_use
        if in_use[kind] >= MAX_IN_USE[kind]:
            raise _too_much(f"{client} has {in_use[kind]} {_NAMES[kind]}, as many as a client may have")
        in_use[kind] += 1
        try:
            yield
        finally:
            in_use[kind] -= 1

    async def wait_turn(self, client: str) -> None:
        """Delays a client that opens streams too fast. Raises Failure where the delay would exceed `MAX_WAIT`."""
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
