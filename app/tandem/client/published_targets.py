"""What a client does with a stream that its server opens: it connects to the target of the publication, and relays."""

import asyncio
import logging
from collections.abc import Sequence

from tandem.base.addresses import parse_host_port
from tandem.client.connections import ConnectionTable
from tandem.config.publish_section import PublishConfig
from tandem.dialing.dialer import Dialed, within_dial_timeout
from tandem.dialing.resolver import Resolver
from tandem.dialing.udp_outlet import UdpOutlet
from tandem.exchange.arrival import Arrival, Protocol, read_arrival
from tandem.exchange.failures import Failure, rule_failure
from tandem.exchange.proxy_head import proxy_head
from tandem.exchange.request import Answer, RequestError, failed
from tandem.exchange.stream_datagrams import StreamDatagrams
from tandem.routing.ways_out import AnyWay
from tandem_socks import Relay, Reply
from tandem_transport import TransportError
from tandem_transport.driver import Stream

log = logging.getLogger("tandem.client")

_HEAD_TIMEOUT = 30.0
"""Seconds in which the head of a stream must arrive."""

VIA = "published"
"""How the status names the way of what arrives at a published port."""


class PublishedTargets:
    """The targets of all publications of a client. Only they are reached, whatever the server asks for."""

    def __init__(self, sections: Sequence[PublishConfig], connections: ConnectionTable) -> None:
        self._sections = sections
        self._connections = connections
        self._way = AnyWay()
        self._resolver = Resolver()

    async def serve(self, stream: Stream) -> None:
        """Serves one stream until it ends; errors are logged."""
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT):
                arrival = await read_arrival(stream)
            await self._answer(stream, arrival)
        except (TimeoutError, RequestError, TransportError) as error:
            log.debug("published: stream %d: %s", stream.stream_id, error)
            stream.reset()
        except asyncio.CancelledError:
            stream.reset()
            raise
        except Exception:  # a bug here must not leave the server waiting
            log.exception("published: stream %d", stream.stream_id)
            stream.reset()

    async def _answer(self, stream: Stream, arrival: Arrival) -> None:
        try:
            section = self._find(arrival)
            if arrival.protocol is Protocol.TCP:
                await self._serve_tcp(stream, arrival, section)
            else:
                await self._serve_udp(stream, arrival, section)
        except Failure as failure:
            log.info("published: %s: %s", arrival, failure)
            await stream.write(failed(failure).encode())
            stream.finish()
            while await stream.read():
                pass

    def _find(self, arrival: Arrival) -> PublishConfig:
        for section in self._sections:
            if section.name == arrival.name and arrival.protocol.name.lower() in section.protocols:
                return section
        raise rule_failure(f"this client does not publish {arrival.without_target}")

    # --- TCP ---

    async def _serve_tcp(self, stream: Stream, arrival: Arrival, section: PublishConfig) -> None:
        dialed = await within_dial_timeout(section.target, self._dial(section))
        try:
            if _wants_head(arrival, section):
                await dialed.tcp.write(proxy_head(arrival))
            await stream.write(Answer(Reply.SUCCEEDED, dialed.bound_host, dialed.bound_port).encode())
        except OSError as error:  # TransportError may be one
            dialed.tcp.reset()
            raise RequestError(str(error)) from error
        relay = Relay(dialed.tcp, stream)
        self._connections.open(arrival, relay.result, VIA)
        try:
            await relay.run()
        finally:
            self._connections.close(arrival, relay.result, VIA)

    async def _dial(self, section: PublishConfig) -> Dialed:
        host, port = _target(section)
        return await self._way.dial(await self._resolve(host, port), port)

    async def _resolve(self, host: str, _: int) -> tuple[str, ...]:
        return await self._resolver.resolve_target(host, VIA)

    # --- UDP ---

    async def _serve_udp(self, stream: Stream, arrival: Arrival, section: PublishConfig) -> None:
        host, port = _target(section)
        head = proxy_head(arrival) if _wants_head(arrival, section) else b""

        def deliver(_host: str, _port: int, data: bytes) -> bool:
            datagrams.send(data)
            return True

        outlet = UdpOutlet(self._resolve, self._way.bind, deliver, owner=arrival.without_target)
        datagrams = StreamDatagrams(stream, lambda data: outlet.send(host, port, head + data))
        try:
            await stream.write(Answer(Reply.SUCCEEDED).encode())
            while await stream.read():
                pass
        finally:
            datagrams.stop()
            outlet.close()


def _target(section: PublishConfig) -> tuple[str, int]:
    return parse_host_port(section.target or "", what="target")


def _wants_head(arrival: Arrival, section: PublishConfig) -> bool:
    return arrival.wants_head or section.proxy_protocol
