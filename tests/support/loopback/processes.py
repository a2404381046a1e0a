"""`tandem server` and `tandem client` as processes, with their own state, ports and runtime directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loopback.ports import free_port

_READY_TIMEOUT = 60.0
"""Seconds; generous, for a test machine may be slow. Nothing waits this long when all is well."""


def tandem_command() -> list[str]:
    return [sys.executable, "-m", "tandem"]


def run_tandem(
    *arguments: str,
    at: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    stdin: str | None = None,
    limit: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        [*at, *tandem_command(), *arguments],
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


class Pair:
    """A server and a client."""

    def __init__(self, directory: Path, at_client: tuple[str, ...] = (), at_server: tuple[str, ...] = ()) -> None:
        """`at_client` and `at_server` come before every command, to run it in another place."""
        self._at = {"client": at_client, "server": at_server}
        self.directory = directory
        self.state = directory / "state"
        self.environment = {
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "STATE_DIRECTORY": str(directory / "own"),
            "HOME": str(directory),
        }
        self.udp_ports = [free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)]
        self.endpoints = [f"127.0.0.1:{port}" for port in self.udp_ports]
        self.listen = list(self.endpoints)
        """Where the server listens; `endpoints` is what the invite says."""
        self.socks_port, self.client_admin, self.server_admin = free_port(), free_port(), free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.client: subprocess.Popen[bytes] | None = None

    @property
    def proxy(self) -> str:
        return f"127.0.0.1:{self.socks_port}"

    def invite(self, name: str = "laptop") -> str:
        endpoints = [item for place in self.endpoints for item in ("--endpoint", place)]
        done = run_tandem("invite", name, "--state", str(self.state), *endpoints, environment=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start_server(self, *options: str) -> None:
        listen = [item for place in self.listen for item in ("--listen", place)]
        admin = ("--admin", f"127.0.0.1:{self.server_admin}")
        common = ("--state", str(self.state), "--allow", "127.0.0.0/8", *listen, *admin)
        self.server = self._start("server", *common, *options)
        self.wait(lambda: self.status(self.server_admin) is not None, "the server's status")

    def start_client(self, invite: str, *options: str, wait: bool = True) -> None:
        common = ("--socks", self.proxy, "--admin", f"127.0.0.1:{self.client_admin}", "--no-console")
        self.client = self._start("client", *common, *options, TANDEM_INVITE=invite)
        if wait:
            self.wait(lambda: self.session_state() == "up", "a session")

    def status(self, admin: int) -> dict[str, Any] | None:
        at = self._at["server" if admin == self.server_admin else "client"]
        arguments = ("status", "--json", "--admin", f"127.0.0.1:{admin}")
        done = run_tandem(*arguments, at=at, environment=self.environment)
        return json.loads(done.stdout) if done.stdout else None

    def client_status(self) -> dict[str, Any]:
        status = self.status(self.client_admin)
        assert status is not None, self.log("client")
        return status

    def session_state(self) -> str:
        status = self.status(self.client_admin)
        return "" if status is None else str(status["session"]["state"])

    def curl(self, url: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
        command = [
            *self._at["client"],
            "curl",
            "-sS",
            "--max-time",
            "250",
            "--socks5-hostname",
            self.proxy,
            *options,
            url,
        ]
        return subprocess.run(command, capture_output=True, timeout=280, check=False)

    def wait(self, condition: Callable[[], bool], what: str, limit: float = _READY_TIMEOUT) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, f"no {what}\n{self.log('server')}\n{self.log('client')}"
            time.sleep(0.1)

    def log(self, role: str) -> str:
        path = self.directory / f"{role}.log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        for process in (self.client, self.server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(self, role: str, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        with (self.directory / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                [*self._at[role], *tandem_command(), role, *arguments],
                env={**os.environ, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
