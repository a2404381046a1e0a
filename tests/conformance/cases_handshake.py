"""Greetings, passwords, requests, replies (RFC 1928, RFC 1929)."""

import asyncio
import random
import socket

from conformance.bench import GREETING, Bench, Peer, failed, reply, request
from conformance.catalog import case

GREETINGS = "Greeting"
REQUESTS = "Request and reply"
SEGMENTS = "Segmentation"


def _credentials(name: bytes, password: bytes) -> bytes:
    return bytes([1, len(name)]) + name + bytes([len(password)]) + password


# --- greeting ---


@case(GREETINGS, "only an unknown method: 05 FF")
async def only_gssapi(bench: Bench) -> None:
    assert await bench.refusal(b"\x05\x01\x01") == b"\x05\xff"


@case(GREETINGS, "no methods at all: 05 FF")
async def no_methods(bench: Bench) -> None:
    assert await bench.refusal(b"\x05\x00") == b"\x05\xff"


@case(GREETINGS, "255 methods")
async def all_methods(bench: Bench) -> None:
    peer = await bench.dial(b"\x05\xff" + bytes(range(255)) + request("127.0.0.1", await bench.echo()))
    assert await peer.read(2) == b"\x05\x00"
    assert (await reply(peer))[0] == 0


@case(GREETINGS, "stalled after one byte: closed in time")
async def stalled(bench: Bench) -> None:
    assert await bench.refusal(b"\x05") == b""


@case(GREETINGS, "password: right")
async def right_password(bench: Bench) -> None:
    echo, port = await bench.echo(), await bench.password_port()
    peer = await bench.dial(b"\x05\x02\x00\x02", port)
    assert await peer.read(2) == b"\x05\x02"
    await peer.send(_credentials(b"anna", b"secret"))
    assert await peer.read(2) == b"\x01\x00"
    await peer.send(request("127.0.0.1", echo))
    assert (await reply(peer))[0] == 0


@case(GREETINGS, "password: wrong: status, then the end")
async def wrong_password(bench: Bench) -> None:
    port = await bench.password_port()
    data = b"\x05\x01\x02" + _credentials(b"anna", b"Secret") + request("127.0.0.1", 1)
    assert await bench.refusal(data, port) == b"\x05\x02\x01\x01"


@case(GREETINGS, "password: needed, but only 'none' is offered: 05 FF")
async def password_not_offered(bench: Bench) -> None:
    assert await bench.refusal(GREETING, await bench.password_port()) == b"\x05\xff"


@case(GREETINGS, "password: name and password of 255 bytes, and of none")
async def extreme_passwords(bench: Bench) -> None:
    port = await bench.password_port()
    for size in (255, 0):
        data = b"\x05\x01\x02" + _credentials(b"n" * size, b"p" * size)
        assert await bench.refusal(data, port) == b"\x05\x02\x01\x01"


# --- requests ---


@case(REQUESTS, "CONNECT to an IPv4 address; BND.ADDR is the real one")
async def connect_ipv4(bench: Bench) -> None:
    seen: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        seen.put_nowait(peer.writer.get_extra_info("peername"))
        await peer.read_all()

    peer = await bench.dial(GREETING + request("127.0.0.1", await bench.serve(handler)))
    await peer.read(2)
    code, host, port = await reply(peer)
    assert (code, (host, port)) == (0, await seen.get())


@case(REQUESTS, "CONNECT to an IPv6 address")
async def connect_ipv6(bench: Bench) -> None:
    peer = await bench.connect(await bench.echo("::1"), "::1")
    await peer.send(b"six")
    assert await peer.read(3) == b"six"


@case(REQUESTS, "CONNECT to a name, resolved at the server; the first address is dead")
async def connect_name(bench: Bench) -> None:
    peer = await bench.connect(await bench.echo(), "both.test")
    await peer.send(b"name")
    assert await peer.read(4) == b"name"


