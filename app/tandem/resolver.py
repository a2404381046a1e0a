"""Names to addresses, at the server."""

import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tandem.failures import Failure, Hop
from tandem_socks import Reply

MAX_LOOKUPS = 64
"""Names that are looked up at the same time; a name server that does not answer holds one for long."""

MAX_LOOKUPS_OF_ONE = 16
"""Those of one client."""

MAX_CACHED = 4096
"""Names that are remembered; the oldest give way."""

MAX_ADDRESSES = 32
"""Addresses of one name that are looked at."""


class Resolver:
    """Asks the system, after the owner's own table; remembers answers for a short while if told to."""

    def __init__(self, hosts: Mapping[str, tuple[str, ...]] | None = None, *, cache_seconds: float = 0.0) -> None:
        """`hosts`: addresses of names that nobody is asked for."""
        self.configure(hosts or {}, cache_seconds=cache_seconds)
        self._cache: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._shares: dict[str, asyncio.Semaphore] = {}
        """By client: there are as many as the owner has registered."""
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolver")

    def configure(self, hosts: Mapping[str, tuple[str, ...]], *, cache_seconds: float) -> None:
        """Another table from now on."""
        self._hosts = {name.lower(): addresses for name, addresses in hosts.items()}
        self._cache_seconds = cache_seconds

    async def resolve(self, host: str, client: str) -> tuple[str, ...]:
        """Literal addresses, at least one, in the system's order of preference. Raises Failure.

        `client` is whom it is for: nobody can keep all lookups to himself.
        """
        name = host.rstrip(".").lower()
        if "%" in name:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"{name!r}: an interface of this server cannot be chosen")
        literal = _literal(name)
        if literal:
            return (literal,)
        known = self._hosts.get(name) or self._cached(name)
        if known:
            return known
        found = await self._look_up(name, client)
        self._remember(name, found)
        return found

    def close(self) -> None:
        """Lookups that run are left to themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, name: str, client: str) -> tuple[str, ...]:
        share = self._shares.setdefault(client, asyncio.Semaphore(MAX_LOOKUPS_OF_ONE))
        await share.acquire()
        asking = asyncio.get_running_loop().run_in_executor(self._threads, _ask_system, name)
        # A thread cannot be told to stop: who gives up waiting still holds his share until it is done.
        asking.add_done_callback(lambda _: share.release())
        try:
            found = await asyncio.shield(asking)
        except socket.gaierror as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"cannot resolve {name}: {error.strerror}") from error
        except (UnicodeError, ValueError) as error:
            raise Failure(Reply.HOST_UNREACHABLE, Hop.NAME, f"{name!r} is not a host name") from error
        return found

    def _cached(self, name: str) -> tuple[str, ...] | None:
        known_at, addresses = self._cache.get(name, (float("-inf"), ()))
        return addresses if time.monotonic() - known_at < self._cache_seconds else None

    def _remember(self, name: str, addresses: tuple[str, ...]) -> None:
        if self._cache_seconds:
            self._cache.pop(name, None)
            self._cache[name] = (time.monotonic(), addresses)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)


def _literal(host: str) -> str:
    """An address in its one canonical form, "" where it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _ask_system(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))[:MAX_ADDRESSES]
