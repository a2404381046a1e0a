"""What a server does with a stream that a client has opened: dial, listen, or relay datagrams."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from tandem import __version__
from tandem.dialing.dialer import Dialed, Dialer, within_dial_timeout
from tandem.exchange.failures import Failure, Hop, rule_failure
from tandem.exchange.link_names import LinkNames
from tandem.exchange.request import Answer, Kind, Request, RequestError, failed, read_request
from tandem.exchange.speedtest import DIRECTIONS
from tandem.exchange.tally import Tally
from tandem.server.access import Access
from tandem.server.bound_port import Admits, BoundPort
from tandem.server.publications import Publications
from tandem.server.quotas import ClientLimits
from tandem.server.rates import ClientRates, RatedStream
from tandem.server.speedtest import serve as serve_speedtest
from tandem.server.udp_port import UdpPort
from tandem_socks import Relay, Reply, first_of_two
from tandem_transport import ClientSession, TransportError
from tandem_transport.driver import Stream, source_of_address

log = logging.getLogger("tandem.server")

T = TypeVar("T")

_REQUEST_TIMEOUT = 10.0

_ANYWHERE = "192.0.2.1"
"""An address of TEST-NET-1 (RFC 5737) to find the local address of the default route; nothing is sent to it."""


class StreamService:
    """Serves the streams that clients open."""

    def __init__(
        self,
        access: Access,
        dialer: Dialer,
        limits: ClientLimits,
        rates: ClientRates,
        publications: Publications,
        *,
        tally: Tally,
        names: LinkNames,
        sources: tuple[str, ...] = (),
        bind: str = "named",
    ) -> None:
        """`bind`: `off`, `named` (a port waits for the host that the client has named), or `anyone`.

        `tally` counts the failed requests; `names` stores the names that clients give their links.
        """
        self._tally = tally
        self._names = names
        self._access = access
        self._dialer = dialer
        self._limits = limits
        self._rates = rates
        self._publications = publications
        self._sources = sources
        self._bind = bind

    async def serve(self, session: ClientSession, stream: Stream) -> None:
        """Serves one stream until it ends; errors are logged."""
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                request = await read_request(stream)
            await self._answer(session, stream, request)
        except (TimeoutError, RequestError, TransportError) as error:
            log.debug("%s: stream %d: %s", session.client_name, stream.stream_id, error)
            stream.reset()
        except asyncio.CancelledError:
            stream.reset()
            raise
        except Exception:  # a bug here must not leave the client waiting
            log.exception("%s: stream %d", session.client_name, stream.stream_id)
            stream.reset()

    async def refuse(self, stream: Stream, why: str) -> None:
        """Answers a stream without serving it: the session is about to end."""
        with contextlib.suppress(TransportError):
            await self._say(stream, Failure(Reply.GENERAL_FAILURE, Hop.SESSION, why))

    async def _answer(self, session: ClientSession, stream: Stream, request: Request) -> None:
        client = session.client_name
        try:
            with self._limits.stream(client):
                await self._limits.wait_turn(client)
                match request.kind:
                    case Kind.DIAL | Kind.FORWARD:
                        await self._serve_connect(session, stream, request)
                    case Kind.BIND:
                        await self._serve_bind(session, stream, request)
                    case Kind.UDP:
                        await self._serve_udp(session, stream)
                    case Kind.PUBLISH:
                        await self._serve_publish(session, stream, request.host)
                    case Kind.SPEEDTEST:
                        await self._serve_speedtest(client, stream, request.host)
                    case Kind.LINKS:
                        await self._names.take(session, stream)
                        await _end_with(stream, Answer(Reply.SUCCEEDED))
                    case Kind.RESOLVE:
                        route = await within_dial_timeout(request, self._access.route(client, request))
                        await _end_with(stream, Answer(Reply.SUCCEEDED, route.addresses[0]))
                    case Kind.WHO_AM_I:
                        await _end_with(stream, _who(session))
        except Failure as failure:
            self._tally.add(failure)
            log.info("%s: %s: %s", client, request, failure)
            await self._say(stream, failure)

    async def _say(self, stream: Stream, failure: Failure) -> None:
        await _end_with(stream, failed(failure))
        while await stream.read():
            pass

    # --- kinds ---

    async def _serve_connect(self, session: ClientSession, stream: Stream, request: Request) -> None:
        dialed = await within_dial_timeout(request, self._dial(session.client_name, request))
        await self._carry(session, stream, request, dialed)

    async def _serve_bind(self, session: ClientSession, stream: Stream, request: Request) -> None:
        toward, admits = await self._expected(session.client_name, request)
        with self._limits.hold(session.client_name, Kind.BIND):
            port = BoundPort.open(toward, self._sources, admits)
            try:
                await stream.write(Answer(Reply.SUCCEEDED, port.host, port.port).encode())
                dialed = await _unless_it_ends(stream, port.accepted())
            finally:
                port.close()
        await self._carry(session, stream, request, dialed)

    async def _serve_udp(self, session: ClientSession, stream: Stream) -> None:
        with self._limits.hold(session.client_name, Kind.UDP):
            buckets = self._rates.of(session.client_name)
            port = UdpPort(stream, self._access, session.client_name, self._sources, buckets)
            port.start()
            try:
                await stream.write(Answer(Reply.SUCCEEDED).encode())
                while await stream.read():
                    pass
                stream.finish()
            finally:
                port.close()
                log.info("%s: udp: %s", session.client_name, port.counters)

    async def _serve_publish(self, session: ClientSession, stream: Stream, name: str) -> None:
        with self._limits.hold(session.client_name, Kind.PUBLISH):
            async with self._publications.offered(session, stream, name) as (host, port):
                await stream.write(Answer(Reply.SUCCEEDED, host, port).encode())
                while await stream.read():  # until the client withdraws it
                    pass
            stream.finish()

    async def _serve_speedtest(self, client: str, stream: Stream, direction: str) -> None:
        if direction not in DIRECTIONS:
            raise rule_failure(f"a speedtest goes {' or '.join(DIRECTIONS)}, not {direction!r}")
        with self._limits.hold(client, Kind.SPEEDTEST):
            await stream.write(Answer(Reply.SUCCEEDED).encode())
            await serve_speedtest(RatedStream(stream, self._rates.of(client)), direction)

    async def _carry(self, session: ClientSession, stream: Stream, request: Request, dialed: Dialed) -> None:
        began = time.monotonic()
        try:
            await stream.write(Answer(Reply.SUCCEEDED, dialed.bound_host, dialed.bound_port).encode())
        except TransportError:
            dialed.tcp.reset()
            raise
        rated = RatedStream(stream, self._rates.of(session.client_name))
        result = await Relay(dialed.tcp, rated).run()
        log.info(
            "%s: %s: %d bytes up, %d down, %.1f s, ended by %s",
            session.client_name,
            request,
            result.bytes_to_tcp,
            result.bytes_to_stream,
            time.monotonic() - began,
            result.ended_by,
        )

    # --- reaching out ---

    async def _dial(self, client: str, request: Request) -> Dialed:
        route = await self._access.route(client, request)
        return await self._dialer.dial(route.addresses, route.port)

    async def _expected(self, client: str, request: Request) -> tuple[str, Admits]:
        """An address that must reach the port that a client binds, and the check of its peers. Raises Failure."""
        if self._bind == "off":
            raise rule_failure("this server does not listen for clients (`bind`)")
        if request.host not in ("0.0.0.0", "::"):
            addresses = (await self._access.route(client, request)).addresses
            return addresses[0], lambda host, _: _is_among(host, addresses)
        if self._bind == "anyone":
            return _ANYWHERE, lambda host, port: self._may_come(client, host, port)
        raise rule_failure("a port that waits for anyone is not offered here (`bind`); name the host that will connect")

    async def _may_come(self, client: str, host: str, port: int) -> bool:
        """Whether a peer may connect to a client's port: it may where the client may reach the peer."""
        try:
            await self._access.route(client, Request(Kind.BIND, host, port))
        except Failure as failure:
            log.info("%s: %s may not connect to its port: %s", client, Request(Kind.DIAL, host, port), failure)
            return False
        return True


async def _end_with(stream: Stream, answer: Answer) -> None:
    """Sends the last answer on a stream, and finishes it."""
    await stream.write(answer.encode())
    stream.finish()


def _who(session: ClientSession) -> Answer:
    """The answer to WHO_AM_I: the client's address as seen here, and the server's version and clock."""
    paths = session.connection.stats(now=time.monotonic()).paths
    heard = [source for path in paths if path.bytes_received and (source := source_of_address(path.address))]
    detail = json.dumps({"version": __version__, "time": round(time.time(), 1)})
    if not heard:
        return Answer(Reply.SUCCEEDED, detail=detail)
    host, port = heard[0].remote[:2]
    return Answer(Reply.SUCCEEDED, host, port, detail=detail)


async def _unless_it_ends(stream: Stream, coming: Coroutine[Any, Any, Dialed]) -> Dialed:
    """The result, unless the client sends data or ends first. Raises what `Stream.read` raises, and RequestError."""
    connected, ended = await first_of_two(coming, stream.read(1))
    if not connected.cancelled():
        return connected.result()
    ended.result()
    raise RequestError("the client spoke, or ended, before anybody had connected")


async def _is_among(host: str, addresses: tuple[str, ...]) -> bool:
    return host in addresses
