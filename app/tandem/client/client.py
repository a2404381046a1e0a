"""`tandem client`: SOCKS and local ports in, a session over all links out."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Sequence

from tandem import __version__
from tandem.admin.actions import Actions, ModeRequest, parse
from tandem.admin.endpoint import AdminEndpoint
from tandem.admin.snapshots import client_status, link_samples
from tandem.admin.status import ClientStatus
from tandem.base.addresses import format_host_port, parse_host_port
from tandem.base.errors import TandemError
from tandem.base.tasks import TaskSet
from tandem.client.client_links import ClientLinks
from tandem.client.connections import ConnectionTable
from tandem.client.drill import Drill
from tandem.client.exits import Exits, OnEvent
from tandem.client.failover import ANSWER_TIMEOUT, Failover, retire
from tandem.client.forwards import ForwardPorts, port_error
from tandem.client.journal import Journal
from tandem.client.link_names import NameTeller
from tandem.client.links import unmatched
from tandem.client.opener import Opener
from tandem.client.options import read_exits
from tandem.client.publisher import Publisher
from tandem.client.records import ClientRecords
from tandem.client.remote import Remote
from tandem.client.speedtest import Speedtest
from tandem.config.config import CLIENT_ADMIN_PORT, Config, LinkConfig, SocksConfig
from tandem.config.invites import Invite
from tandem.config.passwords import PasswordBook
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.own_networks import OwnNetworks
from tandem.routing.pac import pac_rules
from tandem.routing.router import Router, Ways
from tandem.routing.routes import Routes
from tandem.transparent.gateway import Gateway
from tandem_socks import FrontendOptions, SocksFrontend
from tandem_transport import ClientEvent, Connected, Mode, TransportParameters
from tandem_transport.driver import ClientDriver, Link, Stream, local_identity
from tandem_transport.events import GoAwayReceived

log = logging.getLogger("tandem.client")

_DRAIN = 5.0
"""Seconds that open connections have when the client is told to stop."""


class Client:
    """Everything that a client process runs."""

    def __init__(
        self, config: Config, invites: Sequence[Invite], parameters: TransportParameters, records: ClientRecords
    ) -> None:
        """`invites`: one for each server, the preferred first. Raises UsageError where a link reaches no endpoint."""
        self._config = config
        self._parameters, self._records = parameters, records
        self.links = ClientLinks(config.link, records.usage, invites[0])
        self._failover = Failover(invites, self._make_other)
        self.driver = self._make_driver(invites[0], self.links.all, Mode[config.mode.upper()])
        self.opener = Opener(self.driver, config.socks.fast_open)
        self._journal = Journal(records.events, lambda: self.links.all)
        self._names = NameTeller(self.opener, self.links)
        self._connections = table = ConnectionTable()
        self._publisher = Publisher(config.publish, self.opener, table)
        self._exits = Exits(read_exits(config, invites), self._make_other, config.socks.fast_open)
        self._router = router = self._make_router()
        options = _frontend_options(config.socks, router)
        self._socks = SocksFrontend(router, options, on_opened=table.open, on_closed=table.close)
        self._gateway = Gateway(config.transparent, router, on_opened=table.open, on_closed=table.close)
        self._forwards = ForwardPorts(self.opener, table, idle_timeout=config.socks.idle_timeout)
        self._speedtest = Speedtest(self.opener, self.links)
        self._admin = self._make_admin()
        self._tasks, self._started_at = TaskSet(), time.monotonic()
        self._is_started = self._is_balanced = False
        records.events.client = invites[0].name

    async def start(self) -> None:
        """Starts the client. Raises TandemError where it cannot listen on a local port."""
        try:
            await self._listen()
        except TandemError:
            await self.close()
            raise
        self._is_started = True
        self._admin.keep_history(lambda: link_samples(self.driver, self.links.hidden()))
        self._records.events.add("started", cause=f"version {__version__}")
        self.driver.start()
        self._exits.start()
        self._tasks.begin(self._keep_usage())
        self._tasks.begin(self._router.routes.follow_files())
        self._tasks.begin(self._failover.run(self._is_unanswered, self._adopt))
        for pattern in unmatched(self._config.link):
            log.warning("%s", _waits_for(pattern))
        if self.links.follows_interfaces:
            self._tasks.begin(self._follow_interfaces())

    async def drain(self) -> None:
        """Accepts no new connections, and waits up to _DRAIN seconds for those that are open."""
        await self._forwards.stop_listening()
        await self._socks.drain(_DRAIN)

    async def close(self) -> None:
        """Stops accepting, ends the connections, and closes the session."""
        self.links.end_drills()
        await self._forwards.close()
        await self._names.close()
        await self._publisher.close()
        await self._tasks.cancel()
        await self._socks.close()
        await self._gateway.close()
        await self._admin.close()
        await asyncio.gather(self.driver.close(), self._exits.close())
        if self._is_started:  # a client that found its port taken must not change the files of the other one
            self.links.book_usage()
            self._records.usage.save()
            self._records.events.add("stopped")

    def status(self) -> ClientStatus:
        """The present status of the client."""
        status = client_status(self.driver, self._started_at)
        status.session.age_s, status.session.outage_s = self._journal.session_age, self._journal.outage
        status.session.reason = self._journal.problem
        status.session.bridged, status.session.bridged_s = self._journal.bridged
        status.speedtest = self._speedtest.progress
        status.session.streams_total = max(0, status.session.streams_total - self._names.told - self._publisher.told)
        status.session.streams_open = max(0, status.session.streams_open - self._publisher.open_offers)
        status.published = self._publisher.status()
        status.socks = self._config.socks.listen
        status.streams = self._connections.busiest()
        status.failures, status.failovers = self.opener.tally.counts, self._failover.count
        status.exits = self._exits.status()
        for shown, each in zip(status.links, self.links, strict=True):
            usage = each.cap.usage()
            if self.driver.session is None:
                shown.use = each.config.use
            shown.drill = str(each.drill) if each.drill is not None else None
            shown.day_bytes, shown.month_bytes = usage.day_bytes, usage.month_bytes
            shown.day_cap_bytes, shown.month_cap_bytes = each.config.daily_bytes, each.config.monthly_bytes
        hidden = self.links.hidden()
        status.links = [shown for shown in status.links if shown.path_id not in hidden]
        return status

    @property
    def socks_port(self) -> int:
        """The port on which it listens for SOCKS clients."""
        return self._socks.port

    # --- what the command line asks for ---

    @property
    def _actions(self) -> Actions:
        return {"mode": self._set_mode, "drill": self._drill, "speedtest": self._measure}

    def _make_admin(self) -> AdminEndpoint:
        marks = self._records.events.recent
        return AdminEndpoint.configured(self._config.admin, CLIENT_ADMIN_PORT, self.status, self._actions, marks)

    def set_mode(self, mode: str) -> None:
        """Sets the mode from now on: `duplicate` or `adaptive`."""
        log.info("mode %s", mode)
        self._records.events.add("mode", state=mode)
        self.driver.set_mode(Mode[mode.upper()])
        self._exits.set_mode(Mode[mode.upper()])

    async def _set_mode(self, body: bytes) -> dict[str, object]:
        mode = parse(ModeRequest, body).mode
        self.set_mode(mode)
        return {"mode": mode}

    async def _drill(self, body: bytes) -> dict[str, object]:
        drill = parse(Drill, body)
        present = self.links.begin_drill(drill)
        state = "begins" if drill.is_on else "ends"
        self._records.events.add("drill", link=drill.link, state=state, cause=str(drill))
        return {"link": drill.link, "drill": present}

    async def _measure(self, _: bytes) -> dict[str, object]:
        if self.driver.session is None or self._journal.outage is not None:
            raise TandemError("speedtest: nothing to measure, for no link works", "`tandem status` says why")
        speeds = await self._speedtest.run(self.driver.set_preferences)
        return {"speeds": [speed.model_dump() for speed in speeds]}

    # --- listening ---

    async def _listen(self) -> None:
        await self._admin.start()
        host, port = parse_host_port(self._config.socks.listen, what="socks")
        try:
            await self._socks.listen(host, port)
        except OSError as error:
            raise port_error("SOCKS port", host, port, error, "--socks HOST:PORT") from error
        log.info("SOCKS port at %s", format_host_port(host, port))
        await self._gateway.listen()
        for item in self._config.listen:
            networks = item.allow_from or self._config.socks.allow_from
            await self._forwards.listen(item.host, item.port, item.forward, networks)

    def _make_router(self) -> Router:
        config = self._config
        goes_past = config.outage == "direct"
        networks = [ipaddress.ip_network(network) for network in config.socks.allow]
        return Router(
            Remote(self.opener),
            Routes(config.route),
            Ways(self._exits.far_side, self.links.place),
            AddressGuard(networks, OwnNetworks()),
            tally=self.opener.tally,
            is_out=lambda: goes_past and self._silence() > config.outage_after,
        )

    # --- servers ---

    def _make_driver(
        self, invite: Invite, links: list[Link], mode: Mode, on_event: OnEvent | None = None
    ) -> ClientDriver:
        identity = local_identity(
            invite.client_private,
            invite.server_public,
            parameters=self._parameters,
            instance_id=self._records.instance_id,
        )

        def tell(event: ClientEvent) -> None:
            (on_event or self._on_event)(driver, event)

        is_publishing = on_event is None and any(section.target for section in self._config.publish)
        accept = self._take_arrival if is_publishing else None
        driver = ClientDriver(identity, links, mode=mode, on_event=tell, accept=accept)
        driver.endpoint.set_preferences(self.links.preferences())
        return driver

    def _make_other(self, invite: Invite, on_event: OnEvent | None = None) -> ClientDriver:
        """A driver for another server, which is tried, or used, while the present one stays in use."""
        return self._make_driver(invite, self.links.others(invite), self.driver.endpoint.mode, on_event)

    def _take_arrival(self, stream: Stream) -> None:
        """The server has opened a stream, because somebody has reached a published port."""
        self._publisher.accept(stream)

    def _on_event(self, driver: ClientDriver, event: ClientEvent) -> None:
        if self.driver is driver:
            self._journal.note(event)
            if isinstance(event, Connected):
                self._names.on_session()
                self._publisher.on_session()
                if not self._is_balanced:
                    self._is_balanced = True
                    self._tasks.begin(self._failover.balance(driver, self._move))
            elif isinstance(event, GoAwayReceived):
                log.info("the server is about to end: looking for the next one, connections go on")
                self._tasks.begin(self._failover.move(driver, self._move))

    def _is_unanswered(self) -> bool:
        """Whether there has been no session, or an outage, for so long that another server may be better."""
        return self._silence() > ANSWER_TIMEOUT

    def _silence(self) -> float:
        """Seconds for which there has been no session, or an outage."""
        return max(self._journal.outage or 0.0, self._journal.search or 0.0)

    def _adopt(self, driver: ClientDriver) -> None:
        """Changes to another server that has answered: old connections are reset, new ones go to the new server."""
        log.warning("another server has answered: %s; connections are reset", self._failover.present.endpoints[0])
        self._tasks.begin(self._change_to(driver).close())

    def _move(self, driver: ClientDriver) -> None:
        """Changes to the successor of a server that goes away: new connections go there, old ones stay to their end."""
        log.info("new connections use another session: %s", self._failover.present.endpoints[0])
        old = self._change_to(driver)
        old.begin_no_other()
        self._tasks.begin(retire(old))

    def _change_to(self, driver: ClientDriver) -> ClientDriver:
        """Uses another driver, which has a session; returns the old one."""
        old, self.driver = self.driver, driver
        self.links.adopt(driver, self._failover.present)
        driver.set_preferences(self.links.preferences())
        self.opener.use(driver)
        self._journal.note_session()
        self._names.on_session()
        self._publisher.on_session()
        if driver.session is not None and driver.session.connection.goes_away:  # told before it was adopted
            self._tasks.begin(self._failover.move(driver, self._move))
        return old

    # --- links ---

    async def _keep_usage(self) -> None:
        while True:
            await self.driver.next_beat()
            self.links.book_usage()
            self._records.usage.save_if_due()

    async def _follow_interfaces(self) -> None:
        """Makes a new interface a link, where no links are configured, or a pattern matches it."""
        while True:
            await self.driver.next_beat()
            for found in self.links.new_ones():
                self.links.add(found, self.driver, self._failover.present)
                self.driver.set_preferences(self.links.preferences())
                self._exits.follow(self.links)
                self._names.tell()


def _waits_for(pattern: LinkConfig) -> str:
    """What the log says of a pattern that no interface matches."""
    if pattern.bind == "*":
        return "no interface has a default route yet; waiting for one (--link NAME=BIND names a link)"
    return f"link {pattern.name}: no interface matches {pattern.bind} yet; one that appears becomes a link"


def _frontend_options(section: SocksConfig, router: Router) -> FrontendOptions:
    book = PasswordBook({user.name: user.password.get_secret_value() for user in section.user})
    return FrontendOptions(
        authenticate=book.check if section.user else None,
        allow_from=tuple(ipaddress.ip_network(network) for network in section.allow_from),
        advertise=section.advertise,
        pac_rules=lambda: pac_rules(router.routes.all),
        idle_timeout=section.idle_timeout,
        udp_idle_timeout=section.udp_idle_timeout,
    )
