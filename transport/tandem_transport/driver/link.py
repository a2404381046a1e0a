"""One link of a client: its socket, which follows the machine's addresses, and the server's endpoint."""

import asyncio
import errno
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from tandem_transport.driver.sockets import UdpAddress, UdpSocket, bind, family_of, format_address

log = logging.getLogger("tandem.client")

_FULL = 1400
"""Bytes of a usual full datagram."""

_LOOKUP_LIMIT = 10.0
"""Seconds for one name lookup; a link whose name server is silent tries the next endpoint."""


_HEADERS = 28
"""Bytes of the headers of IPv4 and UDP."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where a link's socket is bound."""

    host: str
    """A literal address."""
    device: str | None
    """The interface that must be used, None where none has to be named."""
    index: int | None = None
    """The interface's number: one that was deleted and made again has another, and needs a new socket."""

    @property
    def family(self) -> socket.AddressFamily:
        return family_of(self.host)

    def bind(self, sock: socket.socket) -> None:
        """Binds a socket here, with any port. Raises OSError."""
        bind(sock, self.host, 0, self.device)


Resolve = Callable[[], list[LocalAddress]]
"""Finds a link's present local addresses, best first; raises OSError with a text for people."""

Receive = Callable[[bytes, UdpAddress], None]


@dataclass(slots=True, eq=False)
class Link:
    """What a person plugged in and configured. Its index among the links is its path id."""

    name: str
    local: Resolve
    endpoints: list[tuple[str, int]]
    """The server's addresses to be tried from this link, in turn; names or literals."""
    send: Callable[[bytes, UdpAddress], bool] | None = field(default=None, repr=False)
    """Where datagrams go instead of the socket; `tandem demo` puts a bad link there."""
    arrive: Callable[[bytes, Callable[[bytes], None]], None] | None = field(default=None, repr=False)
    """What arrives goes through this, which hands it on in its own time."""
    port: int = 0
    """The local port, 0 for any."""
    sock: UdpSocket | None = field(default=None, repr=False)
    remote: UdpAddress | None = None
    error: str = ""
    """Why it cannot be used now."""
    tried_since: float = 0.0
    """When the present endpoint was first tried."""
    bytes_total: int = 0
    """Carried since the process began, both ways, headers of IP and UDP included."""
    allowance: int = sys.maxsize
    """What `bytes_total` may become before `local` is asked again, sooner than it would be."""
    answered_at: float = 0.0
    """When anything last arrived."""
    _bound: LocalAddress | None = None
    _endpoint_index: int = 0
    _receiver: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def transmit(self, batch: Sequence[bytes]) -> None:
        """Sends datagrams to the server, or drops them where that is not possible now."""
        if self.sock is None or self.remote is None or self.error:
            return
        self.bytes_total += sum(map(len, batch)) + _HEADERS * len(batch)
        if self.send is None:
            self.sock.send_batch(batch, self.remote)
            return
        for data in batch:
            self.send(data, self.remote)

    def on_received(self, size: int, *, now: float) -> None:
        """So many bytes have come, in one datagram, or in several that the kernel has merged."""
        self.answered_at = now
        self.bytes_total += size + _HEADERS * (1 + size // _FULL)

    def is_spent(self) -> bool:
        """Whether the allowance is used up; tells so once."""
        if self.bytes_total < self.allowance:
            return False
        self.allowance = sys.maxsize
        return True

    @property
    def has_choice(self) -> bool:
        """Another lookup may bring another address of the server."""
        return len(self.endpoints) > 1 or not _is_literal(self.endpoints[0][0])

    async def follow(self, receive: Receive, *, rotate: bool) -> bool:
        """Makes socket and endpoint fit the machine as it is now; tells whether one of them is new.

        Args:
            receive: Is given every datagram that arrives on a new socket.
            rotate: The present endpoint does not answer; the next one is tried.

        Raises:
            OSError: The link cannot be used now; the socket is closed if its address is gone.
        """
        found = self.local()
        if self._bound is not None and self._bound not in found:
            self.close()
        remote = self.remote
        if remote is not None and _family(remote) not in {address.family for address in found}:
            remote = None
        if rotate:
            self._endpoint_index += 1
        if remote is None or rotate:
            remote = await self._next_remote(found, remote)
        local = self._choose(found, _family(remote))
        is_new = remote != self.remote or local != self._bound
        if local != self._bound:
            await self._open(local, receive)
        if remote != self.remote:
            level = logging.DEBUG if rotate else logging.INFO
            log.log(level, "link %s: server at %s", self.name, format_address(remote))
            self.remote = remote
        return is_new

    def close(self) -> None:
        """Closes the socket; `follow` opens another."""
        if self._receiver is not None:
            self._receiver.cancel()
        if self.sock is not None:
            self.sock.close()
        self.sock = self._receiver = self._bound = None

    # --- inside ---

    async def _next_remote(self, found: list[LocalAddress], present: UdpAddress | None) -> UdpAddress:
        """Another lookup. If it fails, the present address is still better than none."""
        try:
            return await self._find_remote(found)
        except OSError as error:
            if present is None:
                raise
            log.debug("link %s: %s", self.name, error.strerror)
            return present

    async def _find_remote(self, found: list[LocalAddress]) -> UdpAddress:
        """The address of the endpoint whose turn it is; where it has none that fits, the next one has its turn."""
        host, port = self.endpoints[self._endpoint_index % len(self.endpoints)]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LOOKUP_LIMIT):
                answers = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            self._endpoint_index += 1
            text = getattr(error, "strerror", None) or "no answer from the name server"
            raise OSError(errno.EHOSTUNREACH, f"cannot resolve {host}: {text}") from error
        for local in found:
            for family, *_, address in answers:
                if family == local.family:
                    return cast("UdpAddress", address)
        self._endpoint_index += 1
        raise OSError(errno.EAFNOSUPPORT, f"{host} has no address of this link's family ({found[0].host})")

    def _choose(self, found: list[LocalAddress], family: int) -> LocalAddress:
        """What is bound already stays, even where another address has come before it."""
        if self._bound is not None and self._bound.family == family:
            return self._bound
        return next(address for address in found if address.family == family)

    async def _open(self, local: LocalAddress, receive: Receive) -> None:
        self.close()
        self.sock = await UdpSocket.open(local.host, self.port, local.device)
        self._bound = local
        self._receiver = asyncio.create_task(self.sock.receive(receive))
        log.info("link %s: bound to %s", self.name, format_address(self.sock.local))


def _is_literal(host: str) -> bool:
    """An IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _family(address: UdpAddress) -> int:
    return socket.AF_INET6 if len(address) == 4 else socket.AF_INET
