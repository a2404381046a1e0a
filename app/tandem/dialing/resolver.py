"""Resolves names to addresses at the server.

The name that a client asks for is looked up as an absolute name. With this machine's search domain it could
match internal hosts that no rule about names covers.
"""

import asyncio
import socket
import time
from collections.abc import Mapping
from functools import partial

from tandem.base.addresses import literal_address
from tandem.base.threads import Threads
from tandem.dialing.hosts_file import HostsFile
from tandem.dialing.shares import Shares
from tandem.exchange.failures import Failure, Hop
from tandem_socks import Reply
from tandem_transport import BoundedTable

MAX_LOOKUPS = 128
"""Limit of simultaneous lookups, each in a thread; a silent name server blocks a thread for a long time."""

MAX_LOOKUPS_OF_ONE = 16
"""Limit of simultaneous lookups of one client while most of `MAX_LOOKUPS` are free."""

MAX_CACHED = 4096
"""Limit of names in the cache; the oldest are dropped."""

MAX_ADDRESSES = 32
"""Limit of addresses of one name; the rest are ignored."""


class Resolver:
    """Looks up the configured table first, then asks the system; caches the answers if configured."""

    def __init__(self, hosts: Mapping[str, tuple[str, ...]] | None = None, *, cache_seconds: float = 0.0) -> None:
        """`hosts`: addresses by name, which take precedence over the system's answers."""
        self.configure(hosts or {}, cache_seconds=cache_seconds)
        self._cache: BoundedTable[str, tuple[float, tuple[str, ...]]] = BoundedTable(MAX_CACHED)
        self._shares = Shares(MAX_LOOKUPS, MAX_LOOKUPS_OF_ONE)
        """The lookups in progress, by client."""
        self._hosts_file = HostsFile()
        self._threads = Threads(MAX_LOOKUPS)

    def configure(self, hosts: Mapping[str, tuple[str, ...]], *, cache_seconds: float) -> None:
        """Sets a new table and the lifetime of cached answers in seconds, 0 for no cache."""
        self._hosts = {name.lower(): addresses for name, addresses in hosts.items()}
        self._cache_seconds = cache_seconds

    async def resolve(self, name: str, client: str) -> tuple[str, ...]:
        """Literal addresses, at least one, of a canonical name, in the system's order of preference. Raises Failure.

        The lookup counts for `client`, so that one client cannot occupy all lookups.
        """
        if literal_address(name):
            return (name,)
        known = self._hosts.get(name) or self._cached(name) or self._hosts_file.addresses(name)
        if known:
            return known
        found = await self._look_up(f"{name}.", client)
        self._remember(name, found)
        return found

    async def resolve_target(self, host: str, client: str) -> tuple[str, ...]:
        """Like `resolve`, for a configured target; search domains apply, so it may be a short name. Raises Failure."""
        if literal_address(host):
            return (host,)
        return self._hosts.get(host.lower()) or await self._look_up(host, client)

    async def _look_up(self, name: str, client: str) -> tuple[str, ...]:
        await self._shares.take(client)
        asking = asyncio.ensure_future(self._threads.run(partial(_ask_system, name)))
        # A thread cannot be cancelled: it counts against the client until it ends, even where the caller gives up.
        asking.add_done_callback(lambda done: self._on_looked_up(done, client))
        shown = name.removesuffix(".")
        try:
            return await asyncio.shield(asking)
        except RuntimeError as error:  # no more threads
            raise Failure(Reply.GENERAL_FAILURE, Hop.NAME, f"cannot look up names now: {error}") from error
        except socket.gaierror as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"cannot resolve {shown}: {error.strerror}") from error
        except (UnicodeError, ValueError) as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"{shown!r} is not a host name") from error

    def _on_looked_up(self, asking: "asyncio.Future[tuple[str, ...]]", client: str) -> None:
        self._shares.give_back(client)
        if not asking.cancelled():
            asking.exception()  # retrieved, because the caller may have given up and asyncio would log it

    def _cached(self, name: str) -> tuple[str, ...] | None:
        known_at, addresses = self._cache.get(name) or (float("-inf"), ())
        return addresses if time.monotonic() - known_at < self._cache_seconds else None

    def _remember(self, name: str, addresses: tuple[str, ...]) -> None:
        if self._cache_seconds:
            self._cache.put(name, (time.monotonic(), addresses))


def _ask_system(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))[:MAX_ADDRESSES]
