"""`tandem client`: SOCKS and local ports in, a session over all links out."""

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import Sequence

from tandem import __version__
from tandem.admin.actions import Actions, ModeRequest, parse
from tandem.admin.endpoint import AdminEndpoint
from tandem.admin.status import ClientStatus, client_status
from tandem.base.addresses import format_host_port, parse_host_port
from tandem.base.errors import TandemError, os_error_text
from tandem.client import speedtest
from tandem.client.connections import ConnectionTable
from tandem.client.drill import Drill, Drills
from tandem.client.events import EventLog
from tandem.client.failover import PATIENCE, Failover
from tandem.client.journal import Journal
from tandem.client.links import MAX_DEAD_LINKS, dead_links, follows_interfaces, make_link, planned_links, wishes
from tandem.client.opener import Opener
from tandem.client.remote import Remote
from tandem.client.usage import UsageBook, capped
from tandem.config.config import CLIENT_ADMIN_PORT, Config, LinkConfig, SocksConfig
from tandem.config.invites import Invite
from tandem.config.passwords import PasswordBook
from tandem.exchange import link_names
from tandem.exchange.failures import Failure
from tandem.exchange.request import Kind, Request
from tandem_socks import FrontendOptions, Listener, Relay, RelayResult, SocksError, SocksFrontend, TcpConnection, admits
from tandem_socks import Request as SocksRequest
from tandem_transport import MAX_PATHS, ClientEvent, Connected, Mode, TransportError, TransportParameters
from tandem_transport.driver import ClientDriver, Link, Names

log = logging.getLogger("tandem.client")

_DRAIN = 5.0
"""Seconds that open connections have when the client is told to stop."""


