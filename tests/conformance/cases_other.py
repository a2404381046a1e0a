"""BIND, SOCKS 4, HTTP, and the wrong protocol."""

import asyncio
import base64

from conformance.bench import GREETING, PASSWORD, Bench, Peer, failed, reply, request
from conformance.catalog import case

BIND = "BIND"
SOCKS4 = "SOCKS 4"
HTTP = "HTTP"
ATTACKS = "Web pages"

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


# --- HTTP ---


@case(HTTP, "CONNECT")
async def http_connect(bench: Bench) -> None:
    peer = await bench.dial(_head(f"CONNECT local.test:{await bench.echo()} HTTP/1.1", "Host: x") + b"early")
    assert await peer.read(39) == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert await peer.read(5) == b"early"
    peer.finish()
    assert await peer.read_all() == b""


@case(HTTP, "CONNECT to a refused port: 502, to a denied host: 403")
async def http_connect_fails(bench: Bench) -> None:
    for target, status in ((f"127.0.0.1:{_REFUSED_PORT}", 502), ("10.1.2.3:80", 403), ("nowhere.invalid:80", 502)):
        assert _status(await bench.refusal(_head(f"CONNECT {target} HTTP/1.1"))) == status


@case(HTTP, "a plain http:// request, with a body, one for each connection")
async def http_absolute(bench: Bench) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        heard.put_nowait(head + await peer.read(4))
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npage")
        peer.close()

    port = await bench.serve(handler)
    data = _head(
        f"POST http://local.test:{port}/form?a=b HTTP/1.1", "Proxy-Connection: keep-alive", "Content-Length: 4"
    )
    peer = await bench.dial(data + b"body")
    assert (await peer.read_all()).endswith(b"page")
    expected = _head("POST /form?a=b HTTP/1.1", f"Host: local.test:{port}", "Content-Length: 4", "Connection: close")
    assert await heard.get() == expected + b"body"


@case(HTTP, "a second request on the connection never reaches the first one's server")
async def http_pipelined(bench: Bench) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        try:
            heard.put_nowait(await peer.read_all())
        except ConnectionResetError:
            heard.put_nowait(b"reset")

    port = await bench.serve(handler)
    first = _head(f"GET http://local.test:{port}/ HTTP/1.1")
    peer = await bench.dial(first + _head("GET http://other.example/ HTTP/1.1", "Cookie: secret"))
    await asyncio.sleep(0.2)
    await peer.send(_head("GET http://other.example/ HTTP/1.1", "Cookie: secret"))
    assert b"secret" not in await heard.get()


@case(HTTP, "passwords: 407 without, or with a wrong one")
async def http_password(bench: Bench) -> None:
    echo, port = await bench.echo(), await bench.password_port()
    line = f"CONNECT 127.0.0.1:{echo} HTTP/1.1"
    for fields in ((), (_basic("anna", "wrong"),)):
        answer = await bench.refusal(_head(line, *fields), port)
        assert _status(answer) == 407
        assert b"Proxy-Authenticate: Basic" in answer
    peer = await bench.dial(_head(line, _basic(*PASSWORD)), port)
    assert (await peer.read(39)).startswith(b"HTTP/1.1 200 ")


@case(HTTP, "GET / in a browser: words that say what to set")
async def http_origin(bench: Bench) -> None:
    answer = await bench.refusal(_head("GET / HTTP/1.1", "Host: 127.0.0.1:1080"))
    assert _status(answer) == 400
    assert f"SOCKS v5 host to 127.0.0.1 and its port to {bench.client.socks_port}".encode() in answer


@case(HTTP, "a TLS ClientHello: words that say what is wrong")
async def tls(bench: Bench) -> None:
    assert b"takes no TLS" in await bench.refusal(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


@case(HTTP, "/proxy.pac for a loopback Host")
async def pac(bench: Bench) -> None:
    answer = await bench.refusal(_head("GET /proxy.pac HTTP/1.1", f"Host: 127.0.0.1:{bench.client.socks_port}"))
    assert _status(answer) == 200
    assert b"Cross-Origin-Resource-Policy: same-origin" in answer
    assert f'"SOCKS5 127.0.0.1:{bench.client.socks_port};'.encode() in answer


@case(HTTP, "what no protocol begins with: closed")
async def nonsense(bench: Bench) -> None:
    assert await bench.refusal(b"\x00\x01\x02") == b""


# --- attacks ---


@case(ATTACKS, "a POST whose body says CONNECT opens nothing")
async def post_with_connect(bench: Bench) -> None:
    touched = asyncio.Event()

    async def handler(peer: Peer) -> None:
        touched.set()

    port = await bench.serve(handler)
    inner = _head(f"CONNECT 127.0.0.1:{port} HTTP/1.1") + GREETING + request("127.0.0.1", port)
    head = _head("POST / HTTP/1.1", "Host: 127.0.0.1", "Origin: http://evil.example", f"Content-Length: {len(inner)}")
    for pause in (0.0, 0.2):
        peer = await bench.dial(head)
        await asyncio.sleep(pause)
        await peer.send(inner)
        assert (await peer.read_all()).count(b"HTTP/1.1 ") == 1
    assert not touched.is_set()


@case(ATTACKS, "an origin-form request with a foreign Host is not routed: 421")
async def foreign_host(bench: Bench) -> None:
    touched = asyncio.Event()

    async def handler(peer: Peer) -> None:
        touched.set()

    port = await bench.serve(handler)
    assert _status(await bench.refusal(_head("GET / HTTP/1.1", f"Host: local.test:{port}"))) == 421
    assert not touched.is_set()


@case(ATTACKS, "a rebound name (DNS rebinding) gets no PAC file")
async def rebinding(bench: Bench) -> None:
    answer = await bench.refusal(_head("GET /proxy.pac HTTP/1.1", f"Host: evil.example:{bench.client.socks_port}"))
    assert _status(answer) == 421
    assert b"FindProxy" not in answer
    assert b"evil" not in answer


@case(ATTACKS, "a CONNECT with Origin or Sec-Fetch fields: 403")
async def page_connect(bench: Bench) -> None:
    port = await bench.echo()
    for field in ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site"):
        assert _status(await bench.refusal(_head(f"CONNECT 127.0.0.1:{port} HTTP/1.1", field))) == 403


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


def _status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer.split(b" ")[1])


def _basic(name: str, password: str) -> str:
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
