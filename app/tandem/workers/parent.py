"""The parent of a server's workers: opens the sockets, starts workers, replaces those that die, and speaks for all."""

import asyncio
import contextlib
import logging
import socket
import sys
import time

from pydantic import ValidationError

from tandem.admin.endpoint import AdminEndpoint
from tandem.admin.status import ServerStatus
from tandem.base.addresses import expand_wildcards, format_host_port, parse_host_port
from tandem.base.directories import default_directory
from tandem.base.errors import TandemError, os_error_text
from tandem.base.tasks import TaskSet
from tandem.base.threads import Threads
from tandem.config.config import SERVER_ADMIN_PORT, Config
from tandem.registry.opening import is_local, open_source
from tandem.registry.source import ClientSource
from tandem.server.administration import ClientAdministration
from tandem.server.fleet_member import FleetMember
from tandem.server.listening import cannot_listen, follow_addresses
from tandem.server.state import StateDirectory
from tandem.workers.channel import ChannelClosed
from tandem.workers.child import Child, Generation
from tandem.workers.doors import make_door
from tandem.workers.merged import merged_status
from tandem_transport.driver import empty, open_group, steer

log = logging.getLogger("tandem.workers")

_PING_INTERVAL = 10.0
_PING_TIMEOUT = 60.0
"""Seconds after which a worker that does not answer is ended and replaced."""

_STATUS_TIMEOUT = 5.0
_CLOSE_TIMEOUT = 3.0

_RESTART_DELAY = (0.0, 30.0)
"""Seconds until a worker that died is replaced: the first time, and at most where it dies again and again."""

_STABLE_AFTER = 60.0
"""Seconds after which a worker that dies counts as dying for the first time."""


