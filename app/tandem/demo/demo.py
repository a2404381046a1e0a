"""`tandem demo`: a client, a server and two bad links between them in one process, over loopback UDP."""

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tandem.admin.status import ClientStatus
from tandem.base.addresses import parse_host_port
from tandem.base.errors import TandemError
from tandem.base.tasks import TaskSet
from tandem.client.client import Client
from tandem.client.drill import Drill
from tandem.client.records import ClientRecords
from tandem.config.config import Config, LinkConfig
from tandem.config.invites import Invite
from tandem.config.server_sections import RegistryConfig, ServerConfig
from tandem.demo.comparison import Comparison
from tandem.demo.download import Download
from tandem.demo.meter import Meter
from tandem.demo.site import NAME, Site
from tandem.impair.bad_link import BadLink
from tandem.impair.impairment import Impairment
from tandem.registry.opening import open_registry
from tandem.server.server import Server
from tandem.server.state import StateDirectory
from tandem_transport import TransportParameters, public_key

LINKS = {
    "wifi": Impairment(loss=0.20, delay=0.030, rate=2_500_000),
    "mobile": Impairment(loss=0.10, delay=0.045, rate=1_500_000),
}
"""The impairment of each link, in each direction."""

DRILL_TIME = 15.0
"""Seconds for which the drill takes the first link away, unless it is ended before."""

_BAR = 20
"""Characters of a full bar."""

_FULL = 8 * sum(impairment.rate for impairment in LINKS.values())
"""What a full bar stands for, bit/s: all that both links carry."""

_HOST = "127.0.0.1"
_PORTS = (8120, 8121)


class Demo:
    """The `Service` that runs both client and server, a web site, and a download from it."""

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
        self.site, self._tasks = Site(), TaskSet()
        self._proxy = parse_host_port(config.socks.listen, what="socks")
        self._download: Download | None = None
        self._plain = Comparison(LINKS, self._drill_on)
        self._meters = {name: Meter() for name in ("", *LINKS)}

    async def start(self) -> None:
        """Starts both ends. Raises TandemError where a port is taken."""
        logging.getLogger("tandem.server").setLevel(logging.WARNING)  # the client logs the same from its end
        await self.site.start()
        try:
            await self.server.start()
        except TandemError as error:
            raise TandemError(
                str(error), "the demo needs UDP 8120 and 8121 on 127.0.0.1: is another one running?"
            ) from error
        await self.client.start()
        self._download = Download(self._proxy, self.site.port)
        self._tasks.begin(self._download.run())
        self._tasks.begin(self._plain.run())

    async def drain(self) -> None:
        """Returns at once: a demonstration has nothing to wait for."""

    async def close(self) -> None:
        """Stops both ends and removes their files."""
        await self._tasks.cancel()
        await self.client.close()
        await self.server.close()
        await self.site.close()
        self._directory.cleanup()

    def status(self) -> ClientStatus:
        """The status of the client."""
        return self.client.status()

    # --- what the console shows besides ---

    def notes(self) -> Sequence[str]:
        """How fast the download is, and how fast it would be by plain TCP over each link alone."""
        now = time.monotonic()
        received = {"": self._download.received if self._download else 0} | self._plain.received
        rates = {name: 8 * self._meters[name].rate(count, now=now) for name, count in received.items()}
        whats = {"": "a download through Tandem"} | {name: f"plain TCP over {name} alone" for name in LINKS}
        return [_bar(whats[name], rate) for name, rate in rates.items()]

    def hints(self, program: str) -> Sequence[str]:
        """What a user may try; `program` is the command for another terminal."""
        host, port = self._proxy
        proxy = "" if self._proxy == ("127.0.0.1", 1080) else f" --proxy {host}:{port}"
        return (
            f"Press d: wifi is away for {DRILL_TIME:.0f} s, and nothing breaks. In another terminal:",
            f"  {program} open",
            f"  curl -x socks5h://{host}:{port} http://{NAME}:{self.site.port}/",
            f"  ssh -o ProxyCommand='{program} connect{proxy} %h %p' HOST",
        )

    def drill(self) -> None:
        """Takes the first link away for a while, or brings it back."""
        first = next(iter(LINKS))
        is_on = self._drill_on(first) is None
        self.client.links.begin_drill(Drill(link=first, is_on=is_on, is_down=is_on, duration=DRILL_TIME))

    def _drill_on(self, link: str) -> Impairment | None:
        drill = self.client.links.named(link, "drill").drill
        return drill.impairment if drill is not None else None

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
        section = ServerConfig(listen=listen, state=state, allow=["127.0.0.0/8", "::1/128"], hosts={NAME: [_HOST]})
        return config.model_copy(
            update={
                "server": section,
                "registry": RegistryConfig(),
                "admin": config.admin.model_copy(update={"listen": None}),
            }
        )


def introduction() -> str:
    """What the demonstration shows, in two lines."""
    links = ", ".join(
        f"{name} loses {impairment.loss:.0%} each way and takes {impairment.delay * 1000:.0f} ms"
        for name, impairment in LINKS.items()
    )
    return f"Two bad links between a client and a server on this machine: {links}."


def _bar(what: str, rate: float) -> str:
    bar = "█" * max(1, min(_BAR, round(rate / _FULL * _BAR))) if rate else ""
    return f"{what:28}{rate / 1e6:5.1f} Mbit/s {bar}"
