"""The near side of UDP ASSOCIATE (RFC 1928 section 7): one UDP port for one client."""

import asyncio
import time
from dataclasses import dataclass
from typing import cast

from tandem_socks.dialects.messages import encode_datagram, parse_datagram
from tandem_socks.errors import SocksError
from tandem_socks.far_side import Association

MAX_WAITING = 256 << 10
"""Limit of bytes that wait for the kernel; datagrams beyond it are dropped."""


@dataclass(slots=True)
class DatagramCounters:
    """Counts of the datagrams of one client, by what happened to them. Bytes are without headers."""

    sent: int = 0
    received: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    strangers: int = 0
    """Datagrams dropped because they came from another address or port than the client's."""
    malformed: int = 0
    """Datagrams dropped because they are fragments (FRAG is not 0), or not UDP requests."""
    dropped: int = 0
    """Datagrams dropped because they were too large, too many, or because the client's port was gone."""


class DatagramPort(asyncio.DatagramProtocol):
    """A UDP port on the local address of the client's control connection; accepts only the client's address.

    The first datagram from that address fixes the client's port too, unless the client has named the port in its
    request.
    """

    def __init__(self, client_host: str, client_port: int = 0) -> None:
        """`client_port` 0: the client's port is not known yet."""
        self._client = (client_host, client_port)
        self._association: Association | None = None
        self._transport: asyncio.DatagramTransport
        self._peer: tuple[str, int] | tuple[str, int, int, int] | None = None
        self.counters = DatagramCounters()
        self.active_at = time.monotonic()

    @classmethod
    async def open(cls, local_host: str, client_host: str, client_port: int) -> "DatagramPort":
        """Opens the socket. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, port = await loop.create_datagram_endpoint(lambda: cls(client_host, client_port), local_addr=(local_host, 0))
        return port

    @property
    def port(self) -> int:
        """The local port number."""
        return int(self._transport.get_extra_info("sockname")[1])

    def attach(self, association: Association) -> None:
        """Sets the association that sends the client's datagrams."""
        self._association = association

    def close(self) -> None:
        """Closes the socket."""
        self._transport.abort()

    def deliver(self, host: str, port: int, data: bytes) -> None:
        """Sends the client a datagram from the far side, with its sender's address and port."""
        self.active_at = time.monotonic()
        if self._peer is None or self._transport.is_closing():
            return
        if cast("asyncio.WriteTransport", self._transport).get_write_buffer_size() > MAX_WAITING:
            self.counters.dropped += 1
            return
        self.counters.received += 1
        self.counters.bytes_down += len(data)
        self._transport.sendto(encode_datagram(host, port, data), self._peer)

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int] | tuple[str, int, int, int]) -> None:
        if not self._is_client(addr[0], addr[1]):
            self.counters.strangers += 1
            return
        try:
            host, port, content = parse_datagram(data)
        except SocksError:
            self.counters.malformed += 1
            return
        self._client, self._peer = (addr[0], addr[1]), addr
        self.active_at = time.monotonic()
        if self._association is not None:
            self.counters.sent += 1
            self.counters.bytes_up += len(content)
            self._association.send(host, port, content)

    def error_received(self, exc: Exception) -> None:
        self.counters.dropped += 1  # too large for this system, or the client's port is gone

    def _is_client(self, host: str, port: int) -> bool:
        return host == self._client[0] and self._client[1] in (0, port)
