"""BIND and SOCKS 4."""

import asyncio

from conformance.bench import GREETING, Bench, Peer, failed, reply, request
from conformance.catalog import case

BIND = "BIND"
SOCKS4 = "SOCKS 4"

_REFUSED_PORT = 1


# --- BIND ---


@case(BIND, "two replies, then bytes both ways")
async def bind(bench: Bench) -> None:
    peer = await bench.dial(GREETING + request("127.0.0.1", 21, command=2))
    await peer.read(2)
    code, host, port = await reply(peer)
    assert code == 0
    visitor = Peer(*await asyncio.open_connection(host, port))
    code, *visitors_place = await reply(peer)
    assert (code, tuple(visitors_place)) == (0, visitor.address)
    await visitor.send(b"in")
    assert await peer.read(2) == b"in"
    await peer.send(b"out")
    assert await visitor.read(3) == b"out"
    peer.finish()
    assert await visitor.read_all() == b""
    visitor.close()


@case(BIND, "a visitor from another host is turned away")
async def bind_stranger(bench: Bench) -> None:
    peer = await bench.dial(GREETING + request("127.0.0.1", 21, command=2))
    await peer.read(2)
    _, host, port = await reply(peer)
    stranger = Peer(*await asyncio.open_connection(host, port, local_addr=("127.0.0.2", 0)))
    assert await stranger.read_all() == b""
    visitor = Peer(*await asyncio.open_connection(host, port))
    assert (await reply(peer))[1:] == visitor.address
    stranger.close()
    visitor.close()


@case(BIND, "not allowed, for anyone or for a private host: 2, a whole reply")
async def bind_denied(bench: Bench) -> None:
    for host in ("0.0.0.0", "10.1.2.3"):
        assert await bench.refusal(GREETING + request(host, 21, command=2)) == failed(2)


@case(BIND, "a client that goes away takes its port with it")
async def bind_given_up(bench: Bench) -> None:
    peer = await bench.dial(GREETING + request("127.0.0.1", 21, command=2))
    await peer.read(2)
    _, host, port = await reply(peer)
    peer.close()
    while True:
        try:
            visitor = Peer(*await asyncio.open_connection(host, port))
        except ConnectionRefusedError:
            return
        visitor.close()
        await asyncio.sleep(0.05)


# --- SOCKS 4 ---


@case(SOCKS4, "CONNECT by address and, as 4a, by name")
async def socks4(bench: Bench) -> None:
    port = (await bench.echo()).to_bytes(2, "big")
    for data in (b"\x04\x01" + port + b"\x7f\0\0\1me\0", b"\x04\x01" + port + b"\0\0\0\1me\0local.test\0"):
        peer = await bench.dial(data + b"hello")
        assert (await peer.read(8))[:2] == b"\x00\x5a"
        assert await peer.read(5) == b"hello"


@case(SOCKS4, "refused: a whole reply")
async def socks4_refused(bench: Bench) -> None:
    assert await bench.refusal(b"\x04\x01\x00\x01\x7f\0\0\1me\0") == b"\x00\x5b" + bytes(6)


@case(SOCKS4, "where a password is needed: rejected")
async def socks4_password(bench: Bench) -> None:
    port = await bench.password_port()
    assert await bench.refusal(b"\x04\x01\x00\x01\x7f\0\0\1anna\0", port) == b"\x00\x5d" + bytes(6)
