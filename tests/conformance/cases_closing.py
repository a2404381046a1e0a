"""Ends of data, resets, silence, slow readers."""

import asyncio
import hashlib
import socket
import sys

from conformance.bench import GREETING, Bench, Peer, reply, request
from conformance.catalog import case
from tandem_socks import FrontendOptions

HALF_CLOSE = "Half-close"
RESETS = "Resets"
FLOW = "Flow"

BIG = 3_000_000


@case(HALF_CLOSE, "the client ends first, the answer comes later")
async def client_ends_first(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        question = await peer.read_all()
        await asyncio.sleep(0.3)
        await peer.send(b"answer to " + question)
        peer.close()

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"question")
    peer.finish()
    assert await peer.read_all() == b"answer to question"


@case(HALF_CLOSE, "the target ends first, the client goes on")
async def target_ends_first(bench: Bench) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        await peer.send(b"banner")
        peer.finish()
        if data := await peer.read_all():
            heard.put_nowait(data)

    peer = await bench.connect(await bench.serve(handler))
    assert await peer.read_all() == b"banner"
    await asyncio.sleep(0.3)
    await peer.send(b"still talking")
    peer.finish()
    assert await heard.get() == b"still talking"


@case(HALF_CLOSE, "end of data, then a long answer")
async def long_answer(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_all()
        await peer.send(bytes(BIG))
        peer.close()

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"?")
    peer.finish()
    assert len(await peer.read_all()) == BIG


@case(HALF_CLOSE, "silence after it: given up after the linger")
async def linger(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_all()
        await asyncio.sleep(3600)

    peer = await bench.connect(await bench.serve(handler))
    peer.finish()
    assert await peer.ended_by_reset()


@case(HALF_CLOSE, "the target ends long before the client has read everything: nothing is cut off")
async def slow_reader_after_the_end(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        if await peer.reader.read(1):
            await peer.send(bytes(BIG))
        peer.close()

    slow = await _raw_client(bench, GREETING + request("127.0.0.1", await bench.serve(handler)))
    loop, found = asyncio.get_running_loop(), 0
    await loop.sock_sendall(slow, b"!")
    await asyncio.sleep(3.0)  # three times the linger
    while data := await loop.sock_recv(slow, 1 << 20):
        found += len(data)
    assert found == BIG
    slow.close()


@case(RESETS, "the target's reset is a reset")
async def target_resets(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        if await peer.reader.read(1):
            peer.reset()

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"!")
    assert await peer.ended_by_reset()


@case(RESETS, "the client's reset is a reset")
async def client_resets(bench: Bench) -> None:
    seen: asyncio.Queue[bool] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        if await peer.reader.read(1):
            seen.put_nowait(await peer.ended_by_reset())

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"!")
    await asyncio.sleep(0.2)
    peer.reset()
    assert await seen.get()


@case(RESETS, "the client's, while the target does not read")
async def client_resets_under_back_pressure(bench: Bench) -> None:
    sockets: asyncio.Queue[socket.socket] = asyncio.Queue()
    port = await _unread_target(bench, sockets)
    peer = await bench.connect(port)
    filling = asyncio.create_task(peer.send(bytes(50_000_000)))
    await asyncio.sleep(1.0)
    assert not filling.done()
    filling.cancel()
    peer.reset()
    if bench.setup.fast_open != "off":
        (await sockets.get()).close()
    await _wait_reset(await sockets.get())


@case(RESETS, "the target's, while the client does not read")
async def target_resets_under_back_pressure(bench: Bench) -> None:
    started = asyncio.Event()

    async def handler(peer: Peer) -> None:
        if not await peer.reader.read(1):
            return
        peer.writer.write(bytes(20_000_000))
        await asyncio.sleep(1.0)
        started.set()
        peer.reset()

    port = await bench.serve(handler)
    opening = GREETING + request("127.0.0.1", port) + b"!"
    sock = await _raw_client(bench, opening)
    await started.wait()
    await _wait_reset(sock)


@case(RESETS, "the client's, after it has ended its data")
async def client_resets_after_half_close(bench: Bench) -> None:
    seen: asyncio.Queue[bool] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        if not await peer.reader.read(1):
            return
        await peer.read_all()
        try:
            while True:
                await peer.send(b"x")
                await asyncio.sleep(0.05)
        except ConnectionError:
            seen.put_nowait(True)

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"!")
    peer.finish()
    assert await peer.read(1) == b"x"
    peer.reset()
    assert await seen.get()


@case(RESETS, "the target's, after the client has ended its data")
async def target_resets_after_half_close(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        if await peer.read_all():
            await asyncio.sleep(0.2)
            peer.reset()

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"!")
    peer.finish()
    assert await peer.ended_by_reset()


