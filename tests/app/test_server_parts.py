"""State directory, admin endpoint, console: the parts around the session."""

import asyncio
import stat
from pathlib import Path

import aiohttp
import pytest

from loopback import free_port
from tandem import runtime
from tandem.admin import AdminEndpoint
from tandem.errors import TandemError, UsageError
from tandem.screen import line
from tandem.state import ClientRegistry, StateDirectory
from tandem.status import ClientStatus

# --- state ---


def test_the_key_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    assert state.server_key() == state.server_key()
    assert stat.S_IMODE((tmp_path / "state" / "server.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    state.add_client("laptop", b"p" * 32, replace=False)
    assert stat.S_IMODE((tmp_path / "state" / "clients" / "laptop.json").stat().st_mode) == 0o600


def test_clients_are_registered_replaced_and_removed(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.add_client("laptop", b"1" * 32, replace=False)
    registry = ClientRegistry(state)
    assert registry.lookup(b"1" * 32) == "laptop"
    with pytest.raises(UsageError, match="registered already"):
        state.add_client("laptop", b"2" * 32, replace=False)
    state.add_client("laptop", b"2" * 32, replace=True)
    assert registry.reload() == {b"1" * 32}
    assert registry.lookup(b"2" * 32) == "laptop"
    state.remove_client("laptop")
    assert registry.reload() == {b"2" * 32}
    with pytest.raises(UsageError, match="no client 'laptop' in ") as caught:
        state.remove_client("laptop")
    assert caught.value.hint == "registered: none"


def test_when_a_client_was_last_seen_is_kept_as_long_as_it_is_registered(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.add_client("laptop", b"1" * 32, replace=False)
    assert state.last_seen("laptop") is None
    state.note_seen("laptop")
    assert state.last_seen("laptop") is not None
    state.remove_client("laptop")
    assert state.last_seen("laptop") is None
    state.note_seen("laptop")  # by its last session, which ends now
    state.add_client("laptop", b"2" * 32, replace=False)
    assert state.last_seen("laptop") is None
    state.note_seen("laptop")
    state.add_client("laptop", b"3" * 32, replace=True)
    assert state.last_seen("laptop") is None, "another key"


@pytest.mark.parametrize("name", ["", "../x", "a b", "ü", "x" * 65, ".hidden"])
def test_bad_client_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        StateDirectory(tmp_path).add_client(name, b"p" * 32, replace=False)


def test_a_broken_state_directory_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "server.key").write_text("not a key")
    with pytest.raises(TandemError, match=r"server\.key"):
        StateDirectory(tmp_path).server_key()
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "x.json").write_text("{")
    with pytest.raises(TandemError, match=r"x\.json"):
        StateDirectory(tmp_path).clients()


# --- admin ---


def client_status(state: str = "up") -> ClientStatus:
    link = {
        "name": "wifi",
        "path_id": 0,
        "local": "192.0.2.2:5",
        "remote": "192.0.2.1:8120",
        "state": "degraded",
        "reason": "loss over 10%",
        "rtt_ms": {"latest": 31.0, "smoothed": 33.3, "min": 30.0, "p95": 41.0},
        "loss_up": 0.125,
        "loss_down": None,
        "rate_up_bps": 1_250_000.0,
        "rate_down_bps": 0.0,
        "bytes_up": 1000,
        "bytes_down": 2000,
        "won": 0.5,
    }
    session = {"state": state, "server": "192.0.2.1:8120", "streams_open": 2, "streams_total": 7}
    session |= {"bytes_up": 1000, "bytes_down": 2_500_000, "copy_bytes": 10, "rescued": 3}
    return ClientStatus.model_validate({"uptime_s": 1.0, "mode": "duplicate", "session": session, "links": [link]})


async def test_the_admin_endpoint_answers_its_owner_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
        assert await get("/healthz", {"Host": f"localhost:{port}"}) == 403
        state[0] = "outage"
        assert await get("/healthz") == 503
    await endpoint.close()


async def test_an_admin_port_in_use_is_an_error_with_a_hint() -> None:
    port = free_port()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    with pytest.raises(TandemError, match="Address already in use") as caught:
        await AdminEndpoint("127.0.0.1", port, client_status).start()
    assert "--admin" in caught.value.hint
    server.close()


# --- console ---


def test_the_status_in_one_line() -> None:
    assert line(client_status()) == ("session up, 2 streams open; wifi degraded 33 ms, loss 12% up - down")


def test_the_status_keeps_its_names() -> None:
    """Monitoring relies on them; new ones come last."""
    status = client_status().model_dump()
    assert list(status) == ["version", "role", "uptime_s", "mode", "session", "links", "streams"]
    assert list(status["session"]) == [
        "state", "server", "streams_open", "streams_total", "bytes_up", "bytes_down", "copy_bytes", "rescued",
        "spurious", "age_s", "outage_s",
    ]  # fmt: skip
    assert list(status["links"][0]) == [
        "name", "path_id", "local", "remote", "state", "reason", "rtt_ms", "loss_up", "loss_down",
        "rate_up_bps", "rate_down_bps", "bytes_up", "bytes_down", "won",
        "queue_ms", "datagram_size", "spurious", "cost", "day_bytes", "month_bytes", "drill",
        "limited_by",
    ]  # fmt: skip
    assert list(status["links"][0]["rtt_ms"]) == ["latest", "smoothed", "min", "p95"]
