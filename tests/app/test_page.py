"""The page's side of the admin endpoint: who may log in, what other pages cannot do, what is told live."""

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from loopback import free_port
from tandem.admin import admin_client, live
from tandem.admin.actions import Actions
from tandem.admin.endpoint import AdminEndpoint
from tandem.admin.history import SAMPLES, LinkSample, StatusHistory
from tandem.admin.public_status import public_status
from tandem.admin.status import ClientStatus, ServerSessionStatus, ServerStatus
from tandem.base.errors import TandemError
from tandem.client.bridged import BridgedOutages
from tandem.process import runtime
from tandem.server.qr import qr_path
from tandem.web import server
from tandem.web.files import NAMES, page_file

TOKEN = "0123456789abcdef"
STATIC = Path(server.__file__).with_name("static")


def client_status() -> ClientStatus:
    session = {"state": "up", "server": "192.0.2.1:8120", "streams_open": 1, "streams_total": 7, "rescued": 3}
    session |= {"bytes_up": 1000, "bytes_down": 2_500_000, "copy_bytes": 10}
    link = {"name": "wifi", "path_id": 0, "local": "192.0.2.9:1", "remote": "192.0.2.1:8120", "state": "usable"}
    link |= {"reason": "", "rtt_ms": {"latest": 1, "smoothed": 1, "min": 1, "p95": 1}, "won": None}
    link |= {"loss_up": 0.1, "loss_down": None, "rate_up_bps": 1, "rate_down_bps": 2, "bytes_up": 3, "bytes_down": 4}
    stream = {"target": "secret.example:443", "age_s": 1, "bytes_up": 1, "bytes_down": 2}
    fields = {"uptime_s": 1.0, "mode": "adaptive", "session": session, "links": [link], "streams": [stream]}
    return ClientStatus.model_validate(fields)


class Page:
    """A browser that has our page, or another one, open."""

    def __init__(self, session: aiohttp.ClientSession, port: int, acted: list[bytes]) -> None:
        self.session, self.base, self.acted = session, f"http://127.0.0.1:{port}", acted
        self.key = ""

    async def post(self, path: str, body: object = None, **headers: str) -> int:
        own = {"Origin": self.base, "Sec-Fetch-Site": "same-origin", "X-Tandem-Key": self.key}
        sent = {name: value for name, value in (own | {_header(n): v for n, v in headers.items()}).items() if value}
        async with self.session.post(self.base + path, json=body or {}, headers=sent) as answer:
            return answer.status

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        async with self.session.get(self.base + path, headers=headers) as answer:
            return answer.status

    async def log_in(self, secret: str) -> int:
        async with self.session.post(f"{self.base}/login", json={"secret": secret}) as answer:
            self.key = (await answer.json()).get("key", "")
            return answer.status


def _header(name: str) -> str:
    return name.replace("_", "-")


@asynccontextmanager
async def opened(marks: list[live.Mark] | None = None) -> AsyncGenerator[Page]:
    acted: list[bytes] = []

    async def act(body: bytes) -> dict[str, object]:
        acted.append(body)
        return {}

    actions: Actions = {"mode": act}
    port = free_port()
    endpoint = AdminEndpoint(
        "127.0.0.1", port, client_status, actions=actions, token=TOKEN, marks=lambda: list(marks or [])
    )
    await endpoint.start()
    jar = aiohttp.CookieJar(unsafe=True)  # which is how aiohttp calls cookies of an address
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Page(session, port, acted)
    await endpoint.close()


# --- logging in ---


async def test_a_login_reads_and_changes_until_it_is_over() -> None:
    async with opened() as page:
        assert await page.get("/status") == 401
        assert await page.post("/mode") == 401
        assert await page.log_in("not the token") == 401
        assert await page.log_in(TOKEN) == 200
        assert await page.get("/status") == 200
        assert await page.post("/mode") == 200
        assert await page.post("/logout") == 200
        assert await page.get("/status") == 401
        assert await page.post("/mode") == 401
        assert len(page.acted) == 1


async def test_a_ticket_logs_in_once() -> None:
    async with opened() as page:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        async with page.session.post(f"{page.base}/ticket", headers=bearer) as answer:
            ticket = (await answer.json())["ticket"]
        assert await page.log_in(ticket) == 200
        assert await page.post("/mode") == 200
        assert await page.log_in(ticket) == 401


async def test_the_cookie_is_for_this_site_alone_and_not_for_scripts() -> None:
    async with opened() as page, page.session.post(f"{page.base}/login", json={"secret": TOKEN}) as answer:
        attributes = answer.headers["Set-Cookie"].split("; ")[1:]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
        assert TOKEN not in answer.headers["Set-Cookie"] + await answer.text()


