"""The admin endpoint and its token: for its owner alone."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from loopback import free_port
from tandem.admin.endpoint import AdminEndpoint
from tandem.admin.status import ClientStatus
from tandem.base.errors import TandemError
from tandem.config.config import AdminConfig, Config
from tandem.process import runtime
from tandem.web import server

TOKEN = "0123456789abcdef"


def client_status(state: str = "up") -> ClientStatus:
    session = {"state": state, "server": "192.0.2.1:8120", "streams_open": 2, "streams_total": 7}
    session |= {"bytes_up": 1000, "bytes_down": 2_500_000, "copy_bytes": 10, "rescued": 3}
    session |= {"reason": "" if state == "up" else "all links are down"}
    return ClientStatus.model_validate({"uptime_s": 1.0, "mode": "duplicate", "session": session, "links": []})


async def test_it_answers_its_owner_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    state = ["up"]
    port = free_port()
    endpoint = AdminEndpoint("127.0.0.1", port, lambda: client_status(state[0]))
    await endpoint.start()
    token = runtime.find_token(port)
    base = f"http://127.0.0.1:{port}"
    bearer = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session:

        async def get(path: str, headers: dict[str, str] | None = None) -> int:
            async with session.get(base + path, headers=headers) as answer:
                return answer.status

        assert await get("/healthz") == 200
        assert await get("/metrics") == 200
        assert await get("/status") == 401
        assert await get("/status", {"Authorization": "Bearer wrong"}) == 401
        assert await get("/status", bearer) == 200
        assert await get("/status", bearer | {"Origin": "http://evil.example"}) == 403
        assert await get("/status", bearer | {"Host": "evil.example"}) == 403
        assert await get("/healthz", {"Host": "192.0.2.1"}) == 403, "it listens on loopback alone"
        assert await get("/healthz", {"Host": f"localhost:{port}"}) == 200, "nobody can bind this name elsewhere"
        state[0] = "outage"
        async with session.get(f"{base}/healthz") as answer:
            assert answer.status == 503
            assert await answer.json() == {"healthy": False, "reason": "all links are down"}
    await endpoint.close()


async def ask(port: int, head: bytes) -> bytes:
    """The status line that a request of these bytes gets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"Connection: close\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return line


async def test_bytes_that_are_no_token_get_401_and_not_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    endpoint = AdminEndpoint("127.0.0.1", port, client_status, token=TOKEN)
    await endpoint.start()
    for odd in (b"Bearer \xff", b"Bearer", b"Bearer ", b"\xff\xfe", b"Basic " + TOKEN.encode(), b"bearer\x80 x"):
        head = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: " + odd + b"\r\n"
        assert b" 401 " in await ask(port, head), odd
    good = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
    assert b" 200 " in await ask(port, good)
    assert "Traceback" not in caplog.text
    await endpoint.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.0.2.7:8118", b" 200 "),
        ("[2001:db8::1]:8118", b" 200 "),
        ("tandem.lan", b" 200 "),
        ("TANDEM.lan:8118", b" 200 "),
        ("rebind.evil.example", b" 403 "),
        ("tandem.lan.evil.example", b" 403 "),
        ("", b" 403 "),
        ("192.0.2.7.evil.example", b" 403 "),
    ],
)
async def test_on_other_addresses_a_name_is_refused_unless_it_is_configured(host: str, status: bytes) -> None:
    """A page of evil.example that has bound its name to this address gets nothing, /metrics included."""
    port = free_port()
    endpoint = AdminEndpoint("0.0.0.0", port, client_status, token=TOKEN, names=["tandem.lan"])
    await endpoint.start()
    assert status in await ask(port, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n".encode())
    await endpoint.close()


async def test_heads_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.3)
    port = free_port()
    endpoint = AdminEndpoint("127.0.0.1", port, client_status, token=TOKEN)
    await endpoint.start()
    readers: list[asyncio.StreamReader] = []
    writers: list[asyncio.StreamWriter] = []
    for beginning in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        readers.append(reader)
        writers.append(writer)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /healthz HTTP/1.1\r\nHos")
    async with asyncio.timeout(30):
        assert b" 200 " in await reader.readline()
        for silent in (*readers, reader):
            await silent.read()
    for each in (*writers, writer):
        each.close()
    await endpoint.close()


async def test_a_port_in_use_is_an_error_with_a_hint() -> None:
    port = free_port()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    with pytest.raises(TandemError, match="Address already in use") as caught:
        await AdminEndpoint("127.0.0.1", port, client_status).start()
    assert "--admin" in caught.value.hint
    server.close()


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "sixteen letters é", "with a blank in it"])
def test_a_token_that_is_none_is_a_mistake(token: str) -> None:
    with pytest.raises(ValueError, match="16 or more"):
        AdminConfig.model_validate({"token": token})
    assert AdminConfig.model_validate({"token": TOKEN}).token


def test_a_variable_that_nobody_has_set_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_ADMIN__TOKEN", "")
    with pytest.raises(ValueError, match="it has 0 characters"):
        Config()


# --- the runtime directory ---


@pytest.fixture
def in_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of last resort, as somebody without root has it."""
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / "tandem-4242"


def test_a_directory_that_somebody_else_has_made_is_not_used(in_tmp: Path, tmp_path: Path) -> None:
    """It might be full of links to the user's secrets, which would be sent to whoever listens at the port."""
    in_tmp.mkdir(mode=0o700)  # by another user: by root, who runs the tests, or by whoever does
    os.chmod(in_tmp, 0o777)
    (in_tmp / "admin-8119.token").write_text(TOKEN)
    assert runtime.find_token(8119) is None
    with pytest.raises(TandemError, match="not this user's alone"):
        runtime.publish_token(8119, TOKEN)
    in_tmp.rename(tmp_path / "elsewhere")
    os.chmod(tmp_path / "elsewhere", 0o700)
    in_tmp.symlink_to(tmp_path / "elsewhere")
    assert runtime.find_token(8119) is None
    with pytest.raises(TandemError, match="not this user's alone"):
        runtime.publish_token(8119, TOKEN)


@pytest.mark.parametrize("content", ["", "short", TOKEN + "\n", "two\nlines of a secret file", "é" * 20])
def test_what_is_no_token_is_not_sent(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runtime.publish_token(8119, TOKEN)
    path = tmp_path / "tandem" / "admin-8119.token"
    assert runtime.find_token(8119) == path.read_text()
    path.write_text(content)
    assert runtime.find_token(8119) is None


def test_a_token_file_that_leads_elsewhere_is_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "secret").write_text(TOKEN)
    (tmp_path / "tandem").mkdir(mode=0o700)
    (tmp_path / "tandem" / "admin-8119.token").symlink_to(tmp_path / "secret")
    assert runtime.find_token(8119) is None
    if sys.platform != "win32":
        with socket.socket(socket.AF_UNIX) as pipe:
            pipe.bind(str(tmp_path / "tandem" / "admin-8120.token"))
            assert runtime.find_token(8120) is None
