"""`tandem demo`: client, server and two bad links between them in one process, over loopback UDP."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tandem.client import Client
from tandem.config import Config, LinkConfig, ServerConfig
from tandem.errors import TandemError
from tandem.impairment import ImpairedLink, Impairment
from tandem.invites import Invite
from tandem.server import Server
from tandem.state import StateDirectory
from tandem.status import ClientStatus
from tandem_transport import TransportParameters, public_key
from tandem_transport.driver import Link, Source, UdpAddress

LINKS = {
    "wifi": Impairment(loss=0.20, delay=0.030),
    "mobile": Impairment(loss=0.10, delay=0.045),
}
"""Each direction of them."""

_HOST = "127.0.0.1"
_PORTS = (8120, 8121)


class _BadLink:
    """Both directions of one link, in real time."""

    def __init__(self, impairment: Impairment, seed: int) -> None:
        self._up = ImpairedLink(impairment, seed=seed)
        self._down = ImpairedLink(impairment, seed=seed + 1000)

    def up(self, size: int, deliver: Callable[[], object]) -> None:
        _pass(self._up, size, deliver)

    def down(self, size: int, deliver: Callable[[], object]) -> None:
        _pass(self._down, size, deliver)


def _pass(link: ImpairedLink, size: int, deliver: Callable[[], object]) -> None:
    now = time.monotonic()
    loop = asyncio.get_running_loop()
    for at in link.send(size, now=now):
        loop.call_later(max(0.0, at - now), deliver)


class Demo:
    """A `Service` of both ends."""

    def __init__(self, config: Config) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="tandem-demo-")
        state = StateDirectory(Path(self._directory.name))
        invite = self._invite(state)
        self.server = Server(self._server_config(config, state.path))
        links = [LinkConfig(name=name, bind=_HOST) for name in LINKS]
        client_config = config.model_copy(update={"link": links})
        self.client = Client(client_config, invite, TransportParameters())
        self._bad = {name: _BadLink(impairment, seed) for seed, (name, impairment) in enumerate(LINKS.items())}

    async def start(self) -> None:
        """Raises TandemError where a port cannot be had."""
        try:
            await self.server.start()
        except TandemError as error:
            raise TandemError(str(error), "the demo needs UDP 8120 and 8121 and TCP 1080 on 127.0.0.1 free") from error
        self.server.driver.send = self._send_down
        for link in self.client.links:
            link.send = self._sender_up(link)
        await self.client.start()

    async def drain(self) -> None:
        """Waits for nothing: it is a demonstration."""

    async def close(self) -> None:
        """Stops both ends and removes what they left."""
        await self.client.close()
        await self.server.close()
        self._directory.cleanup()

    def status(self) -> ClientStatus:
        """The client's."""
        return self.client.status()

    # --- set-up ---

    @staticmethod
    def _invite(state: StateDirectory) -> Invite:
        private = os.urandom(32)
        state.add_client("demo", public_key(private), replace=False)
        endpoints = tuple(f"{_HOST}:{port}" for port in _PORTS)
        return Invite(public_key(state.server_key()), private, endpoints, "demo")

    @staticmethod
    def _server_config(config: Config, state: Path) -> Config:
        listen = [f"{_HOST}:{port}" for port in _PORTS]
        # The demo alone may reach this machine: there is nobody else to protect it from.
        section = ServerConfig(listen=listen, state=state, allow=["127.0.0.0/8", "::1/128"])
        return config.model_copy(update={"server": section, "admin": config.admin.model_copy(update={"listen": None})})

    # --- bad links ---

    def _sender_up(self, link: Link) -> Callable[[bytes, UdpAddress], bool]:
        def send(data: bytes, remote: UdpAddress) -> bool:
            sock = link.sock
            if sock is not None:
                self._bad[link.name].up(len(data), lambda: sock.send(data, remote))
            return True

        return send

    def _send_down(self, source: Source, data: bytes) -> bool:
        for link in self.client.links:
            if link.sock is not None and link.sock.local[:2] == source.remote[:2]:
                self._bad[link.name].down(len(data), lambda: self.server.driver.send_now(source, data))
        return True


def head(config: Config) -> str:
    """What to try."""
    socks = config.socks.listen
    links = ", ".join(
        f"{name} loses {impairment.loss:.0%} each way and takes {impairment.delay * 1000:.0f} ms"
        for name, impairment in LINKS.items()
    )
    return (
        f"Two bad links between a client and a server on this machine: {links}.\n"
        "In another terminal, try:\n"
        f"  curl --socks5-hostname {socks} http://example.org/\n"
        f"  curl --socks5-hostname {socks} http://127.0.0.1:PORT/   (a server of yours)\n"
        f"  ssh -o ProxyCommand='tandem connect %h %p' YOUR-HOST\n"
        "Ctrl-C ends it.\n"
    )