@case(RESETS, "the client's, after the target has ended its data, and nothing flows")
async def client_resets_when_idle(bench: Bench) -> None:
    seen: asyncio.Queue[bool] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        if not await peer.reader.read(1):
            return
        peer.finish()
        seen.put_nowait(await peer.ended_by_reset())

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"!")
    assert await peer.read_all() == b""
    peer.reset()
    assert await seen.get()


# --- flow ---


@case(FLOW, "a slow reader beside a fast one: neither is held up, and no memory fills")
async def slow_reader(bench: Bench) -> None:
    sent = [0]

    async def endless(peer: Peer) -> None:
        while True:
            await peer.send(bytes(65536))
            sent[0] += 65536

    slow = await _raw_client(bench, GREETING + request("127.0.0.1", await bench.serve(endless)))
    fast = await bench.connect(await bench.echo())
    for _ in range(20):
        await fast.send(b"ping")
        assert await fast.read(4) == b"ping"
    before = -1
    while sent[0] != before:  # the target is held up once everything between is full
        before = sent[0]
        assert before < 40_000_000, "what the kernel and the windows hold"
        await asyncio.sleep(1.0)
    slow.close()


@case(FLOW, "one link dies during a transfer of 100 MB: not a byte is lost", is_long=True)
async def link_dies(bench: Bench) -> None:
    piece, count = bytes(range(256)) * 4000, 100
    expected = hashlib.sha256()

    async def handler(peer: Peer) -> None:
        if await peer.reader.read(1):
            for _ in range(count):
                await peer.send(piece)
                expected.update(piece)
        peer.close()

    peer = await bench.connect(await bench.serve(handler))
    await peer.send(b"!")
    found = hashlib.sha256(await peer.read(20_000_000))
    bench.cut.add("a")
    while data := await peer.reader.read(1 << 20):
        found.update(data)
    assert found.digest() == expected.digest()


@case(FLOW, "an idle limit, where there is one, ends what is silent and nothing else")
async def idle_limit(bench: Bench) -> None:
    proxy, echo = await bench.frontend(FrontendOptions(idle_timeout=3.0)), await bench.echo()
    opening = GREETING + request("127.0.0.1", echo)
    silent, busy = await bench.dial(opening, proxy), await bench.dial(opening, proxy)
    await busy.read(12)
    for _ in range(20):
        await busy.send(b"x")
        assert await busy.read(1) == b"x"
        await asyncio.sleep(0.1)
    assert await silent.ended_by_reset()


@case(FLOW, "urgent bytes arrive among the others, each in its place")
async def urgent_bytes(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        await peer.send(await peer.read(5))

    loop = asyncio.get_running_loop()
    sock = await _raw_client(bench, GREETING + request("127.0.0.1", await bench.serve(handler)))
    bench.own(sock)
    await loop.sock_sendall(sock, b"ab")
    sock.send(b"!", socket.MSG_OOB)
    await loop.sock_sendall(sock, b"cd")
    answer = b""
    while len(answer) < 5:
        answer += await loop.sock_recv(sock, 5)
    assert answer == b"ab!cd"


@case(FLOW, "256 connections at the same time")
async def many_connections(bench: Bench) -> None:
    port = await bench.echo()

    async def one(number: int) -> None:
        peer = await bench.dial(GREETING + request("127.0.0.1", port))
        await peer.read(2)
        assert (await reply(peer))[0] == 0
        await peer.send(b"%06d" % number)
        assert await peer.read(6) == b"%06d" % number

    await asyncio.gather(*(one(number) for number in range(256)))


async def _raw_client(bench: Bench, opening: bytes) -> socket.socket:
    """A client that has had its replies, and reads nothing more."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    await loop.sock_connect(sock, ("127.0.0.1", bench.client.socks_port))
    await loop.sock_sendall(sock, opening)
    answer = b""
    while len(answer) < 12:
        answer += await loop.sock_recv(sock, 12 - len(answer))
    assert answer[:4] == b"\x05\x00\x05\x00"
    return sock


async def _unread_target(bench: Bench, sockets: "asyncio.Queue[socket.socket]") -> int:
    """A target that accepts, and reads nothing."""
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)

    async def accept() -> None:
        with listening:
            while True:
                accepted, _ = await loop.sock_accept(listening)
                sockets.put_nowait(accepted)

    bench.keep(asyncio.create_task(accept()))
    return int(listening.getsockname()[1])


async def _wait_reset(sock: socket.socket) -> None:
    """Until the kernel knows that the connection is no more, without reading from it."""
    closed = 7
    if sys.platform == "linux":
        while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != closed:  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.05)
    else:
        await asyncio.sleep(5)  # nothing tells it there
    try:
        while sock.recv(1 << 20):
            pass
    except ConnectionResetError:
        return
    finally:
        sock.close()
    raise AssertionError("an end of data instead of a reset")
