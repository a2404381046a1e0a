"""Names to addresses, at the server.

What a client asks for is looked up as an absolute name: the search domain of this machine is its
owner's, and leads to hosts that no rule about names has heard of.
"""

import asyncio
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tandem.base.addresses import literal_address
from tandem.exchange.failures import Failure, Hop
from tandem.server.hosts_file import HostsFile
from tandem.server.shares import Shares
from tandem_socks import Reply
from tandem_transport import BoundedTable

MAX_LOOKUPS = 128
"""Names that are looked up at the same time, each in a thread; a name server that is silent holds one for long."""

MAX_LOOKUPS_OF_ONE = 16
"""Those of one client, while most are free."""

MAX_CACHED = 4096
"""Names that are remembered; the oldest give way."""

MAX_ADDRESSES = 32
"""Addresses of one name that are looked at."""


class Resolver:
    """Asks the system, after the owner's own table; remembers answers for a short while if told to."""

    def __init__(self, hosts: Mapping[str, tuple[str, ...]] | None = None, *, cache_seconds: float = 0.0) -> None:
        """`hosts`: addresses of names that nobody is asked for."""
        self.configure(hosts or {}, cache_seconds=cache_seconds)
        self._cache: BoundedTable[str, tuple[float, tuple[str, ...]]] = BoundedTable(MAX_CACHED)
        self._shares = Shares(MAX_LOOKUPS, MAX_LOOKUPS_OF_ONE)
        """By client."""
        self._hosts_file = HostsFile()
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolver")

    def configure(self, hosts: Mapping[str, tuple[str, ...]], *, cache_seconds: float) -> None:
        """Another table from now on."""
        self._hosts = {name.lower(): addresses for name, addresses in hosts.items()}
        self._cache_seconds = cache_seconds

    async def resolve(self, name: str, client: str) -> tuple[str, ...]:
        """Literal addresses, at least one, of a canonical name, in the system's order of preference. Raises Failure.

        `client` is whom it is for: nobody can keep all lookups to himself.
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
        """The same for a target that the owner has configured, which may be short for something. Raises Failure."""
        if literal_address(host):
            return (host,)
        return self._hosts.get(host.lower()) or await self._look_up(host, client)

    def close(self) -> None:
        """Lookups that run are left to themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, name: str, client: str) -> tuple[str, ...]:
        await self._shares.take(client)
        try:
            asking = asyncio.get_running_loop().run_in_executor(self._threads, _ask_system, name)
        except RuntimeError as error:  # no more threads
            self._shares.give_back(client)
            raise Failure(Reply.GENERAL_FAILURE, Hop.NAME, f"cannot look up names now: {error}") from error
        # A thread cannot be told to stop: who gives up waiting still holds his share until it is done.
        asking.add_done_callback(lambda done: self._on_looked_up(done, client))
        shown = name.removesuffix(".")
        try:
            return await asyncio.shield(asking)
        except socket.gaierror as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"cannot resolve {shown}: {error.strerror}") from error
        except (UnicodeError, ValueError) as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"{shown!r} is not a host name") from error

    def _on_looked_up(self, asking: "asyncio.Future[tuple[str, ...]]", client: str) -> None:
        self._shares.give_back(client)
        if not asking.cancelled():
            asking.exception()  # taken, in case that nobody waits for it any more

    def _cached(self, name: str) -> tuple[str, ...] | None:
        known_at, addresses = self._cache.get(name) or (float("-inf"), ())
        return addresses if time.monotonic() - known_at < self._cache_seconds else None

    def _remember(self, name: str, addresses: tuple[str, ...]) -> None:
        if self._cache_seconds:
            self._cache.put(name, (time.monotonic(), addresses))


def _ask_system(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))[:MAX_ADDRESSES]
