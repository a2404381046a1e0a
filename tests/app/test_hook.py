"""A registry that is an HTTP service: what it is asked, what its answers mean, and its faults."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tandem.base.errors import TandemError, UsageError
from tandem.registry import hook
from tandem.registry.hook import Hook
from tandem.registry.registration import Registration, Terms
from tandem.registry.source import Traffic

KEY = b"k" * 32


@dataclass
class Service:
    """A service that says what a test wants, and remembers what it was asked."""

    answer: bytes = b'{"ok": true, "id": "alice"}'
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tokens: list[str | None] = field(default_factory=list[str | None])
    url: str = ""


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            made.tokens.append(self.headers["Authorization"])
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(made.answer)))
            self.end_headers()
            self.wfile.write(made.answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/auth"
    yield made
    server.shutdown()
    server.server_close()
    thread.join(60)


def test_it_is_asked_for_the_key_and_told_the_token_and_the_bytes(service: Service) -> None:
    asking = Hook(service.url, "a secret of many characters")
    assert asking.find(KEY) == Registration("alice", KEY, "")
    assert service.asked == [{"public_key": base64.b64encode(KEY).decode(), "bytes": 0}]
    assert service.tokens == ["Bearer a secret of many characters"]
    assert asking.account({KEY: Traffic(50, is_online=True)}) == {}
    assert len(service.asked) == 1, "not again so soon"
    asking.account({KEY: Traffic(7, is_online=False)})
    assert service.asked[-1]["bytes"] == 57
    asking.find(KEY)
    assert service.asked[-1]["bytes"] == 0


def test_who_is_online_is_asked_for_again_after_a_while(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Hook(service.url)
    asking.find(KEY)
    monkeypatch.setattr(hook, "REFRESH", 0.0)
    service.answer = b'{"ok": false, "reason": "disabled", "id": "alice"}'
    found = asking.account({KEY: Traffic(5, is_online=True)})
    alice = found[KEY]
    assert alice is not None
    assert alice.terms.is_disabled
    assert service.asked[-1]["bytes"] == 5


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ok": True, "id": "al.ice-1"}, Registration("al.ice-1", KEY, "")),
        (
            {"ok": True, "id": "a", "rate": 5, "max_streams": 7, "expires": 9},
            Registration("a", KEY, "", Terms(expires_at=9, rate=5, max_streams=7)),
        ),
        ({"ok": True, "id": "a", "something": "else"}, Registration("a", KEY, "")),
        ({"ok": True}, Registration("key-6b6b6b6b", KEY, "")),
        ({"ok": False}, None),
        ({"ok": False, "reason": "unknown", "id": "a"}, None),
        ({"ok": False, "reason": "disabled", "id": "a"}, Registration("a", KEY, "", Terms(is_disabled=True))),
        ({"ok": False, "reason": "expired", "id": "a"}, Registration("a", KEY, "", Terms(expires_at=1))),
        ({"ok": False, "reason": "quota", "id": "a", "until": 77}, Registration("a", KEY, "", spent_until=77)),
    ],
)
def test_what_its_answers_mean(answer: dict[str, object], expected: Registration | None, service: Service) -> None:
    service.answer = json.dumps(answer).encode()
    assert Hook(service.url).find(KEY) == expected


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (500, b"", "it answers 500"),
        (401, b"", "it answers 401"),
        (200, b"", "Invalid JSON"),
        (200, b"<html>", "Invalid JSON"),
        (200, b'{"id": "alice"}', "ok: Field required"),
        (200, b'{"ok": "perhaps"}', "ok: "),
        (200, b'{"ok": true, "rate": -1}', "rate: "),
        (200, b'{"ok": false, "reason": "quota", "until": 1180591620717411303424}', "until: "),
        (200, b'{"ok": true, "id": "../x"}', "is not allowed"),
        (200, b'{"ok": false, "reason": "mood"}', "reason: "),
        (200, b"[" * 70_000, "Invalid JSON"),
        (204, b"", "Invalid JSON"),
    ],
)
def test_an_answer_that_is_none_lets_nobody_in_and_is_an_error(
    status: int, answer: bytes, said: str, service: Service
) -> None:
    service.status, service.answer = status, answer
    asking = Hook(service.url)
    with pytest.raises(TandemError) as caught:
        asking.find(KEY)
    assert said in str(caught.value)
    service.status, service.answer = 200, b'{"ok": true, "id": "alice"}'
    assert asking.find(KEY) is not None


def test_bytes_are_told_when_the_service_is_back(service: Service) -> None:
    asking = Hook(service.url)
    service.status = 500
    for _ in range(3):
        assert asking.account({KEY: Traffic(5, is_online=False), b"o" * 32: Traffic(1, is_online=False)}) == {}
        assert "it answers 500" in asking.changes_since(0).problem
    service.status = 200
    asking.account({KEY: Traffic(6, is_online=False)})
    assert service.asked[-1]["bytes"] == 21, "each byte once"
    assert asking.changes_since(0).problem == ""


def test_a_client_that_the_service_no_longer_knows_is_unknown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Hook(service.url)
    asking.find(KEY)
    monkeypatch.setattr(hook, "REFRESH", 0.0)
    service.answer = b'{"ok": false}'
    for _ in range(3):
        assert asking.account({KEY: Traffic(1, is_online=True)}) == {KEY: None}


def test_a_redirection_is_not_followed_with_the_token(service: Service) -> None:
    service.status = 302
    with pytest.raises(TandemError, match="it answers 302"):
        Hook(service.url, "a secret of many characters").find(KEY)


def test_a_service_that_is_not_there_is_an_error_without_its_parameters() -> None:
    with pytest.raises(TandemError) as caught:
        Hook("http://127.0.0.1:1/auth?key=geheim", "geheim und noch geheimer").find(KEY)
    assert str(caught.value).startswith("registry http://127.0.0.1:1/auth: ")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "http://auth.example.org/x",
        "http://192.0.2.1/x",
        "https:///x",
        "http://[2001:db8::1]/x",
        "http://134744072/x",
        "https://h:99999/x",
    ],
)
def test_an_address_over_which_anybody_could_answer_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Hook(url)


@pytest.mark.parametrize(
    "url", ["https://auth.example.org/x", "http://localhost:80/x", "http://[::1]/x", "http://auth/x"]
)
def test_addresses_of_a_service(url: str) -> None:
    assert Hook(url).place.startswith(url.partition(":")[0])
