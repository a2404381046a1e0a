"""The far side of UDP ASSOCIATE: a server's UDP port for one client.

A datagram from the client to a host opens the port for that host's answers; datagrams from other hosts are dropped
(address-dependent filtering, RFC 4787 section 5).
"""

import asyncio
import logging
import socket
import time
from dataclasses import dataclass
from typing import cast

from tandem.base.addresses import source_of
from tandem.exchange.failures import Failure
from tandem.exchange.pieces import Cutter, Joiner, decode_datagram, encode_datagram
from tandem.exchange.request import Kind, Request
from tandem.server.access import Access
from tandem.server.dialer import DIAL_TIMEOUT, address_infos
from tandem.server.rates import Bucket
from tandem_transport import BoundedTable
from tandem_transport.driver import Stream, family_of

log = logging.getLogger("tandem.server")

MAX_PEERS = 1024
"""Limit of destinations that one port remembers; the oldest are dropped."""

MAX_LOOKUPS = 32
"""Limit of simultaneous lookups of one port; datagrams that need another lookup are dropped."""

PEER_LIFETIME = 60.0
"""Seconds after which a destination is looked up and checked again."""

MAX_WAITING = 256 << 10
"""Limit of bytes that wait for the kernel, and of bytes that wait for lookups; datagrams beyond it are dropped."""


@dataclass(slots=True)
class UdpCounters:
    """Counts of the datagrams of one UDP port, by what happened to them."""

    sent: int = 0
    received: int = 0
    denied: int = 0
    """Datagrams dropped because the destination is not allowed, or has no address."""
    strangers: int = 0
    """Datagrams dropped because they came from a host to which the client has sent nothing."""
    dropped: int = 0
    """Datagrams dropped because there were too many, or because they could not be sent or were rejected."""


class UdpPort:
    """One client's port: IPv4 and IPv6 sockets, opened when needed."""

    def __init__(
        self,
        stream: Stream,
        access: Access,
        client: str,
        sources: tuple[str, ...],
        buckets: tuple[Bucket, Bucket],
    ) -> None:
        """`sources`: local addresses to send from, one per family. `buckets`: the client's rate, up and down."""
        self._up, self._down = buckets
        self._stream = stream
        self._access = access
        self._client = client
        self._sources = sources
        self._sockets: dict[int, asyncio.DatagramTransport] = {}
        self._peers: BoundedTable[tuple[str, int], tuple[float, str | None]] = BoundedTable(MAX_PEERS)
        """Time of the lookup and address (None where denied) of each destination, by the client's host and port."""
        self._hosts: BoundedTable[str, None] = BoundedTable(MAX_PEERS)
        """Addresses whose answers are accepted, the oldest first."""
        self._lookups: set[asyncio.Task[None]] = set()
        self._waiting = 0
        """Bytes of the datagrams that wait for a lookup."""
        self._cutter, self._joiner = Cutter(), Joiner()
        self.counters = UdpCounters()

    def start(self) -> None:
        """Starts to forward the datagrams that the client sends."""
        self._stream.on_datagram_frame = self._on_piece

    async def close(self) -> None:
        """Stops forwarding, cancels the lookups, and closes the sockets."""
        self._stream.on_datagram_frame = None
        for task in self._lookups:
            task.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)
        for transport in self._sockets.values():
            transport.abort()

    # --- from the client ---

    def _on_piece(self, piece: bytes) -> None:
        datagram = self._joiner.join(piece)
        decoded = decode_datagram(datagram) if datagram is not None else None
        if decoded is None:
            return
        host, port, data = decoded
        if not self._up.admits(len(data)):
            self.counters.dropped += 1
            return
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

    def _on_looked_up(self, task: "asyncio.Task[None]", size: int) -> None:
        self._lookups.discard(task)
        self._waiting -= size

    async def _look_up(self, host: str, port: int, data: bytes) -> None:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                address: str | None = await self._address_of(host, port)
        except (Failure, OSError) as error:  # TimeoutError is an OSError
            log.info("%s: udp, %s: %s", self._client, Request(Kind.DIAL, host, port), error)
            address = None
        self._peers.put((host, port), (time.monotonic(), address))
        self._send(address, port, data)

    async def _address_of(self, host: str, port: int) -> str:
        """The first allowed address of a host for which a socket can be opened. Raises Failure and OSError."""
        route = await self._access.route(self._client, Request(Kind.UDP, host, port))
        error: OSError | None = None
        for address in route.addresses:
            try:
                await self._open_for(address)
            except OSError as no_socket:
                error = no_socket
                continue
            self._hosts.put(address, None)
            return address
        raise error or OSError("no address")

    def _send(self, address: str | None, port: int, data: bytes) -> None:
        if address is None:
            self.counters.denied += 1
            return
        transport = self._sockets[family_of(address)]
        if cast("asyncio.WriteTransport", transport).get_write_buffer_size() > MAX_WAITING:
            self.counters.dropped += 1
            return
        try:
            place = address_infos(address, port, socket.SOCK_DGRAM)[0][4]
            transport.sendto(data, place)
        except OSError:
            self.counters.dropped += 1
        else:
            self.counters.sent += 1

    # --- to the client ---

    def deliver(self, data: bytes, host: str, port: int) -> None:
        """Forwards a datagram that arrived at the port to the client, if its sender may answer."""
        if host not in self._hosts:
            self.counters.strangers += 1
            return
        if not self._down.admits(len(data)):
            self.counters.dropped += 1
            return
        self.counters.received += 1
        pieces = self._cutter.cut(encode_datagram(host, port, data), self._stream.datagram_room)
        for piece in pieces:
            self._stream.send_datagram_frame(piece)

    def on_error(self) -> None:
        """Counts a datagram that the system could not send, or that a peer rejected (ICMP port unreachable)."""
        self.counters.dropped += 1

    # --- sockets ---

    def _is_open(self, address: str) -> bool:
        return address in self._hosts and family_of(address) in self._sockets

    async def _open_for(self, address: str) -> None:
        family = family_of(address)
        if family in self._sockets:
            return
        any_address = "0.0.0.0" if family == socket.AF_INET else "::"
        local = source_of(family, self._sources) or any_address
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Receiver(self), local_addr=(local, 0)
        )
        if family in self._sockets:  # another lookup was faster
            transport.abort()
        else:
            self._sockets[family] = transport


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, port: UdpPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[str, int] | tuple[str, int, int, int]) -> None:
        self._port.deliver(data, addr[0], addr[1])

    def error_received(self, exc: Exception) -> None:
        self._port.on_error()
