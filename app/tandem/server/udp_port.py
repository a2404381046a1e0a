"""The far side of UDP ASSOCIATE: a server's UDP port for one client."""

import socket

from tandem.base.addresses import source_of
from tandem.dialing.dialer import address_infos
from tandem.dialing.udp_outlet import UdpCounters, UdpOutlet
from tandem.exchange.pieces import decode_datagram, encode_datagram
from tandem.exchange.request import Kind, Request
from tandem.exchange.stream_datagrams import StreamDatagrams
from tandem.server.access import Access
from tandem.server.rates import Bucket
from tandem_transport.driver import Stream


class UdpPort:
    """One client's port: an outlet whose datagrams travel in DATAGRAM frames beside a stream."""

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
        self._datagrams: StreamDatagrams
        self._access = access
        self._client = client
        self._sources = sources
        self._outlet = UdpOutlet(self._resolve, self._bind, self._deliver, owner=client)

    @property
    def counters(self) -> UdpCounters:
        """What has become of the datagrams."""
        return self._outlet.counters

    def start(self) -> None:
        """Starts to forward the datagrams that the client sends."""
        self._datagrams = StreamDatagrams(self._stream, self._send)

    def close(self) -> None:
        """Stops forwarding, and closes the sockets."""
        self._datagrams.stop()
        self._outlet.close()

    # --- inside ---

    def _send(self, datagram: bytes) -> None:
        decoded = decode_datagram(datagram)
        if decoded is None:
            return
        host, port, data = decoded
        if self._up.admits(len(data)):
            self._outlet.send(host, port, data)
        else:
            self.counters.dropped += 1

    async def _resolve(self, host: str, port: int) -> tuple[str, ...]:
        return (await self._access.route(self._client, Request(Kind.UDP, host, port))).addresses

    def _bind(self, sock: socket.socket) -> None:
        any_address = "0.0.0.0" if sock.family == socket.AF_INET else "::"
        local = source_of(sock.family, self._sources) or any_address
        sock.bind(address_infos(local, 0, socket.SOCK_DGRAM)[0][4])

    def _deliver(self, host: str, port: int, data: bytes) -> bool:
        """Forwards a datagram that arrived at the port to the client."""
        if not self._down.admits(len(data)):
            return False
        self._datagrams.send(encode_datagram(host, port, data))
        return True
