"""`tandem doctor` beside a running client: what it finds, and what it says of what is wrong."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loopback import Gate, Pair, run_tandem
from tandem.doctor import portal
from tandem.doctor.nat import Mapping, nat
from tandem_transport.driver import LocalAddress


def examine(pair: Pair, *links: str, invite: str) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    given = [item for link in links for item in ("--link", link)]
    admin = f"127.0.0.1:{pair.client_admin}"
    arguments = ("doctor", "-", *given, "--socks", pair.proxy, "--admin", admin, "--json")
    done = run_tandem(*arguments, environment=pair.environment, stdin=invite, limit=120)
    assert done.stdout, done.stderr
    return done.returncode, {(item["subject"], item["check"]): item for item in json.loads(done.stdout)}


def test_two_links_of_which_one_is_bad_and_one_is_gone(pair: Pair, gates: list[Gate]) -> None:
    pair.start_server()
    gates[1].loss = 0.30
    links = [f"{name}=127.0.0.{n}@127.0.0.1:{gate.port}" for name, n, gate in zip("ab", (2, 3), gates, strict=True)]
    code, found = examine(pair, *links, "gone=192.0.2.77", invite=pair.invite())
    places = [f"127.0.0.1:{gate.port}" for gate in gates]
    assert code == 1, found
    assert found[("this machine", "SOCKS port")]["verdict"] == "ok"
    assert found[("a", "address")]["text"] == "127.0.0.2"
    assert found[("a", places[0])]["verdict"] == "ok"
    assert "loss 0%" in found[("a", places[0])]["text"]
    assert found[("b", places[1])]["verdict"] == "warning"
    assert found[("gone", "address")]["verdict"] == "problem"
    assert "no address 192.0.2.77" in found[("gone", "address")]["text"]
    assert found[("a", "clock")]["text"] == "agrees"
    assert found[("a", "server's version")]["verdict"] == "ok"
    assert "the server sees 127.0.0.1:" in found[("a", "NAT")]["text"], "behind the gate, which is a NAT"
    assert found[("links", "shared fate")]["verdict"] == "warning"


def test_a_nat_that_has_another_port_for_each_endpoint(pair: Pair, gates: list[Gate]) -> None:
    pair.start_server()
    pair.endpoints = [f"127.0.0.1:{gate.port}" for gate in gates]
    _, found = examine(pair, "a=127.0.0.2", invite=pair.invite())
    assert "a symmetric NAT" in found[("a", "NAT")]["text"]


def test_a_network_that_answers_in_the_servers_place() -> None:
    head = "HTTP/1.1 302 Found\r\nLocation: http://login.example.net/?back=http%3A%2F%2F192.0.2.1\r\nX: y"
    assert (
        portal.classify(head, ("192.0.2.1", "vpn.example.org"))
        == "http://login.example.net/?back=http%3A%2F%2F192.0.2.1"
    )
    assert portal.classify("HTTP/1.1 511 Network Authentication Required\x1b[2J\x9b", ()).startswith("511 ")
    for harmless in (
        "HTTP/1.1 301 Moved\r\nLocation: https://192.0.2.1/",
        "HTTP/1.1 302 Found\r\nlocation: /login",
        "HTTP/1.1 302 Found\r\nlocation: https://vpn.example.org/",
        "HTTP/1.1 302 Found\r\nlocation: http://[",
        "HTTP/1.1 200 OK\r\nLocation: http://login.example.net/",
        "HTTP/1.1 404 Not Found",
        "SSH-2.0-OpenSSH",
        "",
    ):
        assert portal.classify(harmless, ("192.0.2.1", "vpn.example.org")) == "", harmless


async def test_a_portal_is_asked_over_the_link() -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.0 303 See Other\r\nLocation: http://portal.example/\r\n\r\nlog in")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (
        await portal.guess(LocalAddress("127.0.0.2", None), "127.0.0.1", ["localhost"], port)
        == "http://portal.example/"
    )
    assert asked == [b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"]
    server.close()
    assert await portal.guess(LocalAddress("127.0.0.2", None), "127.0.0.1", ["localhost"], port) == ""


def test_what_a_nat_does() -> None:
    own, server, other = ("10.0.0.2", 5000), ("198.51.100.1", 8120), ("203.0.113.1", 8120)
    kept, made = ("192.0.2.1", 5000), ("192.0.2.1", 6000)
    none = [Mapping(own, server, own), Mapping(own, other, own)]
    assert nat(none) == ("none; the server sees 10.0.0.2:5000", "")
    assert nat([Mapping(own, server, kept)]) == ("the server sees 192.0.2.1:5000; it keeps the port", "")
    assert nat([Mapping(own, server, kept), Mapping(own, other, kept)])[0].endswith("(endpoint-independent mapping)")
    text, advice = nat([Mapping(own, server, made), Mapping(own, ("198.51.100.1", 8121), kept)])
    assert text.startswith("the server sees 192.0.2.1:6000; it makes port 6000 of 5000, and another")
    assert "does not mind" in advice
    both = [Mapping(own, server, made), Mapping(own, ("198.51.100.1", 8121), made)]
    assert "one server cannot tell" in nat(both)[0]
    v6 = ("2001:db8::2", 5000)
    assert nat([Mapping(own, server, own), Mapping(v6, ("2001:db8::1", 8120), v6)])[0].startswith("none")


def test_a_server_that_does_not_answer_and_a_port_that_is_taken(pair: Pair) -> None:
    invite = pair.invite()
    with socket.create_server(("127.0.0.1", pair.socks_port)):
        code, found = examine(pair, "a=127.0.0.2", invite=invite)
    assert code == 1
    assert found[("this machine", "SOCKS port")]["verdict"] == "warning"
    for place in pair.endpoints:
        assert found[("a", place)]["verdict"] == "problem"
        assert found[("a", place)]["text"].startswith("Connection refused: that machine answers")
        assert "is the server running" in found[("a", place)]["advice"].lower()
    assert "firewall" not in str(found), "what is known is not followed by guesses"


def test_a_link_that_is_silent_while_another_one_reaches_the_server(pair: Pair, gates: list[Gate]) -> None:
    pair.start_server()
    gates[1].is_cut = True
    links = [f"{name}=127.0.0.{n}@127.0.0.1:{gate.port}" for name, n, gate in zip("ab", (2, 3), gates, strict=True)]
    code, found = examine(pair, *links, invite=pair.invite())
    assert code == 1
    assert found[("a", f"127.0.0.1:{gates[0].port}")]["verdict"] == "ok"
    silent = found[("b", f"127.0.0.1:{gates[1].port}")]["text"]
    assert silent == f"no answer from IPv4 127.0.0.1:{gates[1].port} within 6 s"
    assert found[("b", "server")]["advice"].startswith("The server runs, for another link reaches it.")


def test_a_running_client_whose_flow_is_swallowed(pair: Pair, gates: list[Gate]) -> None:
    """The running client is played by an admin endpoint that says of each link what it should."""
    pair.start_server()
    invite = pair.invite()
    swallowed = {"name": "a", "state": "down", "reason": "no answer", "remote": f"127.0.0.1:{gates[0].port}"}
    one_way = {"name": "b", "state": "degraded", "reason": "what is sent arrives, nothing comes back"}
    with fake_client(pair.client_admin, [swallowed, one_way]):
        links = [f"{link}=127.0.0.{n}@127.0.0.1:{gate.port}" for link, n, gate in zip("ab", (2, 3), gates, strict=True)]
        _, found = examine(pair, *links, invite=invite)
    assert "answers a fresh port, but not the running client's" in found[("a", "running client")]["text"]
    assert f"conntrack -D -p udp --dport {gates[0].port}" in found[("a", "running client")]["advice"]
    assert "rp_filter" in found[("b", "running client")]["advice"]


@contextlib.contextmanager
def fake_client(port: int, links: list[dict[str, str]]) -> Generator[None]:
    """Answers as the admin endpoint of a client with these links."""
    status: dict[str, Any] = {"uptime_s": 60, "mode": "adaptive", "session": session_of_a_client(), "links": []}
    status["links"] = [link_of_a_client(i) | link for i, link in enumerate(links)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(status).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def session_of_a_client() -> dict[str, Any]:
    counts = ("streams_open", "streams_total", "bytes_up", "bytes_down", "copy_bytes", "rescued")
    return {"state": "up", "server": None} | dict.fromkeys(counts, 0)


def link_of_a_client(path_id: int) -> dict[str, Any]:
    unknown = dict.fromkeys(("loss_up", "loss_down", "won"))
    counts = dict.fromkeys(("rate_up_bps", "rate_down_bps", "bytes_up", "bytes_down"), 0)
    rtt = dict.fromkeys(("latest", "smoothed", "min", "p95"))
    return (
        {"path_id": path_id, "local": f"127.0.0.{path_id + 2}:5000", "remote": None, "rtt_ms": rtt} | unknown | counts
    )


def test_a_revoked_client_is_told_so_beside_one_that_runs(pair: Pair) -> None:
    pair.start_server()
    pair.start_client(pair.invite(), "--link", "a=127.0.0.2", "--link", "b=127.0.0.3")
    other = pair.invite("other")
    assert examine(pair, "a=127.0.0.2", invite=other)[0] == 0
    assert run_tandem("revoke", "other", "--state", str(pair.state), environment=pair.environment).returncode == 0
    pair.wait(lambda: "does not know this client" in str(examine(pair, "a=127.0.0.2", invite=other)[1]), "refusal")
    assert "firewall" not in str(examine(pair, "a=127.0.0.2", invite=other)[1])
    assert pair.session_state() == "up"