@case(REQUESTS, "refused port: 5, by IPv4, IPv6 and name")
async def refused(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        for host in ("127.0.0.1", "::1", "local.test"):
            assert await bench.refusal(GREETING + request(host, port)) == failed(5), host


@case(REQUESTS, "unknown host: 4")
async def unknown_host(bench: Bench) -> None:
    assert await bench.refusal(GREETING + request("nowhere.invalid", 80)) == failed(4)


@case(REQUESTS, "denied by a rule, or private: 2", is_servers=True)
async def denied(bench: Bench) -> None:
    for host in ("denied.example", "10.1.2.3", "169.254.169.254", "::ffff:10.1.2.3", "fd00::1"):
        assert await bench.refusal(GREETING + request(host, 80)) == failed(2), host


@case(REQUESTS, "unknown forward: 4")
async def unknown_forward(bench: Bench) -> None:
    assert await bench.refusal(GREETING + request("nothing.forward", 80)) == failed(4)


@case(REQUESTS, "port 0: a whole reply")
async def port_zero(bench: Bench) -> None:
    answer = await bench.refusal(GREETING + request("127.0.0.1", 0))
    assert answer[:2] == b"\x05\x00"
    assert answer[3] != 0
    assert len(answer) == 12


@case(REQUESTS, "unknown command: 7, a whole reply")
async def unknown_command(bench: Bench) -> None:
    assert await bench.refusal(GREETING + request("127.0.0.1", 80, command=9)) == failed(7)


@case(REQUESTS, "RESOLVE (torsocks): the address of a name that may be reached", is_servers=True)
async def resolve(bench: Bench) -> None:
    peer = await bench.dial(GREETING + request("local.test", 0, command=0xF0))
    await peer.read(2)
    assert await reply(peer) == (0, "127.0.0.1", 0)
    assert await peer.read_all() == b""
    for host, code in (("nowhere.invalid", 4), ("10.1.2.3", 2), ("denied.example", 2)):
        assert await bench.refusal(GREETING + request(host, 0, command=0xF0)) == failed(code)
    assert await bench.refusal(GREETING + request("127.0.0.1", 0, command=0xF1)) == failed(7), "RESOLVE_PTR"


@case(REQUESTS, "an IPv6 address in brackets, as a name")
async def bracketed(bench: Bench) -> None:
    port = await bench.echo("::1")
    peer = await bench.dial(GREETING + b"\x05\x01\x00\x03\x05[::1]" + port.to_bytes(2, "big") + b"hello")
    await peer.read(2)
    assert (await reply(peer))[0] == 0
    assert await peer.read(5) == b"hello"


@case(REQUESTS, "unknown address type: 8, a whole reply")
async def unknown_address_type(bench: Bench) -> None:
    assert await bench.refusal(GREETING + b"\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50") == failed(8)


@case(REQUESTS, "wrong version inside the request: a whole reply")
async def wrong_version(bench: Bench) -> None:
    assert await bench.refusal(GREETING + b"\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50") == failed(1)


@case(REQUESTS, "RSV is not 0: it does not matter")
async def reserved(bench: Bench) -> None:
    data = bytearray(request("127.0.0.1", await bench.echo()))
    data[2] = 0x7F
    peer = await bench.dial(GREETING + bytes(data))
    await peer.read(2)
    assert (await reply(peer))[0] == 0


@case(REQUESTS, "names: empty, 255 bytes, with NUL, not UTF-8: 4, a whole reply")
async def strange_names(bench: Bench) -> None:
    for name in (b"", b"a" * 255, b"a\0b", b"\xff\xfe", b"a b", b"\xc3\xa4.invalid", b"fe80::1%lo"):
        data = GREETING + b"\x05\x01\x00\x03" + bytes([len(name)]) + name + b"\x00\x50"
        assert await bench.refusal(data) == failed(4), name


@case(REQUESTS, "a failed request with data behind it: its reply, no reset")
async def data_behind_a_failure(bench: Bench) -> None:
    assert await bench.refusal(GREETING + request("nowhere.invalid", 80) + bytes(100_000)) == failed(4)


# --- segmentation ---


@case(SEGMENTS, "handshake and data in one segment")
async def one_segment(bench: Bench) -> None:
    peer = await bench.dial(GREETING + request("127.0.0.1", await bench.echo()) + b"early")
    await peer.read(2)
    assert (await reply(peer))[0] == 0
    assert await peer.read(5) == b"early"
    peer.finish()
    assert await peer.read_all() == b""


@case(SEGMENTS, "one byte in each segment")
async def one_byte_segments(bench: Bench) -> None:
    peer = await bench.dial()
    for byte in GREETING + request("local.test", await bench.echo()) + b"x":
        await peer.send(bytes([byte]))
        await asyncio.sleep(0.002)
    assert await peer.read(2) == b"\x05\x00"
    assert (await reply(peer))[0] == 0
    assert await peer.read(1) == b"x"


@case(SEGMENTS, "random segments, every dialect")
async def random_segments(bench: Bench) -> None:
    chooser = random.Random(1)
    port = await bench.echo()
    address = socket.inet_aton("127.0.0.1")
    openings = {
        GREETING + request("127.0.0.1", port): 12,
        b"\x04\x01" + port.to_bytes(2, "big") + address + b"user\x00": 8,
        b"\x04\x01" + port.to_bytes(2, "big") + b"\0\0\0\1user\x00local.test\x00": 8,
        f"CONNECT local.test:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode(): 39,
    }
    for opening, answer_size in openings.items():
        data = opening + b"the data"
        peer = await bench.dial()
        while data:
            size = chooser.randint(1, 9)
            await peer.send(data[:size])
            data = data[size:]
            await asyncio.sleep(0.001)
        await peer.read(answer_size)
        assert await peer.read(8) == b"the data"
