"""Programs that reuse their connections to an HTTP proxy: none of them loses a request, whatever their server does.

The servers here do what real ones do: one keeps its connections although it was told to close them, one closes
them without a word.
"""

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import requests

from loopback import Gate, Pair, link_options

FILES: dict[str, bytes] = {"/a b": b"a file", "/page": b"page " * 500}


class Stubborn(BaseHTTPRequestHandler):
    """Keeps the connection, and says nothing of it."""

    protocol_version = "HTTP/1.1"
    closes = False

    def do_GET(self) -> None:
        user = self.headers.get("Authorization", "")
        path = self.path.replace("/./", "/")
        is_missing = path.startswith(("/none", "/repository/")) and path not in FILES
        content = FILES.get(path, f"{path} {user}".encode())
        self._answer(404 if is_missing else 200, b"" if is_missing else content)

    def do_HEAD(self) -> None:
        self._answer(200, FILES.get(self.path, b""), has_body=False)

    def do_POST(self) -> None:
        self._answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, content: bytes, *, has_body: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if has_body:
            self.wfile.write(content)
        self.close_connection = self.closes

    def log_message(self, format: str, *args: object) -> None:
        pass


class Silent(Stubborn):
    """Closes after each answer without saying so."""

    closes = True


class World:
    """A pair of processes and two web servers."""

    def __init__(self, pair: Pair, servers: dict[str, str]) -> None:
        self.proxy = f"http://{pair.proxy}"
        self.place = pair.proxy
        self.servers = servers

    def run(self, *command: str, cwd: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Skips the test where the program is not there."""
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        everything = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"} | environment
        return subprocess.run(
            command, cwd=cwd, env=everything, capture_output=True, text=True, timeout=250, check=False
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    pair = Pair(tmp_path_factory.mktemp("http"))
    gates = [Gate(("127.0.0.1", port), seed=i, loss=0.05) for i, port in enumerate(pair.udp_ports)]
    servers = {"stubborn": ThreadingHTTPServer(("127.0.0.1", 0), Stubborn)}
    servers["silent"] = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    for server in servers.values():
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    pair.start_server()
    pair.start_client(pair.invite(), *link_options(gates))
    yield World(pair, {name: f"127.0.0.1:{server.server_port}" for name, server in servers.items()})
    pair.close()
    for gate in gates:
        gate.close()
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.mark.smoke
@pytest.mark.sampled
@pytest.mark.parametrize("server", ["stubborn", "silent"])
def test_requests_with_a_session(world: World, server: str) -> None:
    base = f"http://{world.servers[server]}"
    with requests.Session() as session:
        session.proxies = {"http": world.proxy}
        session.trust_env = False
        for number in range(20):
            assert session.get(f"{base}/{number}", timeout=60).text == f"/{number} "
            assert session.post(f"{base}/form", data=f"body {number}", timeout=60).text == f"body {number}"
            assert session.head(f"{base}/page", timeout=60).headers["Content-Length"] == "2500"
            assert session.get(f"{base}/none", timeout=60).status_code == 404


@pytest.mark.parametrize("server", ["stubborn", "silent"])
def test_httpx_with_a_pool(world: World, server: str) -> None:
    base = f"http://{world.servers[server]}"
    with httpx.Client(proxy=world.proxy, trust_env=False, timeout=60) as client:
        for number in range(20):
            assert client.get(f"{base}/{number}").text == f"/{number} "


NODE = """
const http = require('http');
const [proxy, base] = [new URL(process.argv[2]), process.argv[3]];
const agent = new http.Agent({keepAlive: true, maxSockets: 2});
const get = (n) => new Promise((resolve, reject) => {
  const options = {host: proxy.hostname, port: proxy.port, path: `${base}/${n}`, agent,
                   headers: {Host: new URL(base).host}};
  http.get(options, (answer) => {
    let text = '';
    answer.on('data', (part) => { text += part; });
    answer.on('end', () => resolve(text));
  }).on('error', reject);
});
(async () => {
  for (let n = 0; n < 20; n++) {
    const [a, b] = await Promise.all([get(n), get(n)]);
    if (a !== `/${n} ` || b !== `/${n} `) throw new Error(`${n}: ${a} ${b}`);
  }
  console.log('all');
  agent.destroy();
})();
"""


@pytest.mark.smoke
@pytest.mark.sampled
@pytest.mark.parametrize("server", ["stubborn", "silent"])
def test_node_with_an_agent_that_keeps_connections(world: World, server: str, tmp_path: Path) -> None:
    script = tmp_path / "agent.js"
    script.write_text(NODE)
    done = world.run("node", str(script), world.proxy, f"http://{world.servers[server]}")
    assert (done.returncode, done.stdout.strip()) == (0, "all"), done.stderr


def test_wget_with_a_user_in_the_address(world: World) -> None:
    url = f"http://user:p%40ss@{world.servers['stubborn']}/x"
    done = world.run("wget", "-q", "-O", "-", "--auth-no-challenge", url, http_proxy=world.proxy)
    assert done.stdout == "/x Basic dXNlcjpwQHNz", done.stderr


def test_curl_with_bytes_beyond_ascii(world: World) -> None:
    done = world.run("curl", "-sS", "--proxy", world.proxy, f"http://{world.servers['silent']}/\u00e4")
    assert done.stdout.startswith("/"), done.stderr
    assert "400" not in done.stdout


def make_registry(server: str, count: int) -> list[str]:
    """Packages for npm, each a tarball of one file."""
    import io
    import tarfile

    names = [f"package-{number}" for number in range(count)]
    for name in names:
        manifest = json.dumps({"name": name, "version": "1.0.0"}).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            info = tarfile.TarInfo("package/package.json")
            info.size = len(manifest)
            archive.addfile(info, io.BytesIO(manifest))
        content = packed.getvalue()
        FILES[f"/{name}/-/{name}-1.0.0.tgz"] = content
        dist = {"tarball": f"http://{server}/{name}/-/{name}-1.0.0.tgz", "shasum": hashlib.sha1(content).hexdigest()}
        version = {"name": name, "version": "1.0.0", "dist": dist}
        document = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        FILES[f"/{name}"] = json.dumps(document).encode()
    return names


@pytest.mark.parametrize("server", ["stubborn", "silent"])
def test_npm_installs_without_a_second_try(world: World, server: str, tmp_path: Path) -> None:
    place = world.servers[server]
    names = make_registry(place, 12)
    wanted = {"name": "x", "version": "1.0.0", "dependencies": dict.fromkeys(names, "1.0.0")}
    (tmp_path / "package.json").write_text(json.dumps(wanted))
    settings = {"registry": f"http://{place}/", "proxy": world.proxy, "noproxy": "", "fetch_retries": "0"}
    environment = {f"npm_config_{key}": value for key, value in settings.items()}
    command = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
    done = world.run(*command, cwd=tmp_path, HOME=str(tmp_path), **environment)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "node_modules").glob("package-*")) == sorted(names)


def make_repository(directory: Path, count: int) -> None:
    """A flat repository of small packages for apt."""
    index: list[str] = []
    for number in range(count):
        name = f"tandem-test-{number}"
        root = directory / name
        (root / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <a@b.c>\nDescription: a test\n"
        (root / "DEBIAN" / "control").write_text(control)
        file = directory / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", str(root), str(file)], check=True, capture_output=True, timeout=60)
        content = file.read_bytes()
        FILES[f"/repository/{name}.deb"] = content
        digest = hashlib.sha256(content).hexdigest()
        index.append(f"{control}Filename: ./{name}.deb\nSize: {len(content)}\nSHA256: {digest}\n")
    FILES["/repository/Packages"] = "\n".join(index).encode()


@pytest.mark.parametrize("server", ["stubborn", "silent"])
def test_apt_fetches_each_file_once_with_a_user_in_its_source(world: World, server: str, tmp_path: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("apt is not installed")
    make_repository(tmp_path / "packages", 10)
    for part in ("lists/partial", "cache/archives/partial", "etc/sources.list.d", "etc/preferences.d", "work"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "status").write_text("")
    (tmp_path / "work").chmod(0o777)
    sources = tmp_path / "etc" / "sources.list"
    sources.write_text(f"deb [trusted=yes] http://user:secret@{world.servers[server]}/repository/ ./\n")
    options = {
        "Dir::State::lists": str(tmp_path / "lists"),
        "Dir::State::status": str(tmp_path / "status"),
        "Dir::Cache": str(tmp_path / "cache"),
        "Dir::Etc": str(tmp_path / "etc"),
        "Acquire::http::Proxy": world.proxy,
        "Acquire::Retries": "0",
        "APT::Sandbox::User": "root",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    updated = world.run("apt-get", *words, "update")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    names = [f"tandem-test-{number}" for number in range(10)]
    fetched = world.run("apt-get", *words, "download", *names, cwd=tmp_path / "work")
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert len(list((tmp_path / "work").glob("*.deb"))) == 10
