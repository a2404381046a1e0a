"""Where requests go: through the session, or past it, with real sockets on loopback."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from tandem.config.client_sections import RouteConfig
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.tcp_stream import TcpStream
from tandem.exchange.tally import Tally
from tandem.routing.router import Router, Ways
from tandem.routing.routes import Routes
from tandem.routing.ways_out import LinkPlace
from tandem_socks import Association, Binding, Command, FarReset, Opened, Receive, Reply, Request, SocksError
from tandem_socks.tcp.connection import reset_socket
from tandem_transport.driver import LocalAddress

LOCAL, REMOTE = "127.0.0.1", "192.168.1.9"


class Session:
    """The far side of the session, which remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent: list[tuple[str, int, bytes]] = []
        self.is_closed = asyncio.Event()
        self.is_refusing = False
        self.receive: Receive

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        self.asked.append(str(request))
        raise SocksError(Reply.GENERAL_FAILURE, "the session was asked")

    async def resolve(self, request: Request) -> str:
        self.asked.append(str(request))
        return "192.0.2.1"

    async def bind(self, request: Request) -> Binding:
        self.asked.append(str(request))
        raise SocksError(Reply.GENERAL_FAILURE, "the session was asked")

    async def associate(self, request: Request, receive: Receive) -> Association:
        self.asked.append("udp")
        if self.is_refusing:
            raise SocksError(Reply.GENERAL_FAILURE, "no session")
        self.receive = receive
        return self

    def send(self, host: str, port: int, data: bytes) -> None:
        self.sent.append((host, port, data))

    async def wait_closed(self) -> None:
        await self.is_closed.wait()

    def close(self) -> None:
        self.is_closed.set()


class Meter:
    """The cap of a link: counts, and shuts the link at `limit` bytes."""

    def __init__(self) -> None:
        self.carried, self.limit = 0, 1 << 40

    def on_carried(self, size: int) -> bool:
        self.carried += size
        return self.carried >= self.limit

    def problem(self) -> str:
        return "cap reached" if self.carried >= self.limit else ""


class Bench:
    """A router, and what stands around it."""

    def __init__(self, *pairs: tuple[str, str], allow: str = "") -> None:
        self.session, self.is_out, self.tally = Session(), False, Tally()
        guard = AddressGuard([ipaddress.ip_network(allow)] if allow else [])
        made = Routes([RouteConfig(match=match, via=via) for match, via in pairs])
        self.gate = Meter()
        links = {"wifi": LinkPlace("wifi", lambda: [LocalAddress("127.0.0.2", None)], self.gate)}
        self.other = Session()
        ways = Ways({"berlin": self.other}.get, links.get)
        self.router = Router(self.session, made, ways, guard, tally=self.tally, is_out=lambda: self.is_out)

    async def connect(self, host: str, port: int, peer: str = LOCAL, first: bytes = b"") -> Opened:
        return await self.router.connect(Request(Command.CONNECT, host, port, peer=peer), first, is_told=True)


