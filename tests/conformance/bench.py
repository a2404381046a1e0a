"""A server and a client of Tandem in this event loop, two links between them, targets and clients around."""

import asyncio
import contextlib
import os
import random
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.catalog import Case
from loopback.ports import free_port
from loopback.sockets import abort
from tandem.client.client import Client
from tandem.client.records import ClientRecords
from tandem.client.remote import Remote
from tandem.config.config import Config, LinkConfig
from tandem.config.invites import Invite
from tandem.config.server_sections import RegistryConfig
from tandem.registry.opening import open_registry
from tandem.server.server import Server
from tandem.server.state import StateDirectory
from tandem_socks import FrontendOptions, SocksFrontend
from tandem_transport import TransportParameters, public_key
from tandem_transport.driver import Source, UdpAddress

LIMIT = 250.0
"""Seconds after which a case has failed; none takes more than a few, on a machine that has time."""

PASSWORD = ("anna", "secret")
GREETING = b"\x05\x01\x00"

HOSTS = {"local.test": ("127.0.0.1",), "denied.example": ("127.0.0.1",), "both.test": ("::1", "127.0.0.1")}
"""The names that targets have."""

Handler = Callable[["Peer"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Setup:
    """What lies between client and server."""

    name: str
    loss: float = 0.0
    fast_open: str = "known"
    via: str = "session"
    """The way of everything that has a way of its own."""

    @property
    def is_long(self) -> bool:
        """Whether `make test` leaves it to `make test-long`."""
        return self.loss > 0 or self.fast_open == "off" or self.is_past_session

    @property
    def is_past_session(self) -> bool:
        """Whether connections do not go through the server."""
        return self.via != "session"

    def has(self, case: Case) -> bool:
        """Whether a case can be played here."""
        return not (case.is_servers and self.is_past_session)

    def __str__(self) -> str:
        return self.name


SETUPS = (
    Setup("clean links"),
    Setup("clean links, fast_open off", fast_open="off"),
    Setup("10 % loss on both links", loss=0.10),
    Setup("10 % loss, fast_open off", loss=0.10, fast_open="off"),
    Setup("past the session", via="direct"),
)


class Peer:
    """One TCP connection, from either end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def read_all(self) -> bytes:
        return await self.reader.read()

    def finish(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        abort(self.writer)

    async def ended_by_reset(self) -> bool:
        """Reads to the end; tells whether it was a reset."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionResetError:
            return True
        return False

    @property
    def sock(self) -> socket.socket:
        found: socket.socket = self.writer.get_extra_info("socket")
        return found

    @property
    def address(self) -> tuple[str, int]:
        found: tuple[str, int] = self.writer.get_extra_info("sockname")
        return found[0], found[1]

    def close(self) -> None:
        self.writer.close()


class Bench:
    """What a case works with."""

    def __init__(self, setup: Setup, directory: Path) -> None:
        self.setup = setup
        self._random = random.Random(setup.name)
        self._peers: list[Peer] = []
        self.servers: list[asyncio.Server] = []
        """Of targets."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []
        self._frontends: list[SocksFrontend] = []
        self.cut: set[str] = set()
        """Links that carry nothing."""
        server_public = StateDirectory(directory).server_public_key(registered=0)
        private = os.urandom(32)
        registry = open_registry(RegistryConfig(), directory)
        registry.add("bench", public_key(private))
        registry.close()
        ports = [free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)]
        places = [f"127.0.0.1:{port}" for port in ports]
        invite = Invite(server_public, private, tuple(places), "bench")
        self.server = Server(_server_config(places, directory))
        config = _client_config(setup)
        self.client = Client(config, [invite], TransportParameters(), ClientRecords())

    async def start(self) -> None:
        router: Any = self.client._router  # pyright: ignore[reportPrivateUsage]
        router._resolver.configure(HOSTS, cache_seconds=0)  # names of this machine, past the session
        await self.server.start()
        self.server.driver.send = self._send_down
        await self.client.start()
        for link in self.client.driver.links:
            link.send = self._sender_up(link.name)
        await self.client.driver.wait_connected()

    async def close(self) -> None:
        for peer in self._peers:
            abort(peer.writer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self.servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        for frontend in self._frontends:
            await frontend.close()
        await self.client.close()
        await self.server.close()

    def own(self, sock: socket.socket) -> None:
        """Closes it with the bench."""
        self._sockets.append(sock)

    def keep(self, task: "asyncio.Task[None]") -> None:
        """Ends it with the bench."""
        self._tasks.add(task)

    # --- targets ---

    async def serve(self, handler: Handler, host: str = "127.0.0.1") -> int:
        """A target that treats each connection so; returns its port."""

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = Peer(reader, writer)
            self._peers.append(peer)
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(peer)

        server = await asyncio.start_server(run, host, 0, backlog=1024)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def echo(self, host: str = "127.0.0.1") -> int:
        """A target that says everything back, and ends when its client does."""

        async def handler(peer: Peer) -> None:
            while data := await peer.reader.read(65536):
                await peer.send(data)
            peer.close()

        return await self.serve(handler, host)

    # --- clients ---

    async def frontend(self, options: FrontendOptions) -> int:
        """Another port with other options on the same session; returns it."""
        made = SocksFrontend(Remote(self.client.opener), options)
        await made.listen("127.0.0.1", 0)
        self._frontends.append(made)
        return made.port

    async def password_port(self) -> int:
        """Another port that asks for PASSWORD."""

        async def check(name: str, password: str, host: str) -> bool:
            return (name, password) == PASSWORD

        return await self.frontend(FrontendOptions(authenticate=check))

    async def dial(self, data: bytes = b"", port: int | None = None) -> Peer:
        """A client that has said `data`, and no more."""
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port or self.client.socks_port))
        self._peers.append(peer)
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if data:
            await peer.send(data)
        return peer

    async def connect(self, port: int, host: str = "127.0.0.1") -> Peer:
        """A SOCKS 5 client that is connected. Unless `fast_open` is off, the target is known by then."""
        if self.setup.fast_open != "off":
            known = await self._connect(port, host)
            known.close()
        return await self._connect(port, host)

    async def _connect(self, port: int, host: str) -> Peer:
        peer = await self.dial(GREETING + request(host, port))
        assert await peer.read(2) == b"\x05\x00"
        assert (await reply(peer))[0] == 0
        return peer

    async def refusal(self, data: bytes, port: int | None = None) -> bytes:
        """All that a client gets which has said `data`, up to a clean end."""
        peer = await self.dial(data, port)
        return await peer.read_all()

    # --- links ---

    def _loses(self, name: str) -> bool:
        return name in self.cut or self._random.random() < self.setup.loss

    def _sender_up(self, name: str) -> Callable[[bytes, UdpAddress], bool]:
        link = next(link for link in self.client.driver.links if link.name == name)

        def send(data: bytes, remote: UdpAddress) -> bool:
            if link.sock is not None and not self._loses(name):
                link.sock.send(data, remote)
            return True

        return send

    def _send_down(self, source: Source, data: bytes) -> bool:
        for link in self.client.driver.links:
            if link.sock is not None and link.sock.local[:2] == source.remote[:2] and not self._loses(link.name):
                self.server.driver.sockets.send(source, [data])
        return True


@contextlib.asynccontextmanager
async def bench(setup: Setup, directory: Path) -> AsyncGenerator[Bench]:
    """Everything up and connected."""
    made = Bench(setup, directory)
    try:
        async with asyncio.timeout(LIMIT):
            await made.start()
            yield made
    finally:
        await made.close()


def request(host: str, port: int, command: int = 1) -> bytes:
    """A SOCKS 5 request, with the address type that the host has."""
    end = port.to_bytes(2, "big")
    head = bytes([5, command, 0])
    for family, kind in ((socket.AF_INET, 1), (socket.AF_INET6, 4)):
        with contextlib.suppress(OSError):
            return head + bytes([kind]) + socket.inet_pton(family, host) + end
    name = host.encode()
    return head + bytes([3, len(name)]) + name + end


async def reply(peer: Peer) -> tuple[int, str, int]:
    """A whole SOCKS 5 reply: code, bound address and port."""
    version, code, reserved, kind = await peer.read(4)
    assert (version, reserved) == (5, 0)
    family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
    host = socket.inet_ntop(family, await peer.read(size))
    return code, host, int.from_bytes(await peer.read(2), "big")


def failed(code: int) -> bytes:
    """The whole answer to greeting and request where a request fails: method, reply, zeros."""
    return b"\x05\x00" + bytes([5, code, 0, 1]) + bytes(6)


def _client_config(setup: Setup) -> Config:
    options: dict[str, Any] = {
        "link": [LinkConfig(name="a", bind="127.0.0.1"), LinkConfig(name="b", bind="127.0.0.2")],
        "socks": {"listen": f"127.0.0.1:{free_port()}", "fast_open": setup.fast_open},
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
    }
    if setup.is_past_session:
        options["route"] = [{"match": "denied.example", "via": "block"}, {"match": "*", "via": setup.via}]
    return Config(**options)


def _server_config(places: list[str], directory: Path) -> Config:
    rules = [
        {"action": "deny", "match": "denied.example:*"},
        {"action": "allow", "match": "127.0.0.0/8"},
        {"action": "allow", "match": "::1/128"},
    ]
    options: dict[str, Any] = {
        "server": {
            "listen": places,
            "state": directory,
            "hosts": {name: list(found) for name, found in HOSTS.items()},
            "max_new_streams": 1000,
        },
        "rule": rules,
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
    }
    return Config(**options)