class Parent:
    """The `Service` of the parent process."""

    def __init__(self, config: Config, workers: int, command: list[str]) -> None:
        """`command`: the command line of a worker, the same as this process's own."""
        self._config = config
        self._command = command
        self._listen = [parse_host_port(text, what="listen") for text in config.server.listen]
        self._state = StateDirectory(config.server.state or default_directory())
        self._workers = workers
        self._generation = Generation(0, workers)
        self._following: Generation | None = None
        """The generation that is being started, None where none is."""
        self._doors = [make_door() for _ in range(2 * workers)]
        self._children: dict[int, Child] = {}
        self._groups: dict[tuple[str, int], list[socket.socket]] = {}
        self._source: ClientSource
        self._admin: AdminEndpoint
        self._fleet: FleetMember
        self._tasks = TaskSet()
        self._thread = Threads(1)
        self._is_stopping = False
        self._started_at = time.monotonic()
        self.replaced = 0
        """Workers that have died and were replaced."""

    async def start(self) -> None:
        """Opens the sockets and starts the workers. Raises TandemError where an address or the state cannot be used."""
        self._source = await self._thread.run(lambda: open_source(self._config.registry, self._state.path))
        count = await self._thread.run(self._source.count)
        self._state.server_key(registered=(count or 0) if is_local(self._config.registry) else 0)
        try:
            self._open_sockets()
            await asyncio.gather(*(self._start_worker(slot, self._generation) for slot in self._generation.slots))
            await self._start_admin()
        except BaseException:
            await self.close()
            raise
        self._tasks.begin(follow_addresses(self._listen, self._listen_on))
        self._fleet = FleetMember(self._source, self._config.server.name, self._config.server.public, self._load)
        self._tasks.begin(self._fleet.run(self._state.server_public_key(registered=0)))
        log.info("%d workers serve", self._workers)

    def reload(self, config: Config) -> None:
        """Makes all workers read the configuration anew, which was read without a mistake here."""
        self._config = config
        self._tasks.begin(self._reload_workers())

    def upgrade(self) -> None:
        """Starts other workers from the code and configuration on disk; the present ones end with their sessions."""
        if self._following is not None or any(
            child.is_retiring and not child.has_ended for child in self._children.values()
        ):
            log.error("the last upgrade is not over: connections from before it are open; nothing was changed")
        else:
            self._following = Generation(self._generation.number + 1, self._workers)
            self._tasks.begin(self._upgrade(self._following))

    async def _upgrade(self, following: Generation) -> None:
        log.info("upgrading: %d other workers start", self._workers)
        for group in self._groups.values():
            empty(group[slot] for slot in following.slots)
        try:
            for slot in following.slots:  # one after the other: all at once would take the cores from those who serve
                await self._start_worker(slot, following)
        except Exception as error:  # any: the old ones go on, and the next upgrade may work
            log.error("nothing was upgraded: %s", error)
            await self._give_up(following)
            return
        self._generation, self._following = following, None
        self._steer_all()
        old = [child for child in self._children.values() if child.generation is not following]
        await asyncio.gather(*(child.retire() for child in old))
        log.info("upgraded: other workers serve; those before them end with their sessions")

    async def _give_up(self, following: Generation) -> None:
        """Ends the workers of a generation that did not start."""
        self._following = None
        for child in [child for child in self._children.values() if child.generation is following]:
            child.is_retiring = True
            await child.stop()
            self._forget(child)

    async def drain(self) -> None:
        """Makes all workers refuse new streams, and waits until they have ended."""
        self._is_stopping = True
        await self._fleet.drain()
        for child in self._children.values():
            child.terminate()
        await asyncio.gather(*(child.ended() for child in self._children.values()))

    async def close(self) -> None:
        """Ends all workers, and closes the sockets."""
        self._is_stopping = True
        await self._tasks.cancel()
        await asyncio.gather(*(child.stop() for child in self._children.values()))
        if hasattr(self, "_admin"):
            await self._admin.close()
        for sock in (*(sock for group in self._groups.values() for sock in group), *sum(self._doors, ())):
            sock.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._thread.run(self._source.close)

    async def status(self) -> ServerStatus:
        """The status of all workers together."""
        found = await asyncio.gather(*(self._status_of(child) for child in self._children.values()))
        status = merged_status([item for item in found if item is not None])
        status.uptime_s = round(time.monotonic() - self._started_at, 1)
        status.listen = [format_host_port(*address) for address in self._groups]
        status.workers_replaced = self.replaced
        return status

    async def _load(self) -> tuple[int, int]:
        status = await self.status()
        return len(status.sessions), status.max_sessions

    # --- sockets ---

    def _open_sockets(self) -> None:
        for host, port in self._listen:
            for address in expand_wildcards([(host, port)]):
                try:
                    self._open_group(address)
                except OSError as error:
                    raise cannot_listen(host, port, error) from error

    def _open_group(self, address: tuple[str, int]) -> None:
        group = open_group(*address, 2 * self._workers)
        try:
            self._steer(group)
        except OSError:
            for sock in group:
                sock.close()
            raise
        self._groups[address] = group
        empty(group)
        log.info("listening on udp %s", format_host_port(*address))
        for slot, child in self._children.items():
            child.give(address, group[slot])

    def _steer_all(self) -> None:
        """Never raises: packets that go astray are answered with a reset, or dropped."""
        try:
            for group in self._groups.values():
                self._steer(group)
        except OSError as error:
            log.error("packets cannot be led to other workers now: %s", os_error_text(error))

    def _steer(self, group: list[socket.socket]) -> None:
        """Leads initiations to the present generation, and packets away from slots whose workers have gone for good."""
        live = {slot for slot, child in self._children.items() if not child.has_ended}
        first = self._generation.first
        steer(group, first=first, workers=self._workers, live=live | set(self._generation.slots))

    async def _listen_on(self, wanted: list[tuple[str, int]]) -> None:
        """Opens and closes groups so that there is one for each of these addresses. Raises OSError after all others."""
        errors: list[OSError] = []
        for address in set(wanted) - set(self._groups):
            try:
                self._open_group(address)
            except OSError as error:
                errors.append(error)
        for address in set(self._groups) - set(wanted):
            log.info("no longer listening on %s", format_host_port(*address))
            for child in self._children.values():
                child.take_back(address)
            for sock in self._groups.pop(address):
                sock.close()
        if errors:
            raise errors[0]

    # --- workers ---

    async def _start_worker(self, slot: int, generation: Generation) -> None:
        """Starts a worker, and returns when it serves. Raises TandemError where it ends before that."""
        child = Child(slot, generation, self._doors, self._command)
        self._children[slot] = child
        await child.start()
        for address, group in self._groups.items():
            child.give(address, group[slot])
        self._tasks.begin(self._watch(child))

    async def _watch(self, child: Child) -> None:
        """Replaces a worker when it ends, which ends its sessions alone; its clients are told and come back."""
        pinging = asyncio.create_task(self._ping(child))
        try:
            code = await child.ended()
        finally:
            pinging.cancel()
        self._steer_all()
        if child.is_retiring:
            log.info("worker %d has retired", child.slot)
            await child.stop()
            self._forget(child)
        if not self._is_wanted(child):
            return
        log.error("worker %d ended (%s): another takes its place, and its sessions begin anew", child.slot, code)
        delay = _RESTART_DELAY[0] if child.age > _STABLE_AFTER else 1.0
        while True:
            await asyncio.sleep(delay)
            if not self._is_wanted(child):
                self._forget(child)
                return
            self.replaced += 1
            try:
                await self._start_worker(child.slot, child.generation)
            except TandemError as error:
                delay = min(2 * delay or 1.0, _RESTART_DELAY[1])
                log.error("worker %d: %s; the next try is in %.0f s", child.slot, error, delay)
            else:
                return

    def _is_wanted(self, child: Child) -> bool:
        """Whether a worker that has ended is to be replaced: not while all end, and not by one of an old generation."""
        is_old = child.generation is not self._generation and child.generation is not self._following
        return not self._is_stopping and not child.is_retiring and not is_old

    def _forget(self, child: Child) -> None:
        if self._children.get(child.slot) is child:
            del self._children[child.slot]

    async def _ping(self, child: Child) -> None:
        while True:
            await asyncio.sleep(_PING_INTERVAL)
            try:
                await child.ask("ping", timeout=_PING_TIMEOUT)
            except ChannelClosed as error:
                if error.is_late and not self._is_stopping:
                    log.error("worker %d does not answer for %.0f s: it is ended", child.slot, _PING_TIMEOUT)
                    child.kill()
                return

    async def _reload_workers(self) -> None:
        children = list(self._children.values())
        asked = (child.ask("reload", timeout=_PING_TIMEOUT) for child in children)
        for child, said in zip(children, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(said, BaseException):
                log.error("worker %d: nothing was reloaded: %s", child.slot, said)

    # --- the admin endpoint ---

    async def _start_admin(self) -> None:
        actions = ClientAdministration(self._config, self._state, self._source, self._follow_registry).actions
        admin = AdminEndpoint.configured(self._config.admin, SERVER_ADMIN_PORT, self.status, actions)
        await admin.start()
        self._admin = admin

    async def _follow_registry(self, name: str) -> dict[str, object]:
        """Makes all workers read what has changed; tells how many sessions a client has at all of them."""
        asked = [child.ask("follow", {"name": name}, timeout=_PING_TIMEOUT) for child in self._children.values()]
        told = await asyncio.gather(*asked, return_exceptions=True)
        found = [item for item in told if not isinstance(item, BaseException)]  # one that has died has no sessions
        return {
            "registry": self._source.place,
            "sessions": sum(int(item["sessions"]) for item in found),
            "problem": next((item["problem"] for item in found if item["problem"]), ""),
        }

    async def _status_of(self, child: Child) -> ServerStatus | None:
        """The status of one worker, None where it does not tell in time."""
        try:
            return ServerStatus.model_validate(await child.ask("status", timeout=_STATUS_TIMEOUT))
        except (TandemError, ValidationError):  # a worker of a newer release may say what this one does not know
            return None


def worker_command() -> list[str]:
    """The command line of a worker: this process's own; nothing is imported from the working directory (-P)."""
    return [sys.executable, "-P", "-m", "tandem", *sys.argv[1:]]