@contextlib.asynccontextmanager
async def echo() -> AsyncGenerator[int]:
    """A port that says who has connected, and then what it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{writer.get_extra_info('peername')[0]}\n".encode())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, LOCAL, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def everything(opened: Opened) -> bytes:
    opened.stream.finish()
    found = b""
    while data := await opened.stream.read():
        found += data
    return found


async def test_what_is_direct_is_dialed_from_this_machine_and_a_link_from_its_address() -> None:
    bench = Bench(("localhost:*", "direct"), ("127.0.0.1", "link:wifi"), ("gone.example", "link:lte"))
    async with echo() as port:
        opened = await bench.connect("localhost", port, first=b"hello ")
        await opened.stream.write(b"world")
        assert opened.via == "direct"
        assert await everything(opened) == b"127.0.0.1\nhello world"
        opened = await bench.connect("127.0.0.1", port)
        assert opened.via == "link:wifi"
        assert await everything(opened) == b"127.0.0.2\n"
    with pytest.raises(SocksError, match="there is no link lte now"):
        await bench.connect("gone.example", 1)
    assert not bench.session.asked


async def test_what_is_blocked_goes_nowhere_and_the_rest_to_the_session() -> None:
    bench = Bench(("*:25", "block"), ("web.forward", "direct"))
    with pytest.raises(SocksError, match=r"local: route 1, \*:25 blocks it") as caught:
        await bench.connect("mail.example", 25)
    assert caught.value.reply is Reply.CONNECTION_NOT_ALLOWED_BY_RULESET
    for host in ("mail.example", "web.forward"):
        with pytest.raises(SocksError, match="the session was asked"):
            await bench.connect(host, 26)
    with pytest.raises(SocksError, match="blocks it"):
        await bench.router.bind(Request(Command.BIND, "mail.example", 25, peer=LOCAL))
    assert bench.session.asked == ["mail.example:26", "web.forward:26"]
    assert bench.tally.counts == {"local: connection not allowed by ruleset": 1}


@pytest.mark.parametrize("via", ["direct", "link:wifi"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "10.0.0.1", "192.168.1.1", "::ffff:127.0.0.1"])
async def test_clients_on_other_machines_do_not_get_into_this_network(host: str, via: str) -> None:
    bench = Bench(("*", via))
    async with echo() as port:
        with pytest.raises(SocksError, match="is in a network of this machine") as caught:
            await bench.connect(host, port, peer=REMOTE)
        assert caught.value.reply is Reply.CONNECTION_NOT_ALLOWED_BY_RULESET
        with pytest.raises(SocksError, match="is in a network of this machine"):
            await bench.router.resolve(Request(Command.RESOLVE, host, 0, peer=REMOTE))


async def test_unless_the_owner_allows_it() -> None:
    bench = Bench(("*", "direct"), allow="127.0.0.0/8")
    async with echo() as port:
        opened = await bench.connect("127.0.0.1", port, peer=REMOTE)
        assert await everything(opened) == b"127.0.0.1\n"


async def test_an_address_is_looked_up_where_connections_are_made() -> None:
    bench = Bench(("localhost", "direct"))
    assert await bench.router.resolve(Request(Command.RESOLVE, "localhost", 0, peer=LOCAL)) in ("127.0.0.1", "::1")
    assert await bench.router.resolve(Request(Command.RESOLVE, "a.example", 0, peer=LOCAL)) == "192.0.2.1"


async def test_a_route_to_a_further_server_leads_there_and_nowhere_else() -> None:
    bench = Bench(("a.example", "server:berlin"), ("b.example", "server:gone"))
    with pytest.raises(SocksError, match="the session was asked"):
        await bench.connect("a.example", 443)
    assert await bench.router.resolve(Request(Command.RESOLVE, "a.example", 0, peer=LOCAL)) == "192.0.2.1"
    with pytest.raises(SocksError, match="the session was asked"):
        await bench.router.bind(Request(Command.BIND, "a.example", 1, peer=LOCAL))
    with pytest.raises(SocksError, match=r"no \[\[exit\]\] gone"):
        await bench.connect("b.example", 443)
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=LOCAL)
    association = await bench.router.associate(request, lambda host, port, data: None)
    association.send("a.example", 9, b"there")
    association.send("b.example", 9, b"nowhere")
    association.send("c.example", 9, b"here")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    association.close()
    assert bench.other.asked == ["a.example:443", "a.example:0", "a.example:1", "udp"]
    assert bench.other.sent == [("a.example", 9, b"there")]
    assert bench.session.sent == [("c.example", 9, b"here")]


async def test_a_refusal_says_that_it_happened_here() -> None:
    bench = Bench(("*", "direct"))
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))  # bound, and nobody listens
        with pytest.raises(SocksError, match=r"local: .*ECONNREFUSED") as caught:
            await bench.connect(LOCAL, taken.getsockname()[1])
    assert caught.value.reply is Reply.CONNECTION_REFUSED
    assert bench.tally.counts == {"local: ECONNREFUSED": 1}


async def test_an_outage_sends_new_connections_past_the_server_but_not_what_is_blocked() -> None:
    bench = Bench(("*:25", "block"))
    bench.is_out = True
    async with echo() as port:
        opened = await bench.connect(LOCAL, port)
        assert opened.via == "direct"
        assert await everything(opened) == b"127.0.0.1\n"
        with pytest.raises(SocksError, match="is in a network of this machine"):
            await bench.connect(LOCAL, port, peer=REMOTE)
    with pytest.raises(SocksError, match="blocks it"):
        await bench.connect("mail.example", 25)


class UdpEcho(asyncio.DatagramProtocol):
    """Answers each datagram with the address that it came from."""

    heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard += 1
        self._transport.sendto(addr[0].encode() + b" " + data, addr)


async def test_an_outage_shows_nobody_this_address_whose_way_was_decided() -> None:
    """What is blocked in every spelling, what is no name, and what a UDP association has used before."""
    bench = Bench(("*", "block"))
    bench.is_out = True
    for host in ("2001:db8::1%1", "a\\032b.example", "web.forward"):
        with pytest.raises(SocksError, match="the session was asked"):
            await bench.connect(host, 443)
    bench = Bench(("x.example", "block"))
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=LOCAL)
    association = await bench.router.associate(request, lambda host, port, data: None)
    target, echo_udp = await asyncio.get_running_loop().create_datagram_endpoint(UdpEcho, (LOCAL, 0))
    host, port = target.get_extra_info("sockname")
    association.send(host, port, b"hello")
    bench.is_out = True
    association.send(host, port, b"again")
    await asyncio.sleep(0.1)
    assert [data for _, _, data in bench.session.sent] == [b"hello", b"again"]
    assert echo_udp.heard == 0
    association.close()
    target.close()


async def test_what_goes_over_a_link_counts_for_its_cap_and_ends_with_it() -> None:
    bench = Bench(("*", "link:wifi"))
    async with echo() as port:
        opened = await bench.connect(LOCAL, port, first=b"x" * 1000)
        assert await everything(opened) == b"127.0.0.2\n" + b"x" * 1000
        assert bench.gate.carried == 2 * 1000 + len("127.0.0.2\n")
        opened = await bench.connect(LOCAL, port)
        bench.gate.limit = bench.gate.carried + 1500
        await opened.stream.write(b"x" * 1000)
        with pytest.raises(FarReset, match="cap reached"):
            await opened.stream.write(b"x" * 1000)
        opened.stream.reset()
        with pytest.raises(SocksError, match="link wifi: cap reached"):
            await bench.connect(LOCAL, port)


async def test_a_link_tries_the_addresses_that_it_has_a_family_for() -> None:
    bench = Bench(("*", "link:wifi"))
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))
        way = bench.router.direct(bench.router.decide(Request(Command.CONNECT, "a.example", 1, peer=LOCAL)))
        with pytest.raises(SocksError, match="ECONNREFUSED"):
            await way._way.dial(["::1", LOCAL], taken.getsockname()[1])  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(SocksError, match="ENETUNREACH"):
        await way._way.dial(["::1"], 1)  # pyright: ignore[reportPrivateUsage]


async def test_an_answer_is_known_however_its_sender_was_spelled() -> None:
    bench = Bench(("*", "direct"))
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=LOCAL)
    association = await bench.router.associate(request, lambda host, port, data: heard.put_nowait(data))
    target, _ = await asyncio.get_running_loop().create_datagram_endpoint(UdpEcho, (LOCAL, 0))
    for host in ("::ffff:127.0.0.1", "::FFFF:7f00:1", "127.0.0.1"):
        association.send(host, target.get_extra_info("sockname")[1], b"hello")
        assert await asyncio.wait_for(heard.get(), 60) == b"127.0.0.1 hello"
    association.close()
    target.close()


async def test_each_datagram_takes_the_way_of_its_destination() -> None:
    bench = Bench(("127.0.0.1", "direct"), ("127.0.0.3", "link:wifi"), ("*:53", "block"))
    heard: asyncio.Queue[tuple[str, int, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=LOCAL)
    association = await bench.router.associate(request, lambda host, port, data: heard.put_nowait((host, port, data)))
    assert not bench.session.asked, "nothing is opened before it is needed"
    targets = [await loop.create_datagram_endpoint(UdpEcho, (host, 0)) for host in ("127.0.0.1", "127.0.0.3")]
    for target, _ in targets:
        host, port = target.get_extra_info("sockname")
        association.send(host, port, b"hello")
        expected = b"127.0.0.1 hello" if host == "127.0.0.1" else b"127.0.0.2 hello"
        assert await asyncio.wait_for(heard.get(), 60) == (host, port, expected)
    association.send("a.example", 53, b"blocked")
    for text in (b"one", b"two"):
        association.send("a.example", 54, text)
    closed = asyncio.create_task(association.wait_closed())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    association.send("a.example", 54, b"three")
    assert bench.session.asked == ["udp"]
    assert bench.session.sent == [("a.example", 54, text) for text in (b"one", b"two", b"three")]
    bench.session.receive("192.0.2.1", 54, b"answer")
    assert heard.get_nowait() == ("192.0.2.1", 54, b"answer")
    assert not closed.done()
    bench.session.is_closed.set()
    await asyncio.wait_for(closed, 60)
    association.close()
    for target, _ in targets:
        target.close()


async def test_datagrams_of_other_machines_do_not_get_into_this_network() -> None:
    bench = Bench(("*", "direct"))
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=REMOTE)
    heard: list[bytes] = []
    association = await bench.router.associate(request, lambda host, port, data: heard.append(data))
    target, _ = await asyncio.get_running_loop().create_datagram_endpoint(UdpEcho, (LOCAL, 0))
    host, port = target.get_extra_info("sockname")
    association.send(host, port, b"hello")
    await asyncio.sleep(0.2)
    assert not heard
    association.close()
    target.close()


async def test_a_server_without_a_session_takes_no_other_way_with_it() -> None:
    bench = Bench(("127.0.0.1", "direct"))
    bench.session.is_refusing = True
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=LOCAL)
    association = await bench.router.associate(request, lambda host, port, data: heard.put_nowait(data))
    target, _ = await asyncio.get_running_loop().create_datagram_endpoint(UdpEcho, (LOCAL, 0))
    host, port = target.get_extra_info("sockname")
    for _ in range(2):
        association.send("a.example", 9, b"lost")
        await asyncio.sleep(0.01)
        association.send(host, port, b"hello")
        assert await asyncio.wait_for(heard.get(), 60) == b"127.0.0.1 hello"
    assert bench.session.asked == ["udp", "udp"], "each datagram tries again"
    bench.session.is_refusing = False
    association.send("a.example", 9, b"found")
    await asyncio.sleep(0.01)
    assert bench.session.sent == [("a.example", 9, b"found")]
    association.close()
    target.close()


async def test_without_routes_one_port_at_the_server_is_all() -> None:
    bench = Bench()
    request = Request(Command.UDP_ASSOCIATE, "0.0.0.0", 0, peer=REMOTE)
    assert await bench.router.associate(request, lambda host, port, data: None) is bench.session


async def test_the_reset_of_a_connection_past_the_session_is_passed_on() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset_socket(cast("socket.socket", writer.get_extra_info("socket")))
        writer.transport.abort()

    server = await asyncio.start_server(serve, LOCAL, 0)
    opened = await Bench(("*", "direct")).connect(LOCAL, server.sockets[0].getsockname()[1])
    stream = opened.stream
    assert isinstance(stream, TcpStream)
    told: list[bool] = []
    stream.watch_reset(lambda: told.append(stream.is_reset))
    await stream.write(b"x" * (await stream.room()))
    with pytest.raises(FarReset):
        await stream.read()
    assert stream.is_reset
    assert not stream.is_suspended
    server.close()
