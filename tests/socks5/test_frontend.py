"""The listener on loopback, with a far side in memory."""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from tandem_socks import (
    Association,
    Binding,
    FarReset,
    Listener,
    Opened,
    Receive,
    RelayResult,
    Reply,
    Request,
    SocksError,
    SocksFrontend,
    TcpConnection,
)
from tandem_socks.frontend.frontend import admits

GREETING = b"\x05\x01\x00"
REQUEST = b"\x05\x01\x00\x03\x04host\x00\x50"


class Far:
    """A far stream: echoes in capitals, or does what a test says."""

    def __init__(self) -> None:
        self.to_near: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.received = bytearray()
        self.is_finished = asyncio.Event()
        self.was_reset = asyncio.Event()
        self.is_reset = False
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._callback: Callable[[], None] | None = None

    async def read(self) -> bytes:
        data = await self.to_near.get()
        if data is None:
            self.is_reset = True
            raise FarReset("far side: reset")
        return data

    async def write(self, data: bytes) -> None:
        await self.has_room.wait()
        self.received += data

    async def room(self) -> int:
        await self.has_room.wait()
        return 1 << 20

    def finish(self) -> None:
        self.is_finished.set()

    def reset(self) -> None:
        self.was_reset.set()
        self.is_reset = True

    def watch_reset(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    @property
    def is_suspended(self) -> bool:
        return False

    def break_off(self) -> None:
        assert self._callback is not None
        self._callback()


class Bench:
    """A frontend, its far streams and what it was asked for."""

    def __init__(self) -> None:
        self.far = Far()
        self.asked: list[Request] = []
        self.connecting, self.gave_up = asyncio.Event(), asyncio.Event()
        self.may_connect = asyncio.Event()
        self.may_connect.set()
        self.error: SocksError | None = None
        self.closed: asyncio.Queue[RelayResult] = asyncio.Queue()
        self.frontend = SocksFrontend(self, on_closed=lambda _, result, via: self.closed.put_nowait(result))

    async def connect(self, request: Request, first: bytes, *, is_told: bool) -> Opened:
        self.connecting.set()
        try:
            await self.may_connect.wait()
        except asyncio.CancelledError:
            self.gave_up.set()
            raise
        self.asked.append(request)
        self.far.received += first
        if self.error is not None:
            raise self.error
        return Opened(self.far, "192.0.2.9", 999)

    async def resolve(self, request: Request) -> str:
        return "192.0.2.9"

    async def bind(self, request: Request) -> Binding:
        raise SocksError(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, f"no {request}")

    async def associate(self, request: Request, receive: Receive) -> Association:
        raise SocksError(Reply.CONNECTION_NOT_ALLOWED_BY_RULESET, "no UDP")

    async def dial(self, data: bytes = GREETING + REQUEST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.frontend.port)
        writer.write(data)
        return reader, writer

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.dial()
        assert await reader.readexactly(12) == b"\x05\x00\x05\x00\x00\x01\xc0\x00\x02\x09\x03\xe7"
        return reader, writer


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.frontend.listen("127.0.0.1", 0)
    yield made
    await made.frontend.close()


async def test_data_both_ways_and_half_close(bench: Bench) -> None:
    reader, writer = await bench.connected()
    writer.write(b"question")
    writer.write_eof()
    await bench.far.is_finished.wait()
    assert bench.far.received == b"question"
    bench.far.to_near.put_nowait(b"a late answer")
    bench.far.to_near.put_nowait(b"")
    assert await reader.read() == b"a late answer"
    writer.close()
    await writer.wait_closed()
    assert str(bench.asked[0]) == "host:80"


async def test_the_far_side_finishes_first(bench: Bench) -> None:
    reader, writer = await bench.connected()
    bench.far.to_near.put_nowait(b"banner")
    bench.far.to_near.put_nowait(b"")
    assert await reader.read() == b"banner"
    writer.write(b"still talking")
    writer.close()
    await writer.wait_closed()
    await bench.far.is_finished.wait()
    assert bench.far.received == b"still talking"
    assert await bench.closed.get() == RelayResult(13, 6, "both ends")


async def test_data_in_one_segment_with_the_request(bench: Bench) -> None:
    reader, writer = await bench.dial(GREETING + REQUEST + b"early")
    await reader.readexactly(12)
    writer.write(b" bird")
    writer.write_eof()
    await bench.far.is_finished.wait()
    assert bench.far.received == b"early bird"
    bench.far.to_near.put_nowait(b"")
    assert await reader.read() == b""
    writer.close()


async def test_a_failed_dial_gives_its_reply_and_a_clean_end(bench: Bench) -> None:
    bench.error = SocksError(Reply.CONNECTION_REFUSED, "refused")
    reader, writer = await bench.dial(GREETING + REQUEST + b"data that nobody reads" * 1000)
    assert await reader.readexactly(12) == b"\x05\x00\x05\x05\x00\x01" + bytes(6)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_a_far_reset_is_a_reset(bench: Bench) -> None:
    reader, writer = await bench.connected()
    bench.far.to_near.put_nowait(None)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_far_reset_is_noticed_while_nothing_flows(bench: Bench) -> None:
    reader, writer = await bench.connected()
    bench.far.to_near.put_nowait(b"")
    assert await reader.read() == b""
    bench.far.break_off()
    await bench.far.was_reset.wait()
    writer.close()


async def test_a_near_reset_is_a_reset(bench: Bench) -> None:
    _, writer = await bench.connected()
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await bench.far.was_reset.wait()
    assert not bench.far.is_finished.is_set()


async def test_a_slow_far_side_slows_the_client(bench: Bench) -> None:
    bench.far.has_room.clear()
    _, writer = await bench.connected()
    writer.write(bytes(30_000_000))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 1.0)
    assert len(bench.far.received) == 0
    bench.far.has_room.set()
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize("data", [b"\x05\x01\x01", b"\x00", b"\x04\x01\x00\x50"])
async def test_nonsense_is_closed(bench: Bench, data: bytes) -> None:
    reader, writer = await bench.dial(data)
    writer.write_eof()
    assert await reader.read() in (b"\x05\xff", b"")
    writer.close()
    assert bench.asked == []


