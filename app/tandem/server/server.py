"""`tandem server`: sessions in, TCP connections out."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable

from tandem.admin.endpoint import AdminEndpoint
from tandem.admin.snapshots import server_status
from tandem.admin.status import ServerStatus
from tandem.base.addresses import expand_wildcards, parse_host_port
from tandem.base.directories import default_directory
from tandem.base.errors import TandemError
from tandem.base.tasks import TaskSet
from tandem.config.config import SERVER_ADMIN_PORT, Config
from tandem.dialing.address_guard import AddressGuard
from tandem.dialing.dialer import Dialer
from tandem.dialing.own_networks import OwnNetworks
from tandem.dialing.resolver import Resolver
from tandem.exchange.link_names import LinkNames
from tandem.exchange.tally import Tally
from tandem.registry.opening import is_local, open_source
from tandem.server.access import Access
from tandem.server.administration import ClientAdministration
from tandem.server.certificate import server_context
from tandem.server.fleet_member import FleetMember
from tandem.server.listening import cannot_listen, cannot_listen_tls, follow_addresses
from tandem.server.machine import server_terms
from tandem.server.membership import Membership
from tandem.server.publications import Publications
from tandem.server.quotas import ClientLimits
from tandem.server.rates import ClientRates
from tandem.server.rules import Rules
from tandem.server.serving import StreamService
from tandem.server.state import StateDirectory
from tandem_transport import ClientSession, Placement, error_name
from tandem_transport.driver import Carrier, ServerDriver, Source, Stream
from tandem_transport.events import ConnectionTerminated, Event, PathStatusChanged

log = logging.getLogger("tandem.server")

_RETIRE_INTERVAL = 0.5


class Server:
    """Everything that a server process runs."""

    def __init__(
        self,
        config: Config,
        *,
        placement: Placement | None = None,
        on_stray: Callable[[int, Source | Carrier, bytes], None] | None = None,
        on_far_send: Callable[[Carrier, list[bytes]], None] | None = None,
    ) -> None:
        """With a `placement`, this is one of several workers: its parent gives it sockets, and has the admin endpoint.

        `on_stray` takes what belongs to the worker with a slot, `on_far_send` what leaves through another's connection.
        """
        section = config.server
        self._placement, self._on_stray, self._on_far_send = placement, on_stray, on_far_send
        self._config = self._in_force = config
        self._state = StateDirectory(section.state or default_directory())
        self._membership = Membership(open_source(config.registry, self._state.path))
        terms, shares = self._membership.terms, placement is not None
        self._resolver, self._limits = Resolver(), ClientLimits(1, 1, terms)
        self._rates = ClientRates(lambda name: terms(name).rate)
        self._tally, self._names = Tally(), LinkNames()
        self._publications = Publications(terms, self._rates, self._open_stream, shares_ports=shares)
        self._streams = self._stream_service(config)
        self._serving, self._is_draining = TaskSet(), False
        self._fleet = FleetMember(self._membership.source, section.name, section.public, self._load)
        self._background, self._started_at = TaskSet(), time.monotonic()
        self.driver: ServerDriver
        self._admin: AdminEndpoint | None = None

    @property
    def _listen(self) -> list[tuple[str, int]]:
        return [parse_host_port(text, what="listen") for text in self._config.server.listen]

    async def start(self) -> None:
        """Starts to listen. Raises TandemError where an address or the state directory cannot be used."""
        source = self._membership.source
        registered = source.count() if is_local(self._config.registry) else 0
        self.driver = ServerDriver(
            self._state.server_key(registered=registered or 0),
            self._membership.lookup,
            accept=self._accept,
            on_event=self._on_event,
            on_started=self._on_started,
            on_stray=self._on_stray,
            on_far_send=self._on_far_send,
            terms=server_terms(self._config.server, self._placement or Placement()),
        )
        if self._placement is None:
            await self._bind()
            await self._start_admin()
            self._background.begin(follow_addresses(self._listen, self.driver.sockets.listen))
        self._listen_tls()
        await self._publications.start(self._config.publish)
        await self._membership.start(self.driver)
        if self._placement is None:
            self._background.begin(self._fleet.run(self._state.server_public_key(registered=registered or 0)))
        count = "an unknown number" if self._membership.known.count is None else self._membership.known.count
        log.info("serving; clients registered: %s, in %s; state in %s", count, source.place, self._state.path)

    def reload(self, config: Config) -> None:
        """Applies new rules, names and limits; open streams stay open."""
        self._streams = self._stream_service(config)
        self._background.begin(self._publications.change(config.publish))
        self._in_force = config
        for name, before, after in _fixed(self._config, config):
            if before != after:
                log.warning("%s is as it was: a change of it needs a restart", name)
        log.info("reloaded: %d rules", len(config.rule) + len(config.forward))

    async def drain(self) -> None:
        """Refuses new streams, and waits for the open ones, at most for the configured time (`drain`)."""
        timeout = self._in_force.server.drain
        self._is_draining = True
        carried = asyncio.ensure_future(self._publications.drain(timeout))
        self.driver.go_away()
        await self._fleet.drain()
        if self._serving:
            log.info("draining: %d connections are open, %.0f s at most", len(self._serving), timeout)
            await self._serving.wait(timeout)
        await carried

    async def _load(self) -> tuple[int, int]:
        return len(self.driver.sessions), self.driver.endpoint.limits.sessions

    async def retire(self) -> None:
        """Leaves new sessions to other processes; returns when all have gone there, or after `upgrade_drain`."""
        began = time.monotonic()
        log.info("retiring: %d sessions go elsewhere as their connections end", len(self.driver.sessions))
        self.driver.tls.retire()
        self.driver.go_away()
        while self.driver.sessions and time.monotonic() - began < self._in_force.server.upgrade_drain:
            self.driver.close_idle("another process serves now")
            await asyncio.sleep(_RETIRE_INTERVAL)
        log.info("retired: %d sessions are left", len(self.driver.sessions))

    async def close(self) -> None:
        """Ends all sessions and tells the clients."""
        await self._background.cancel()
        await self._publications.close()
        await self._serving.cancel()
        if self._admin is not None:
            await self._admin.close()
        await self.driver.close()
        await self._membership.close()

    def status(self) -> ServerStatus:
        """The current status of the server."""
        known = self._membership.known
        status = server_status(self.driver, self._started_at, known.count or 0, self._names)
        status.failures = self._tally.counts
        status.registry_problem = known.problem
        status.published = self._publications.status()
        return status

    async def follow(self, name: str) -> dict[str, object]:
        """Reads what has changed in the registry; tells how many sessions a client has, and why it cannot be read."""
        await self._membership.follow()
        known = self._membership
        return {"registry": known.source.place, "sessions": known.sessions(name), "problem": known.known.problem}

    # --- starting, following ---

    async def _bind(self) -> None:
        for host, port in self._listen:
            addresses = expand_wildcards([(host, port)])
            try:
                await self.driver.sockets.listen([*self.driver.sockets.addresses, *addresses])
            except OSError as error:
                await self.driver.close()
                raise cannot_listen(host, port, error) from error

    def _listen_tls(self) -> None:
        """Listens for clients whose networks drop UDP. Raises TandemError."""
        for text in self._config.server.listen_tls:
            host, port = parse_host_port(text, what="listen_tls")
            try:
                context = server_context(self._state.path)
                self.driver.tls.listen([(host, port)], context, reuse_port=self._placement is not None)
            except OSError as error:
                raise cannot_listen_tls(host, port, error) from error

    async def _start_admin(self) -> None:
        source = self._membership.source
        actions = ClientAdministration(self._config, self._state, source, self.follow).actions
        self._admin = AdminEndpoint.configured(self._config.admin, SERVER_ADMIN_PORT, self.status, actions)
        try:
            await self._admin.start()
        except TandemError:
            await self.driver.close()
            raise

    # --- streams ---

    def _open_stream(self, session: ClientSession) -> Stream:
        self._membership.stop_resting()
        return self.driver.open_stream(session)

    def _accept(self, session: ClientSession, stream: Stream) -> None:
        self._membership.stop_resting()
        if self._is_draining:
            self._serving.begin(self._streams.refuse(stream, "the server shuts down"))
        else:
            self._serving.begin(self._streams.serve(session, stream))

    def _stream_service(self, config: Config) -> StreamService:
        section = config.server
        self._resolver.configure(
            {name: tuple(hosts) for name, hosts in section.hosts.items()}, cache_seconds=section.dns_cache
        )
        for limits in (self._limits, self._publications.limits):
            limits.configure(section.max_streams, section.max_new_streams, config.quota)
        guard = AddressGuard((ipaddress.ip_network(network) for network in section.allow), OwnNetworks())
        access = Access(Rules(config.rule, config.forward), self._resolver, guard, may_dial=section.dial)
        sources = tuple(section.source)
        return StreamService(
            access,
            Dialer(sources),
            self._limits,
            self._rates,
            self._publications,
            tally=self._tally,
            names=self._names,
            sources=sources,
            bind=section.bind,
        )

    # --- logs ---

    def _on_started(self, session: ClientSession) -> None:
        log.info("%s: session started", session.client_name)
        self._membership.on_started(session)

    def _on_event(self, session: ClientSession, event: Event) -> None:
        match event:
            case PathStatusChanged(path_id, status, reason):
                log.debug("%s: path %d is %s%s", session.client_name, path_id, status, f" ({reason})" if reason else "")
            case ConnectionTerminated(code, reason, is_remote):
                who = "the client" if is_remote else "us"
                log.info("%s: session closed by %s: %s", session.client_name, who, reason or error_name(code))
                self._membership.on_ended(session)
                self._names.forget(session)
            case _:
                pass


def _fixed(before: Config, after: Config) -> list[tuple[str, object, object]]:
    """The settings that need a restart: key, value before, and value after."""
    return [
        ("server.listen", before.server.listen, after.server.listen),
        ("server.listen_tls", before.server.listen_tls, after.server.listen_tls),
        ("server.state", before.server.state, after.server.state),
        ("registry", before.registry, after.registry),
        *(
            (f"server.{key}", getattr(before.server, key), getattr(after.server, key))
            for key in ("name", "public", "workers", "sessions", "memory", "resets")
        ),
        ("admin", before.admin, after.admin),
    ]