# --- other pages ---


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Origin": "", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "", "Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"X_Tandem_Key": ""},
        {"X_Tandem_Key": "0" * 64},
    ],
)
async def test_another_page_changes_nothing_although_the_browser_sends_the_cookie(headers: dict[str, str]) -> None:
    async with opened() as page:
        assert await page.log_in(TOKEN) == 200
        assert await page.post("/mode", **headers) in (401, 403)
        assert page.acted == []
        assert await page.post("/mode") == 200


@pytest.mark.parametrize("path", ["/status", "/live", "/page.js", "/metrics", "/healthz"])
async def test_another_page_reads_nothing(path: str) -> None:
    async with opened() as page:
        await page.log_in(TOKEN)
        assert await page.get(path, {"Origin": "http://evil.example"}) == 403
        assert await page.get(path, {"Sec-Fetch-Site": "cross-site"}) == 403
        assert await page.get(path, {"Sec-Fetch-Site": "same-site"}) == 403


async def test_a_link_on_another_page_leads_here() -> None:
    async with opened() as page:
        assert await page.get("/", {"Sec-Fetch-Site": "cross-site"}) == 200


async def test_every_answer_forbids_frames_and_foreign_scripts() -> None:
    async with opened() as page:
        for path in ("/", "/page.js", "/status", "/nothing", "/healthz"):
            async with page.session.get(page.base + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert "Access-Control-Allow-Origin" not in answer.headers


# --- the files ---


def test_the_page_is_small_and_loads_nothing_from_elsewhere() -> None:
    files = {path.name: path.read_text() for path in STATIC.iterdir()}
    assert set(files) == set(NAMES.values())
    assert sum(len(text.encode()) for text in files.values()) < 60_000
    known = {"http://www.w3.org/2000/svg"}
    for name, text in files.items():
        assert set(re.findall(r"https?://[^\s\"'<>)]+", text)) <= known, name
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bon[a-z]+=\"|style=\"|innerHTML|eval\(", text), name


def test_only_known_paths_are_files() -> None:
    for path in ("/../endpoint.py", "/static/page.js", "/page.js/", "//page.js", "/index.html", ""):
        assert page_file(path) is None


# --- what is told ---


async def events(page: Page, count: int) -> list[tuple[str, object]]:
    """The first events of the live stream."""
    found: list[tuple[str, object]] = []
    async with page.session.get(f"{page.base}/live") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        while len(found) < count:
            name = (await answer.content.readline()).decode().removeprefix("event: ").strip()
            data = (await answer.content.readline()).decode().removeprefix("data: ")
            await answer.content.readline()
            found.append((name, json.loads(data)))
    return found


async def test_who_has_not_logged_in_sees_links_but_no_destinations() -> None:
    mark: live.Mark = {"at": "2027-01-01T00:00:00Z", "event": "link", "link": "wifi", "cause": "192.0.2.1 is silent"}
    async with opened([mark]) as page:
        (_, _), (_, marks), (_, reader), (name, status) = await events(page, 4)
        assert name == "status"
        assert isinstance(reader, dict)
        assert reader["is_public"] is True
        assert isinstance(status, dict)
        assert status["links"][0]["loss_up"] == 0.1
        assert "secret" not in json.dumps([marks, status])
        assert "192.0.2" not in json.dumps([marks, status])
        await page.log_in(TOKEN)
        (_, _), (_, marks), (_, reader), (_, status) = await events(page, 4)
        assert isinstance(reader, dict)
        assert reader["is_public"] is False
        assert marks == [mark]
        assert "secret.example:443" in json.dumps(status)


def test_the_public_status_of_a_server_names_no_client() -> None:
    session = ServerSessionStatus(**client_status().session.model_dump(), client="alice", links=[])
    status = ServerStatus(uptime_s=1, listen=["192.0.2.1:8120"], clients=3, sessions=[session])
    shown = public_status(status).model_dump_json()
    assert "alice" not in shown
    assert "192.0.2.1" not in shown
    assert '"clients":3' in shown


async def test_pages_that_are_closed_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_WATCHERS", 1)
    monkeypatch.setattr(live, "INTERVAL", 0.05)
    async with opened() as page, page.session.get(f"{page.base}/live") as first:
        await first.content.readline()
        assert await page.get("/live") == 503
        first.close()
        for _ in range(1200):
            if await page.get("/live") == 200:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the place of a page that was closed is not free after a minute")


async def test_pages_share_a_status_and_a_dear_one_is_made_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    made = 0

    async def dear() -> ClientStatus:
        nonlocal made
        made += 1
        await asyncio.sleep(0.1)
        return client_status()

    told = live.LiveStatus(dear, StatusHistory(), list)
    found: list[bytes] = []

    async def watch() -> None:
        async for part in told.parts(lambda: True):
            found.append(part)

    watching = [asyncio.create_task(watch()) for _ in range(5)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(_told_once(found, number) for number in range(5)))
    assert made == 1, "five pages were told the same; the next one is due after two seconds"
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)


