"""Chromium through the SOCKS port, over links that lose 10 %: a page whose sixty pieces come all at once."""

import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Gate, Pair, link_options

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
HOSTS = [f"host{i}.test" for i in range(10)]
"""A browser opens six connections to each host, and no more than 32 through a SOCKS proxy."""

PIECES = 60

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PAGE = """<!DOCTYPE html><title>pieces</title><body><p id=count>0</p><script>
let loaded = 0;
const urls = %s;
for (const url of urls) {
  const image = new Image();
  image.onload = () => { loaded += 1; document.getElementById("count").textContent = "loaded " + loaded; };
  image.src = url;
  document.body.append(image);
}
</script></body>"""
IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


class Site:
    """A web server whose pieces wait until many are asked for at the same time."""

    def __init__(self) -> None:
        self.at_once = self.most = 0
        self.enough = threading.Event()
        self._lock = threading.Lock()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path == "/":
            urls = [f"http://{HOSTS[i % len(HOSTS)]}:{self.port}/piece/{i}" for i in range(PIECES)]
            self._send(handler, "text/html", (PAGE % json.dumps(urls)).encode())
        else:
            self._wait_for_others()
            self._send(handler, "image/svg+xml", IMAGE)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _wait_for_others(self) -> None:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            if self.at_once >= 20:
                self.enough.set()
        self.enough.wait(timeout=20)
        with self._lock:
            self.at_once -= 1

    @staticmethod
    def _send(handler: http.server.BaseHTTPRequestHandler, media_type: str, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", media_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def browse(proxy: str, url: str, profile: Path) -> str:
    """What is on the page once everything is loaded."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={profile}", f"--proxy-server={proxy}", "--proxy-bypass-list=<-loopback>"]
    command += ["--timeout=90000", "--dump-dom", url]
    environment = {**os.environ, "HOME": str(profile)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.smoke
@pytest.mark.sampled
@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_sixty_pieces_of_a_page(
    pair: Pair, gates: list[Gate], site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("TANDEM_SERVER__HOSTS", json.dumps({host: ["127.0.0.1"] for host in HOSTS}))
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    for gate in gates:
        gate.loss = 0.10
    dom = browse(f"{scheme}://{pair.proxy}", f"http://{HOSTS[0]}:{site.port}/", tmp_path / "profile")
    assert f"loaded {PIECES}" in dom, (dom, pair.log("client"))
    if scheme == "socks5":
        assert site.most >= 20
