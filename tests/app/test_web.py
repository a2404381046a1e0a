"""What serves the page: logins, and the small HTTP server."""

import asyncio
import contextlib

import pytest

from tandem.web import server
from tandem.web.logins import LOGIN_LIFETIME, MAX_TICKETS, TICKET_LIFETIME, Login, Logins
from tandem.web.messages import Answer, Request

TOKEN = "0123456789abcdef"


def made(token: str = TOKEN) -> Logins:
    return Logins(lambda: [token] if token else [], "tandem-8119")


def logged_in(logins: Logins, *, today: float = 0.0) -> Login:
    login = logins.log_in(TOKEN, now=0.0, today=today)
    assert login is not None
    return login


def test_a_login_ends_and_a_changed_token_ends_all() -> None:
    logins = made()
    login = logged_in(logins)
    cookie = login.cookie.split(";")[0]
    assert logins.may_read(cookie, today=LOGIN_LIFETIME - 1)
    assert not logins.may_read(cookie, today=LOGIN_LIFETIME)
    assert not made("another token, long").may_read(cookie, today=0)
    assert not Logins(lambda: [TOKEN], "tandem-8118").may_read(cookie, today=0), "another endpoint of this host"


@pytest.mark.parametrize("end", ["", "x", "-1", "9" * 30, "é", "1e9", "2592000x"])
def test_an_end_that_somebody_has_made_up_is_no_login(end: str) -> None:
    logins = made()
    mac = logged_in(logins).cookie.split(";")[0].partition(".")[2]
    assert not logins.may_read(f"tandem-8119={end}.{mac}", today=0)
    assert not logins.may_read(f"tandem-8119={end}.", today=0)
    assert not logins.may_read(f"tandem-8119={end}", today=0)


def test_a_key_belongs_to_its_cookie() -> None:
    logins = made()
    first, second = logged_in(logins), logged_in(logins, today=5.0)
    cookie = first.cookie.split(";")[0]
    assert logins.may_change(cookie, first.key, today=1)
    for other in (second.key, "", cookie, "é"):
        assert not logins.may_change(cookie, other, today=1)
    assert not logins.may_change("", first.key, today=1)


@pytest.mark.parametrize("other", ['theme={"a":1}', "x=a b", "n[0]=1", "é=1", "flag", "=", ";;", "a=tandem-8119=1"])
def test_cookies_of_other_programs_on_this_machine_do_not_matter(other: str) -> None:
    logins = made()
    cookie = logged_in(logins).cookie.split(";")[0]
    assert logins.may_read(f"{other}; {cookie}", today=0)
    assert logins.may_read(f"{cookie}; {other}", today=0)
    assert not logins.may_read(other, today=0)


def test_tickets_end_and_are_few() -> None:
    logins = made()
    late = logins.ticket(now=0.0)
    assert logins.log_in(late, now=TICKET_LIFETIME, today=0) is None
    first = logins.ticket(now=0.0)
    for _ in range(MAX_TICKETS):
        logins.ticket(now=0.0)
    assert logins.log_in(first, now=0.0, today=0) is None


def test_without_a_token_nobody_is_let_in() -> None:
    logins = made("")
    assert logins.log_in("", now=0.0, today=0) is None
    assert not logins.is_token("")


# --- the server ---


async def test_clients_that_do_not_read_are_given_up_with_all_that_was_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_WRITE_TIMEOUT", 0.2)
    answer = Answer(body=bytes(8 << 20))

    async def serve(request: Request) -> Answer:
        return answer

    http = server.HttpServer(serve)
    port = await http.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(1)
    got = 0
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            got += len(data)
    assert 0 < got < len(answer.body)
    writer.close()
    await http.close()


async def test_connections_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)

    async def serve(request: Request) -> Answer:
        return Answer(body=request.body)

    http = server.HttpServer(serve)
    port = await http.listen("127.0.0.1", 0)
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for _, writer in held:
        writer.write(b"GET / HTT")
    await asyncio.sleep(0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    for _, each in held:
        each.close()
    await http.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + bytes(70_000), b"413"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://y/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"100"),
    ],
)
async def test_requests_of_every_kind_are_answered(sent: bytes, status: bytes) -> None:
    asked: list[Request] = []

    async def serve(request: Request) -> Answer:
        asked.append(request)
        return Answer()

    http = server.HttpServer(serve)
    port = await http.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert (await reader.readline()).split()[1] == status
    assert [(request.path, request.headers["host"]) for request in asked] in ([], [("/path", "y")])
    writer.close()
    await http.close()