async def _told_once(found: list[bytes], number: int) -> None:
    """Waits until more than `number` statuses were told."""
    for _ in range(6000):
        if sum(b"event: status" in part for part in found) > number:
            return
        await asyncio.sleep(0.01)


async def test_a_page_that_logs_out_is_told_no_more_destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    is_public = False
    parts = live.LiveStatus(_status, StatusHistory(), list).parts(lambda: is_public)
    told = b"".join([await anext(parts) for _ in range(6)])
    assert b"secret.example" in told
    is_public = True
    told = b"".join([await anext(parts) for _ in range(6)])
    assert b"secret.example" not in told.split(b"event: status", 1)[1]
    await parts.aclose()


async def _status() -> ClientStatus:
    return client_status()


async def test_on_other_machines_the_reason_of_ill_health_is_not_for_everybody() -> None:
    status = client_status()
    status.session.state, status.session.reason = "outage", "no answer from 192.0.2.1:8120"
    for host, is_told in (("127.0.0.1", True), ("0.0.0.0", False)):
        port = free_port()
        endpoint = AdminEndpoint(host, port, lambda: status, token=TOKEN)
        await endpoint.start()
        async with aiohttp.ClientSession() as session:
            for headers, is_known in (({}, is_told), ({"Authorization": f"Bearer {TOKEN}"}, True)):
                async with session.get(f"http://127.0.0.1:{port}/healthz", headers=headers) as answer:
                    assert answer.status == 503
                    assert ("192.0.2.1" in await answer.text()) == is_known
        await endpoint.close()


async def test_the_configured_token_stands_in_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command line gets one of its own, which ends with the process."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    port = free_port()
    endpoint = AdminEndpoint("127.0.0.1", port, client_status, token=TOKEN)
    await endpoint.start()
    found = runtime.find_token(port)
    assert found not in (None, TOKEN)
    async with aiohttp.ClientSession() as session:
        for token in (found, TOKEN):
            async with session.get(
                f"http://127.0.0.1:{port}/status", headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                assert answer.status == 200
    await endpoint.close()


def test_the_token_of_this_machine_is_sent_to_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runtime.publish_token(8119, TOKEN)
    sent: list[object] = []

    def opened(self: object, request: urllib.request.Request, timeout: float) -> None:
        sent.append(request.get_header("Authorization"))
        raise urllib.error.URLError("nobody is there")

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", opened)
    for place in (("192.0.2.55", 8119), ("router.lan", 8119), ("127.0.0.1", 8119)):
        with pytest.raises(TandemError):
            admin_client.ask([place], "/status")
    assert sent == ["Bearer ", "Bearer ", f"Bearer {TOKEN}"]


def test_an_hour_is_kept_and_links_may_come_late() -> None:
    history = StatusHistory()
    sample = LinkSample(1.0, 0.0, None, 1000, 2000)
    for number in range(SAMPLES + 10):
        links = {"wifi": sample} if number < SAMPLES else {"wifi": sample, "mobile": sample}
        history.note(links, at=1000.0 + 5 * number)
    told = history.told()
    assert len(told["links"]["wifi"]["up_bps"]) == SAMPLES
    assert told["links"]["mobile"]["rtt_ms"] == [None] * (SAMPLES - 10) + [1.0] * 10


def test_a_bridged_outage_is_one_that_another_link_has_carried() -> None:
    bridged = BridgedOutages()
    for path_id in (0, 1):
        bridged.note(path_id, "usable", now=0.0)
    bridged.note(0, "down", now=10.0)
    assert (bridged.count, bridged.seconds(now=15.0)) == (1, 5.0)
    bridged.note(0, "probing", now=20.0)
    bridged.note(0, "degraded", now=22.0)
    assert (bridged.count, bridged.seconds(now=99.0)) == (1, 12.0)
    bridged.note(1, "down", now=100.0)
    bridged.note(0, "down", now=103.0)  # from here on nothing carries it
    assert (bridged.count, bridged.seconds(now=200.0)) == (2, 15.0)
    bridged.note(1, "usable", now=210.0)
    assert (bridged.count, bridged.seconds(now=300.0)) == (2, 15.0)


def test_a_qr_code_is_drawn_in_rows() -> None:
    code = qr_path("tandem://1/" + "A" * 100)
    assert code is not None
    assert code.path.startswith("M4 4h7v1h-7z"), "the first row of the finder in the corner"
    assert qr_path("x" * 3000) is None