class Client:
    """Everything that a client process runs."""

    def __init__(
        self,
        config: Config,
        invites: Sequence[Invite],
        parameters: TransportParameters,
        instance_id: bytes | None = None,
        usage: UsageBook | None = None,
        events: EventLog | None = None,
    ) -> None:
        """`invites`: one of each server, the preferred first; `instance_id`: what this client was called before it
        was restarted; `usage`: what its links have carried.

        Raises UsageError where a link cannot reach any endpoint.
        """
        self._config = config
        self._failover = Failover(invites, self._make_driver)
        self._link_configs = planned_links(config.link)
        self._usage = usage or UsageBook(None)
        self._names = Names()
        events = events or EventLog(None)
        events.client = invites[0].name
        self._journal = Journal(events, lambda: self.links)
        self.links = [self._make_link(i, link, invites[0]) for i, link in enumerate(self._link_configs)]
        """Its driver's; by path id."""
        self._drills = Drills(lambda: self.links)
        self._connections = ConnectionTable()
        self._is_testing = self._is_started = False
        self._told_names = 0
        """Streams of this session that told the links' names: they are nobody's connection."""
        self._parameters = parameters
        self._instance_id = instance_id
        self._started_at = time.monotonic()
        self._listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._admin: AdminEndpoint | None = None
        self.driver: ClientDriver
        self.opener: Opener
        self._socks: SocksFrontend

    async def start(self) -> None:
        """Raises TandemError where a local port cannot be had."""
        self.driver = self._make_driver(self._failover.present, self.links)
        self.opener = Opener(self.driver, self._config.socks.fast_open)
        self._socks = SocksFrontend(
            Remote(self.opener),
            _frontend_options(self._config.socks),
            on_opened=lambda request, result: self._connections.open(str(request), result),
            on_closed=self._on_socks_closed,
        )
        try:
            await self._listen()
        except TandemError:
            await self.close()
            raise
        self._is_started = True
        self._journal.events.add("started", cause=f"version {__version__}")
        self.driver.start()
        self._tasks.add(asyncio.create_task(self._keep_usage()))
        self._tasks.add(asyncio.create_task(self._failover.run(self._is_unanswered, self._adopt)))
        if follows_interfaces(self._config.link):
            if not self.links:
                log.warning("no interface has a default route yet; waiting for one (--link NAME=BIND names a link)")
            self._tasks.add(asyncio.create_task(self._follow_interfaces()))

    async def drain(self) -> None:
        """Takes no new connections, and waits a moment for those that are open."""
        for listener in self._listeners:
            await listener.close()
        await self._socks.drain(_DRAIN)

    async def close(self) -> None:
        """Stops accepting, ends the connections, says goodbye."""
        for listener in self._listeners:
            await listener.close()
        self._drills.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socks.close()
        if self._admin is not None:
            await self._admin.close()
        await self.driver.close()
        if self._is_started:  # one that found its port taken leaves the other's files alone
            self._usage.save()
            self._journal.events.add("stopped")

    def status(self) -> ClientStatus:
        """The present status."""
        status = client_status(self.driver, self._started_at)
        status.session.age_s, status.session.outage_s = self._journal.session_age, self._journal.outage
        status.session.reason = self._journal.problem
        status.session.streams_total = max(0, status.session.streams_total - self._told_names)
        status.socks = self._config.socks.listen
        status.streams = self._connections.busiest()
        status.failures, status.failovers = self.opener.tally.counts, self._failover.count
        for link, configured in zip(status.links, self._link_configs, strict=True):
            usage = self._usage.usage(link.name)
            link.cost = configured.cost
            link.drill = self._drills.on(link.name) or None
            link.day_bytes, link.month_bytes = usage.day_bytes, usage.month_bytes
            link.day_cap_bytes, link.month_cap_bytes = configured.daily_bytes, configured.monthly_bytes
        hidden = self._dead_links()[:-MAX_DEAD_LINKS]
        status.links = [link for link in status.links if link.path_id not in hidden]
        return status

    @property
    def socks_port(self) -> int:
        """Where it listens for SOCKS clients."""
        return self._socks.port

    # --- what the command line asks for ---

    def set_mode(self, mode: str) -> None:
        """`duplicate` or `adaptive`, from now on."""
        log.info("mode %s", mode)
        self._journal.events.add("mode", state=mode)
        self.driver.set_mode(Mode[mode.upper()])

    async def _set_mode(self, body: bytes) -> dict[str, object]:
        mode = parse(ModeRequest, body).mode
        self.set_mode(mode)
        return {"mode": mode}

    async def _drill(self, body: bytes) -> dict[str, object]:
        drill = parse(Drill, body)
        self._drills.begin(drill)
        self._journal.events.add("drill", link=drill.link, state="begins" if drill.is_on else "ends", cause=str(drill))
        return {"link": drill.link, "drill": self._drills.on(drill.link)}

    async def _speedtest(self, body: bytes) -> dict[str, object]:
        if self._is_testing:
            raise TandemError(
                "a speedtest is under way already", "it ends when whoever asked for it ends it, by Ctrl-C"
            )
        if self.driver.session is None or self._journal.outage is not None:
            raise TandemError("speedtest: nothing to measure, for no link works", "`tandem status` says why")
        self._is_testing = True
        log.info("speedtest begins; each link is used alone for a while")
        try:
            wanted = wishes(self._link_configs)
            found = await speedtest.run(self.opener, self.links, wanted, self.driver.set_wishes)
            self._tell_wishes()
            found.append(await speedtest.measure(self.opener, "all together"))
        except (Failure, TransportError, EOFError) as error:
            raise TandemError(f"speedtest: {error}", "it needs a session: see `tandem status`") from error
        finally:
            self._is_testing = False
            self._tell_wishes()
        return {"speeds": [speed.model_dump() for speed in found]}

    # --- listening ---

    async def _listen(self) -> None:
        actions: Actions = {"mode": self._set_mode, "drill": self._drill, "speedtest": self._speedtest}
        self._admin = AdminEndpoint.configured(self._config.admin, CLIENT_ADMIN_PORT, self.status, actions)
        await self._admin.start()
        host, port = parse_host_port(self._config.socks.listen, what="socks")
        try:
            await self._socks.listen(host, port)
        except OSError as error:
            raise _port_error("SOCKS port", host, port, error, "--socks HOST:PORT") from error
        log.info("SOCKS port at %s", format_host_port(host, port))
        for item in self._config.listen:
            networks = item.allow_from or self._config.socks.allow_from
            await self._listen_for(item.host, item.port, item.forward, networks)

    async def _listen_for(self, host: str, port: int, forward: str, allow_from: Sequence[str]) -> None:
        request = Request(Kind.FORWARD, forward, port)

        def accept(tcp: TcpConnection) -> None:
            task = asyncio.get_running_loop().create_task(self._serve_forward(request, tcp))
            self._tasks.add(task)
            task.add_done_callback(on_done)

        def on_done(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            listener.release()

        networks = [ipaddress.ip_network(network) for network in allow_from]
        listener = Listener(accept, admits=lambda peer: admits(peer, networks))
        self._listeners.append(listener)
        try:
            await listener.listen(host, port)
        except OSError as error:
            raise _port_error(f"forward {forward}", host, port, error, "--listen [HOST:]PORT=FORWARD") from error
        log.info("forward %s at %s", forward, format_host_port(host, port))

    async def _serve_forward(self, request: Request, tcp: TcpConnection) -> None:
        try:
            opened = await self.opener.open_at_once(request)
        except SocksError as error:
            log.info("%s: %s", request, error)
            tcp.reset()
            return
        relay = Relay(tcp, opened.stream, idle_timeout=self._config.socks.idle_timeout)
        self._connections.open(str(request), relay.result)
        try:
            _log_closed(request, await relay.run())
        finally:
            self._connections.close(relay.result)

    # --- servers ---

    def _make_driver(self, invite: Invite, links: list[Link] | None = None) -> ClientDriver:
        """Without `links` it has some of its own, to the same interfaces."""
        own = links if links is not None else [self._make_link(i, c, invite) for i, c in enumerate(self._link_configs)]
        driver = ClientDriver(
            invite.client_private,
            invite.server_public,
            own,
            parameters=self._parameters,
            instance_id=self._instance_id,
            mode=self.driver.endpoint.mode if links is None else Mode[self._config.mode.upper()],
            on_event=lambda event: self._on_event(driver, event),
        )
        driver.set_wishes(wishes(self._link_configs))
        return driver

    def _on_event(self, driver: ClientDriver, event: ClientEvent) -> None:
        if self.driver is driver:
            self._journal.note(event)
            if isinstance(event, Connected):
                self._told_names = 0
                self._begin_telling_names()

    def _begin_telling_names(self) -> None:
        task = asyncio.get_running_loop().create_task(self._tell_names())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_names(self) -> None:
        """So that whoever watches the server knows the links by their names; it works without."""
        names = link_names.encode([link.name for link in self.links])
        with contextlib.suppress(Failure):
            await self.opener.ask_once(Request(Kind.LINKS, "", 0), names)
            self._told_names += 1

    def _is_unanswered(self) -> bool:
        """There has been no session, or an outage, for so long that another server may be better."""
        return max(self._journal.outage or 0.0, self._journal.search or 0.0) > PATIENCE

    def _adopt(self, driver: ClientDriver) -> None:
        """Another server has answered: connections of the old one are reset, new ones go to the new one."""
        log.warning("another server has answered: %s; connections are reset", self._failover.present.endpoints[0])
        self._drills.close()
        old, self.driver, self.links = self.driver, driver, driver.links
        self._catch_up()
        self._tell_wishes()
        self.opener.use(driver)
        closing = asyncio.create_task(old.close())
        self._tasks.add(closing)
        closing.add_done_callback(self._tasks.discard)
        self._journal.note_session()
        self._told_names = 0
        self._begin_telling_names()

    # --- links ---

    def _make_link(self, index: int, configured: LinkConfig, invite: Invite) -> Link:
        link = make_link(index, configured, invite, self._names)
        capped(link, configured, self._usage)
        return link

    def _catch_up(self) -> None:
        """Tells a new driver of the links that were found while its server was being tried."""
        for index, configured in enumerate(self._link_configs):
            if index >= len(self.links):
                self.driver.add_link(self._make_link(index, configured, self._failover.present))
            elif self.links[index].name != configured.name:
                self._replace_link(index, configured)

    def _replace_link(self, index: int, found: LinkConfig) -> None:
        """A link becomes another one, on the same path."""
        self.driver.replace_link(index, make_link(index, found, self._failover.present, self._names))
        capped(self.links[index], found, self._usage)

    def _dead_links(self) -> list[int]:
        return dead_links(self.links, self._link_configs, self._config.link)

    def _tell_wishes(self) -> None:
        self.driver.set_wishes(wishes(self._link_configs))

    async def _keep_usage(self) -> None:
        while True:
            await self.driver.next_beat()
            self._usage.save_if_due()

    async def _follow_interfaces(self) -> None:
        """An interface that comes becomes a link, where nobody has named the links, or a pattern fits it."""
        while True:
            await self.driver.next_beat()
            for found in planned_links(self._config.link, self._link_configs):
                self._add_link(found)

    def _add_link(self, found: LinkConfig) -> None:
        """A new path, or that of the link that is gone for longest: paths are few, and so are the lines of a screen."""
        dead = self._dead_links()
        if len(dead) < MAX_DEAD_LINKS and len(self.links) < MAX_PATHS:
            link = self._make_link(len(self.links), found, self._failover.present)
            log.info("link %s: found (%s)", link.name, found.bind)
            self._link_configs.append(found)
            self.driver.add_link(link)
        elif dead:
            before = self.links[dead[0]].name
            log.info("link %s: found (%s), it takes the place of %s", found.name, found.bind, before)
            self._drills.end(before)
            self._link_configs[dead[0]] = found
            self._replace_link(dead[0], found)
        self._tell_wishes()
        self._begin_telling_names()

    # --- logs ---

    def _on_socks_closed(self, request: SocksRequest, result: RelayResult) -> None:
        self._connections.close(result)
        _log_closed(request, result)


def _frontend_options(section: SocksConfig) -> FrontendOptions:
    book = PasswordBook({user.name: user.password.get_secret_value() for user in section.user})
    return FrontendOptions(
        authenticate=book.check if section.user else None,
        allow_from=tuple(ipaddress.ip_network(network) for network in section.allow_from),
        advertise=section.advertise,
        idle_timeout=section.idle_timeout,
        udp_idle_timeout=section.udp_idle_timeout,
    )


def _log_closed(target: Request | SocksRequest, result: RelayResult) -> None:
    log.info(
        "%s: %d bytes up, %d down, ended by %s", target, result.bytes_to_stream, result.bytes_to_tcp, result.ended_by
    )


def _port_error(what: str, host: str, port: int, error: OSError, option: str) -> TandemError:
    place = format_host_port(host, port)
    return TandemError(f"{what} {place}: {os_error_text(error)}", f"{option} takes another one")
