"""UDP sockets that reach many hosts for one client.

A datagram to a host opens the sockets for that host's answers; datagrams from other hosts are dropped
(address-dependent filtering, RFC 4787 section 5).
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from tandem.dialing.dialer import DIAL_TIMEOUT, address_infos
from tandem.exchange.failures import Failure
from tandem.exchange.request import Kind, Request
from tandem_transport import BoundedTable
from tandem_transport.driver import family_of

log = logging.getLogger("tandem.dialing")

MAX_PEERS = 1024
"""Limit of destinations that one outlet remembers; the oldest are dropped."""

MAX_LOOKUPS = 32
"""Limit of simultaneous lookups of one outlet; datagrams that need another lookup are dropped."""

PEER_LIFETIME = 60.0
"""Seconds after which a destination is looked up and checked again."""

MAX_WAITING = 256 << 10
"""Limit of bytes that wait for the kernel, and of bytes that wait for lookups; datagrams beyond it are dropped."""

_GONE = (errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EINVAL)
"""Errors of a socket that was bound to an address or an interface that is not there any more."""


@dataclass(slots=True)
class UdpCounters:
    """Counts of the datagrams of one outlet, by what happened to them."""

    sent: int = 0
    received: int = 0
    denied: int = 0
    """Datagrams dropped because the destination is not allowed, or has no address."""
    strangers: int = 0
    """Datagrams dropped because they came from a host to which the client has sent nothing."""
    dropped: int = 0
    """Datagrams dropped because there were too many, or because they could not be sent or were rejected."""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The literal addresses that a host and a port stand for, checked. Raises Failure."""

Bind = Callable[[socket.socket], None]
"""Binds a new socket, which has its family, to a local address. Raises OSError."""

Deliver = Callable[[str, int, bytes], bool]
"""Takes a datagram and the literal address and port it comes from; tells whether it could be passed on."""


def _uncounted(size: int) -> None:
    """Lets everything pass."""


class UdpOutlet:
    """IPv4 and IPv6 sockets, opened when needed."""

    def __init__(
        self,
        resolve: Resolve,
        bind: Bind,
        deliver: Deliver,
        *,
        carried: Callable[[int], None] = _uncounted,
        owner: str,
    ) -> None:
        """`carried` counts bytes, and raises OSError where no more may pass. `owner` is named in the log."""
        self._resolve, self._bind, self._deliver = resolve, bind, deliver
        self._carried = carried
        self._owner = owner
        self._sockets: dict[int, asyncio.DatagramTransport] = {}
        self._peers: BoundedTable[tuple[str, int], tuple[float, str | None]] = BoundedTable(MAX_PEERS)
        """Time of the lookup and address (None where denied) of each destination, by host and port as they are asked
        for."""
        self._hosts: BoundedTable[str, None] = BoundedTable(MAX_PEERS)
        """Addresses whose answers are accepted, the oldest first."""
        self._lookups: set[asyncio.Task[None]] = set()
        self._waiting = 0
        """Bytes of the datagrams that wait for a lookup."""
        self.counters = UdpCounters()

    def close(self) -> None:
        """Cancels the lookups, and closes the sockets."""
        for task in self._lookups:
            task.cancel()
        for transport in self._sockets.values():
            transport.abort()

    def send(self, host: str, port: int, data: bytes) -> None:
        """Sends a datagram, after a lookup where there was none lately; drops it where that is not possible."""
        known_at, address = self._peers.get((host, port)) or (float("-inf"), None)
        if time.monotonic() - known_at < PEER_LIFETIME and (address is None or self._is_open(address)):
            self._send(address, port, data)
        elif len(self._lookups) < MAX_LOOKUPS and self._waiting + len(data) <= MAX_WAITING:
            task = asyncio.get_running_loop().create_task(self._look_up(host, port, data))
            self._lookups.add(task)
            self._waiting += len(data)
            task.add_done_callback(lambda done: self._on_looked_up(done, len(data)))
        else:
            self.counters.dropped += 1

    # --- lookups ---

    def _on_looked_up(self, task: "asyncio.Task[None]", size: int) -> None:
        self._lookups.discard(task)
        self._waiting -= size

    async def _look_up(self, host: str, port: int, data: bytes) -> None:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                address: str | None = await self._address_of(host, port)
        except (Failure, OSError) as error:  # TimeoutError is an OSError
            log.info("%s: udp, %s: %s", self._owner, Request(Kind.DIAL, host, port), error)
            address = None
        self._peers.put((host, port), (time.monotonic(), address))
        self._send(address, port, data)

    async def _address_of(self, host: str, port: int) -> str:
        """The first allowed address of a host for which a socket can be opened. Raises Failure and OSError."""
        error: OSError | None = None
        for address in await self._resolve(host, port):
            try:
                await self._open_for(address)
            except OSError as no_socket:
                error = no_socket
                continue
            self._hosts.put(address, None)
            return address
        raise error or OSError("no address")

    # --- sockets ---

    def _send(self, address: str | None, port: int, data: bytes) -> None:
        if address is None:
            self.counters.denied += 1
            return
        transport = self._sockets[family_of(address)]
        if cast("asyncio.WriteTransport", transport).get_write_buffer_size() > MAX_WAITING:
            self.counters.dropped += 1
            return
        try:
            self._carried(len(data))
            place = address_infos(address, port, socket.SOCK_DGRAM)[0][4]
            transport.sendto(data, place)
        except OSError:
            self.counters.dropped += 1
        else:
            self.counters.sent += 1

    def _is_open(self, address: str) -> bool:
        return address in self._hosts and family_of(address) in self._sockets

    async def _open_for(self, address: str) -> None:
        family = family_of(address)
        if family in self._sockets:
            return
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            self._bind(sock)
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Receiver(self, family), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        if family in self._sockets:  # another lookup was faster
            transport.abort()
        else:
            self._sockets[family] = transport

    def receive(self, data: bytes, host: str, port: int) -> None:
        """Takes a datagram that has arrived, and passes it on if its sender may answer."""
        if host not in self._hosts:
            self.counters.strangers += 1
        elif self._may_pass(len(data)) and self._deliver(host, port, data):
            self.counters.received += 1
        else:
            self.counters.dropped += 1

    def _may_pass(self, size: int) -> bool:
        try:
            self._carried(size)
        except OSError:
            return False
        return True

    def on_error(self, error: Exception, family: int) -> None:
        """Counts a datagram that the system could not send, or that a peer rejected (ICMP port unreachable).

        A socket whose address or interface is gone is closed; the next datagram opens another one.
        """
        self.counters.dropped += 1
        if isinstance(error, OSError) and error.errno in _GONE and family in self._sockets:
            self._sockets.pop(family).abort()


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, outlet: UdpOutlet, family: int) -> None:
        self._outlet, self._family = outlet, family

    def datagram_received(self, data: bytes, addr: tuple[str, int] | tuple[str, int, int, int]) -> None:
        self._outlet.receive(data, addr[0], addr[1])

    def error_received(self, exc: Exception) -> None:
        self._outlet.on_error(exc, self._family)