async def test_a_client_that_goes_away_leaves_nothing(bench: Bench) -> None:
    for data in (b"", b"\x05", GREETING, GREETING + REQUEST[:5]):
        _, writer = await bench.dial(data)
        writer.close()
        await writer.wait_closed()
    reader, writer = await bench.connected()
    assert len(bench.asked) == 1
    writer.close()
    await bench.far.is_finished.wait()
    bench.far.to_near.put_nowait(None)
    await reader.read()
    await bench.closed.get()
    await bench.frontend.drain(timeout=60)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "of none of them anything is left"


async def test_a_client_that_resets_while_the_far_side_is_asked_is_given_up(bench: Bench) -> None:
    bench.may_connect.clear()
    _, writer = await bench.dial()
    await bench.connecting.wait()
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await bench.gave_up.wait()
    bench.may_connect.set()
    _, writer = await bench.connected()
    writer.close()
    assert len(bench.asked) == 1


async def test_a_connection_that_was_closed_with_data_to_write_may_be_reset_later() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as far:
        far.setblocking(False)
        await loop.sock_connect(far, listening.getsockname())
        _, tcp = await loop.connect_accepted_socket(lambda: TcpConnection(lambda _: None), listening.accept()[0])
        writing = asyncio.create_task(tcp.write(bytes(8 << 20)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(tcp.close())
        while await loop.sock_recv(far, 1 << 20):
            pass
        await asyncio.gather(writing, closing, return_exceptions=True)
    tcp.reset()
    assert tcp.is_lost


GET = b"GET http://host/ HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_an_answer_that_has_passed_lets_its_stream_go(bench: Bench) -> None:
    """Whatever the origin still says, and whether or not the connection goes on."""
    for preference in (b"", b"Connection: close\r\n"):
        bench.far = Far()
        reader, writer = await bench.dial(GET[:-2] + preference + b"\r\n")
        bench.far.to_near.put_nowait(ANSWER + b"and on")
        head = await reader.readuntil(b"\r\n\r\n")
        assert (b"Connection: close" in head) == bool(preference)
        assert await reader.readexactly(2) == b"ok"
        writer.close()
        await writer.wait_closed()
        await bench.far.is_finished.wait()
        async with asyncio.timeout(60):
            await bench.far.was_reset.wait()


async def test_a_port_that_drains_does_not_wait_for_those_between_two_requests(bench: Bench) -> None:
    reader, writer = await bench.dial(GET)
    bench.far.to_near.put_nowait(ANSWER)
    await reader.readuntil(b"ok")
    draining = asyncio.create_task(bench.frontend.drain(60))
    assert await reader.read() == b""
    writer.close()
    async with asyncio.timeout(30):
        await draining


async def test_who_may_not_come_is_reset() -> None:
    served: asyncio.Queue[TcpConnection] = asyncio.Queue()
    listener = Listener(served.put_nowait, admits=lambda host: host == "127.0.0.1")
    await listener.listen("127.0.0.1", 0)
    with socket.socket() as stranger:
        stranger.settimeout(30)
        stranger.bind(("127.0.0.2", 0))

        def come() -> None:
            stranger.connect(("127.0.0.1", listener.port))
            stranger.recv(1)

        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(come)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    tcp = await served.get()
    assert tcp.peer_address[0] == "127.0.0.1"
    writer.close()
    await tcp.close()
    await listener.close()
    assert served.empty()


def test_networks_that_may_come() -> None:
    networks = [ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fd00::/8")]
    for host, may in (("192.168.1.9", True), ("192.168.2.9", False), ("127.0.0.1", True), ("fe80::1%eth0", False)):
        assert admits(host, networks) is may
    assert admits("203.0.113.1", [])


async def test_beyond_its_limit_a_listener_lets_connections_wait() -> None:
    served: asyncio.Queue[TcpConnection] = asyncio.Queue()
    listener = Listener(served.put_nowait, limit=1)
    await listener.listen("127.0.0.1", 0)
    _, first = await asyncio.open_connection("127.0.0.1", listener.port)
    _, second = await asyncio.open_connection("127.0.0.1", listener.port)
    tcp = await served.get()
    await asyncio.sleep(0.1)
    assert served.empty()
    await tcp.close()
    listener.release()
    await (await served.get()).close()
    for writer in (first, second):
        writer.close()
    await listener.close()
