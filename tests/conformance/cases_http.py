"""HTTP on the SOCKS port, and what web pages try there."""

import asyncio
import base64

from conformance.bench import GREETING, PASSWORD, Bench, Peer, request
from conformance.catalog import case

HTTP = "HTTP"
ATTACKS = "Web pages"

_REFUSED_PORT = 1


@case(HTTP, "CONNECT")
async def http_connect(bench: Bench) -> None:
    peer = await bench.dial(_head(f"CONNECT local.test:{await bench.echo()} HTTP/1.1", "Host: x") + b"early")
    assert await peer.read(39) == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert await peer.read(5) == b"early"
    peer.finish()
    assert await peer.read_all() == b""


@case(HTTP, "CONNECT to a refused port: 502, to a denied host: 403", is_servers=True)
async def http_connect_fails(bench: Bench) -> None:
    for target, status in ((f"127.0.0.1:{_REFUSED_PORT}", 502), ("10.1.2.3:80", 403), ("nowhere.invalid:80", 502)):
        assert _status(await bench.refusal(_head(f"CONNECT {target} HTTP/1.1"))) == status


@case(HTTP, "a plain http:// request, with a body")
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


async def origin(bench: Bench, name: str, *fields: str, is_gentle: bool = True) -> int:
    """A web server that answers one request with its name and the request's line; it does not say that it closes."""

    async def handler(peer: Peer) -> None:
        line = (await peer.reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
        text = name.encode() + b" " + line
        await peer.send(_head("HTTP/1.1 200 OK", f"Content-Length: {len(text)}", *fields) + text)
        if is_gentle:
            peer.close()
        else:
            await peer.read_all()

    return await bench.serve(handler)


async def answer(peer: Peer) -> tuple[bytes, bytes]:
    """Head and body of one answer with a size."""
    head = await peer.reader.readuntil(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return head, await peer.read(size)


@case(HTTP, "many plain requests on one connection, each to its own server")
async def http_keep_alive(bench: Bench) -> None:
    """Also where the server ignores that it should close, or closes without saying so."""
    ports = {"a": await origin(bench, "a"), "b": await origin(bench, "b", "Connection: close")}
    ports["c"] = await origin(bench, "c", "Keep-Alive: timeout=5", is_gentle=False)
    peer = await bench.dial()
    for number in range(6):
        for name, port in ports.items():
            await peer.send(_head(f"GET http://local.test:{port}/{number} HTTP/1.1", "Proxy-Connection: keep-alive"))
            head, body = await answer(peer)
            assert body == f"{name} GET /{number} HTTP/1.1".encode()
            assert b"close" not in head.lower()
            assert b"keep-alive" not in head.lower()
    await peer.send(_head(f"GET http://local.test:{ports['a']}/last HTTP/1.1", "Connection: close"))
    head, _ = await answer(peer)
    assert b"\r\nConnection: close\r\n" in head
    assert await peer.read_all() == b""


@case(HTTP, "pipelined requests are answered in order, whatever the segments")
async def http_pipelined(bench: Bench) -> None:
    ports = [await origin(bench, "a"), await origin(bench, "b")]
    requests = [_head(f"GET http://local.test:{ports[i % 2]}/{i} HTTP/1.1") for i in range(6)]
    for pause in (None, 0.0005):
        peer = await bench.dial()
        if pause is None:
            await peer.send(b"".join(requests))
        else:
            for data in requests:
                await peer.send(data)
                await asyncio.sleep(pause)
        for i in range(6):
            assert (await answer(peer))[1] == f"{'ab'[i % 2]} GET /{i} HTTP/1.1".encode()


@case(HTTP, "a second request never reaches the first one's server")
async def http_second(bench: Bench) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        await peer.send(_head("HTTP/1.1 200 OK", "Content-Length: 0"))
        heard.put_nowait(head + await peer.read_all())

    port = await bench.serve(handler)
    second = _head("GET http://other.invalid/ HTTP/1.1", "Cookie: secret")
    for body in (b"", b"4\r\nbody\r\n0\r\n\r\n"):
        fields = ("Transfer-Encoding: chunked",) if body else ()
        peer = await bench.dial(_head(f"POST http://local.test:{port}/ HTTP/1.1", *fields) + body + second)
        assert (await answer(peer))[1] == b""
        assert b"secret" not in await heard.get()
        assert _status(await peer.read_all()) == 502, "the second one is asked of its own server"


@case(HTTP, "a request behind an answer that readers may end differently is not sent on: a reset")
async def http_ambiguous(bench: Bench) -> None:
    """Else the first server could answer for the second one."""

    async def handler(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(_head("HTTP/1.1 200 OK", "X: a", " folded", "Content-Length: 2") + b"ok")
        await asyncio.sleep(60)

    port = await bench.serve(handler)
    peer = await bench.dial(_head(f"GET http://local.test:{port}/ HTTP/1.1"))
    assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert await peer.read(2) == b"ok"
    await peer.send(_head("GET http://local.test:1/ HTTP/1.1"))
    assert await peer.ended_by_reset()


@case(HTTP, "an answer without a size ends the connection, and says so")
async def http_without_size(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(_head("HTTP/1.1 200 OK", "Keep-Alive: timeout=9") + b"page")
        peer.close()

    port = await bench.serve(handler)
    peer = await bench.dial(_head(f"GET http://local.test:{port}/ HTTP/1.1"))
    assert await peer.read_all() == _head("HTTP/1.1 200 OK", "Connection: close") + b"page"


@case(HTTP, "user and password in the target: dropped (wget, apt)")
async def http_userinfo(bench: Bench) -> None:
    port = await origin(bench, "a")
    peer = await bench.dial(_head(f"GET http://u:p@ss@local.test:{port}/x HTTP/1.1"))
    assert (await answer(peer))[1] == b"a GET /x HTTP/1.1"


@case(HTTP, "HTTP/1.0 is spoken with whoever speaks it")
async def http_1_0(bench: Bench) -> None:
    port = await origin(bench, "a")
    peer = await bench.dial(_head(f"GET http://local.test:{port}/x HTTP/1.0"))
    assert (await answer(peer))[1] == b"a GET /x HTTP/1.0"
    assert await peer.read_all() == b""


@case(HTTP, "Upgrade passes in absolute form, as http:// and ws://")
async def http_upgrade(bench: Bench) -> None:
    async def handler(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"Upgrade: websocket\r\n" in head
        await peer.send(_head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"))
        while data := await peer.reader.read(65536):
            await peer.send(data.upper())
        peer.close()

    port = await bench.serve(handler)
    for scheme in ("http", "ws"):
        line = f"GET {scheme}://local.test:{port}/chat HTTP/1.1"
        peer = await bench.dial(_head(line, "Connection: Upgrade", "Upgrade: websocket") + b"early ")
        assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await peer.read(6) == b"EARLY ", "also where nothing follows it"
        await peer.send(b"bird")
        assert await peer.read(4) == b"BIRD"
        peer.finish()
        assert await peer.read_all() == b""


@case(HTTP, "heads of 64 KB pass, larger ones get 431")
async def http_large_head(bench: Bench) -> None:
    port = await origin(bench, "a")
    line = f"GET http://local.test:{port}/x HTTP/1.1"
    for size in (15_000, 40_000, 65_000):
        peer = await bench.dial(_head(line, "Cookie: " + "c" * size))
        assert (await answer(peer))[1] == b"a GET /x HTTP/1.1"
    assert _status(await bench.refusal(_head(line, "Cookie: " + "c" * 66_000))) == 431


@case(HTTP, "raw UTF-8 in a path")
async def http_utf8(bench: Bench) -> None:
    port = await origin(bench, "a")
    peer = await bench.dial(_head(f"GET http://local.test:{port}/ä€ HTTP/1.1"))
    assert (await answer(peer))[1] == "a GET /ä€ HTTP/1.1".encode()


@case(HTTP, "a plain request to a target that has gone: 502, not a reset")
async def http_gone(bench: Bench) -> None:
    port = await origin(bench, "a")
    peer = await bench.connect(port)
    peer.close()
    for server in bench.servers:
        server.close()
    assert _status(await bench.refusal(_head(f"GET http://127.0.0.1:{port}/ HTTP/1.1"))) == 502


@case(HTTP, "empty lines before a request; a head in bare LF, ftp://: words")
async def http_oddities(bench: Bench) -> None:
    port = await origin(bench, "a")
    peer = await bench.dial(b"\r\n" + _head(f"GET http://local.test:{port}/x HTTP/1.1"))
    assert (await answer(peer))[1] == b"a GET /x HTTP/1.1"
    assert _status(await bench.refusal(b"GET http://local.test/ HTTP/1.1\nHost: x\n\n")) == 400
    assert _status(await bench.refusal(_head("GET ftp://local.test/file HTTP/1.1"))) == 501


@case(HTTP, "passwords: 407 without, or with a wrong one")
async def http_password(bench: Bench) -> None:
    echo, port = await bench.echo(), await bench.password_port()
    line = f"CONNECT 127.0.0.1:{echo} HTTP/1.1"
    for fields in ((), (_basic("anna", "wrong"),)):
        said = await bench.refusal(_head(line, *fields), port)
        assert _status(said) == 407
        assert b"Proxy-Authenticate: Basic" in said
    peer = await bench.dial(_head(line, _basic(*PASSWORD)), port)
    assert (await peer.read(39)).startswith(b"HTTP/1.1 200 ")


@case(HTTP, "GET / in a browser: words that say what to set")
async def http_origin(bench: Bench) -> None:
    said = await bench.refusal(_head("GET / HTTP/1.1", "Host: 127.0.0.1:1080"))
    assert _status(said) == 400
    assert f"SOCKS v5 host to 127.0.0.1 and its port to {bench.client.socks_port}".encode() in said


@case(HTTP, "a TLS ClientHello: words that say what is wrong")
async def tls(bench: Bench) -> None:
    assert b"takes no TLS" in await bench.refusal(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


@case(HTTP, "/proxy.pac for a loopback Host, and for localhost")
async def pac(bench: Bench) -> None:
    for host in ("127.0.0.1", "localhost"):
        said = await bench.refusal(_head("GET /proxy.pac HTTP/1.1", f"Host: {host}:{bench.client.socks_port}"))
        assert _status(said) == 200
        assert b"Cross-Origin-Resource-Policy: same-origin" in said
        assert f'"SOCKS5 127.0.0.1:{bench.client.socks_port};'.encode() in said


@case(HTTP, "what no protocol begins with: closed")
async def nonsense(bench: Bench) -> None:
    assert await bench.refusal(b"\x00\x01\x02") == b""


# --- attacks ---


@case(ATTACKS, "a POST whose body says CONNECT opens nothing")
async def post_with_connect(bench: Bench) -> None:
    port, touched = await _trap(bench)
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
    port, touched = await _trap(bench)
    assert _status(await bench.refusal(_head("GET / HTTP/1.1", f"Host: local.test:{port}"))) == 421
    assert not touched.is_set()


@case(ATTACKS, "a rebound name (DNS rebinding) gets no PAC file")
async def rebinding(bench: Bench) -> None:
    said = await bench.refusal(_head("GET /proxy.pac HTTP/1.1", f"Host: evil.example:{bench.client.socks_port}"))
    assert _status(said) == 421
    assert b"FindProxy" not in said
    assert b"evil" not in said


@case(ATTACKS, "a CONNECT with Origin or Sec-Fetch fields: 403")
async def page_connect(bench: Bench) -> None:
    port = await bench.echo()
    for field in ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site"):
        assert _status(await bench.refusal(_head(f"CONNECT 127.0.0.1:{port} HTTP/1.1", field))) == 403


async def _trap(bench: Bench) -> tuple[int, asyncio.Event]:
    """A port that nobody is to reach, and whether somebody has."""
    touched = asyncio.Event()

    async def handler(peer: Peer) -> None:
        touched.set()

    return await bench.serve(handler), touched


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


def _status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer.split(b" ")[1])


def _basic(name: str, password: str) -> str:
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
