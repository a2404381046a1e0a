"""`tandem demo`: a client, a server and two bad links between them in one process, over loopback UDP."""

import logging
import os
import tempfile
from pathlib import Path

from tandem.admin.status import ClientStatus
from tandem.base.errors import TandemError
from tandem.client.client import Client
from tandem.client.records import ClientRecords
from tandem.config.config import Config, LinkConfig
from tandem.config.invites import Invite
from tandem.config.server_sections import RegistryConfig, ServerConfig
from tandem.impair.bad_link import BadLink
from tandem.impair.impairment import Impairment
from tandem.registry.opening import open_registry
from tandem.server.server import Server
from tandem.server.state import StateDirectory
from tandem_transport import TransportParameters, public_key

LINKS = {
    "wifi": Impairment(loss=0.20, delay=0.030),
    "mobile": Impairment(loss=0.10, delay=0.045),
}
"""The impairment of each link, in each direction."""

_HOST = "127.0.0.1"
_PORTS = (8120, 8121)


class Demo:
    """The `Service` that runs both client and server."""

    def __init__(self, config: Config) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="tandem-demo-")
        state = StateDirectory(Path(self._directory.name))
        invite = self._invite(state)
        self.server = Server(self._server_config(config, state.path))
        links = [LinkConfig(name=name, bind=_HOST) for name in LINKS]
        client_config = config.model_copy(update={"link": links})
        self.client = Client(client_config, [invite], TransportParameters(), ClientRecords())
        for seed, (link, impairment) in enumerate(zip(self.client.links.all, LINKS.values(), strict=True)):
            BadLink(impairment, seed=seed).attach(link)

    async def start(self) -> None:
        """Starts both ends. Raises TandemError where a port is taken."""
        logging.getLogger("tandem.server").setLevel(logging.WARNING)  # the client logs the same from its end
        try:
            await self.server.start()
        except TandemError as error:
            raise TandemError(
                str(error), "the demo needs UDP 8120 and 8121 on 127.0.0.1: is another one running?"
            ) from error
        await self.client.start()

    async def drain(self) -> None:
        """Returns at once: a demonstration has nothing to wait for."""

    async def close(self) -> None:
        """Stops both ends and removes their files."""
        await self.client.close()
        await self.server.close()
        self._directory.cleanup()

    def status(self) -> ClientStatus:
        """The status of the client."""
        return self.client.status()

    # --- set-up ---

    @staticmethod
    def _invite(state: StateDirectory) -> Invite:
        private = os.urandom(32)
        endpoints = tuple(f"{_HOST}:{port}" for port in _PORTS)
        registry = open_registry(RegistryConfig(), state.path)
        registry.add("demo", public_key(private))
        registry.close()
        return Invite(state.server_public_key(registered=0), private, endpoints, "demo")

    @staticmethod
    def _server_config(config: Config, state: Path) -> Config:
        listen = [f"{_HOST}:{port}" for port in _PORTS]
        # Only the demo client can reach this server, so loopback needs no protection from it.
        section = ServerConfig(listen=listen, state=state, allow=["127.0.0.0/8", "::1/128"])
        return config.model_copy(
            update={
                "server": section,
                "registry": RegistryConfig(),
                "admin": config.admin.model_copy(update={"listen": None}),
            }
        )


def head(config: Config, program: str) -> str:
    """The text that tells what to try; `program` is the command for another terminal."""
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
        f"  ssh -o ProxyCommand='{program} connect --proxy {socks} %h %p' YOUR-HOST\n"
        f"  {program} drill wifi down\n"
        "q or Ctrl-C ends it.\n"
    )
