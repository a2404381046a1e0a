"""Maintains a client's links: sockets that come and go, addresses of the server to try, a machine that slept."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from tandem_transport.driver.link import Change, Link, Receive
from tandem_transport.driver.search import Step
from tandem_transport.driver.sleep import SleepWatch
from tandem_transport.driver.sockets import UdpAddress
from tandem_transport.driver.turns import TurnTaker
from tandem_transport.endpoint.client import ClientEndpoint
from tandem_transport.events import PathStatus
from tandem_transport.path.carrier import Carrier
from tandem_transport.wire.packets import PacketType, split_datagram

log = logging.getLogger("tandem.client")

BEAT = 1.0
"""Seconds between two checks of the links and of this machine."""
RESTING_BEATS = 5
"""Beats between two checks while no stream is open and all links work: each check wakes the machine."""

_WELL_WITHIN = 2.0
"""Maximum seconds without an answer for a link that counts as working well."""


class LinkKeeper:
    """Maintains the links of a client, with one task for each link, and one that detects sleep."""

    def __init__(self, endpoint: ClientEndpoint, links: list[Link], turns: TurnTaker) -> None:
        """`links` is the caller's list, which `add` extends; `turns` is the driver."""
        self._endpoint = endpoint
        self._links = links
        self._turns = turns
        self._awake = asyncio.Event()
        """Set, and replaced, when the links must be checked now."""
        self._beat_at = 0.0
        """When the next beat is due, by the event loop's clock."""
        self._is_resting = False
        self._tasks: list[asyncio.Task[None]] = []
        self._carriers: dict[int, Carrier | None] = {}
        """What the session knows of the links that send through TLS, by path id."""
        for _ in links:
            endpoint.add_path(now=turns.now())

    def start(self) -> None:
        """Opens the links."""
        self._tasks = [asyncio.create_task(self._maintain(i, link)) for i, link in enumerate(self._links)]
        self._tasks.append(asyncio.create_task(self._watch_sleep()))

    async def close(self) -> None:
        """Closes the sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links:
            link.close()

    def add(self, link: Link) -> None:
        """Adds a link while the keeper runs. Raises LocalProtocolError beyond MAX_PATHS."""
        path_id = self._endpoint.add_path(now=self._turns.now())
        self._links.append(link)
        self._tasks.append(asyncio.create_task(self._maintain(path_id, link)))

    def look_now(self) -> None:
        """Checks the links now, because there is a reason."""
        self._beat_at = 0.0
        self._awake.set()
        self._awake = asyncio.Event()

    def stop_resting(self) -> None:
        """Ends the longer interval between checks, because somebody is about to need the links."""
        if self._is_resting:
            self._is_resting = False
            self.look_now()

    async def next_beat(self, awake: asyncio.Event | None = None) -> float:
        """Waits for the next beat, or for a reason to check now; returns the seconds that it meant to wait.

        All waiting tasks wake at the same moment. With `awake`, a reason counts from when that event was taken.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._beat_at:
            self._is_resting = self._may_rest()
            interval = BEAT * (RESTING_BEATS if self._is_resting else 1)
            self._beat_at = (now // interval + 1) * interval
        at = self._beat_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(at):
                await (awake or self._awake).wait()
        return at - now

    def send(self, link: Link, batch: list[bytes], path_id: int, *, now: float) -> None:
        """Sends datagrams on a link, and notes whether an answer is expected."""
        if link.transmit(batch) and not link.search.is_waiting and self._is_answer_due(path_id, now=now):
            link.search.on_asked(now=now)
        if link.is_gate_due():
            self.look_now()

    # --- inside ---

    async def _maintain(self, path_id: int, link: Link) -> None:
        """Checks a link at each beat, and sooner when there is a reason."""
        link.defer = self._turns.defer

        def receive(batch: Sequence[bytes], source: UdpAddress) -> None:
            if link.arrive is None:
                self._take(path_id, link, batch, source)
                return
            for data in batch:
                link.arrive(data, lambda late: self._take(path_id, link, [late], source))

        def receive_by_udp(batch: Sequence[bytes], source: UdpAddress) -> None:
            if link.detour.is_in_use and any(self._is_answer_by_udp(link, data) for data in batch):
                self._return_to_udp(path_id, link)
            receive(batch, source)

        while True:
            awake = self._awake
            await self._look_after(path_id, link, receive_by_udp)
            self._follow_detour(path_id, link, receive)
            await self.next_beat(awake)

    def _may_rest(self) -> bool:
        connection = self._endpoint.connection
        if connection is None or any(link.error or link.homing.is_under_way for link in self._links):
            return False
        stats = connection.stats(now=self._turns.now())
        return stats.streams_open == 0 and all(path.status is PathStatus.USABLE for path in stats.paths)

    def _take(self, path_id: int, link: Link, batch: Sequence[bytes], source: UdpAddress) -> None:
        """Datagrams have arrived on a link."""
        self._turns.wake()
        now = self._turns.now()
        link.on_received(batch)
        if link.is_gate_due():
            self.look_now()
        is_answer = link.awaits_answer and link.is_asking(source)
        if is_answer and link.is_elsewhere and self._endpoint.connection is not None:
            self._endpoint.on_rebound(path_id, is_same_network=False, now=now)
        receive = self._endpoint.receive_datagram
        for data in batch:
            receive(path_id, data, now=now)
        if self._endpoint.has_small_data:
            self._turns.wake(hurries=True)
        # Packets that the server sends without being asked do not show that our packets arrive.
        if is_answer and link.search.is_answered(unacknowledged=self._unacknowledged(path_id, now=now)):
            link.on_answer(now=now)

    def _unacknowledged(self, path_id: int, *, now: float) -> float:
        """Seconds for which no packet sent on a path was acknowledged, on this path or any other."""
        connection = self._endpoint.connection
        return 0.0 if connection is None else connection.silence(path_id, now=now)

    async def _look_after(self, path_id: int, link: Link, receive: Receive) -> None:
        if link.homing.is_over(now=self._turns.now()):
            link.leave_home(now=self._turns.now())
            self._on_moved(path_id, link, Change.ROUTE)
        step = self._next_step(path_id, link, now=self._turns.now())
        try:
            change = await link.follow(receive, step)
        except OSError as error:
            self._set_error(path_id, link, error)
            return
        self._set_error(path_id, link, None)
        if change is not Change.NONE:
            self._on_moved(path_id, link, change)
        elif self._may_try_home(path_id, link) and await link.try_home(now=self._turns.now()):
            self._on_moved(path_id, link, Change.ROUTE)

    # --- TLS, where UDP is blocked ---

    def _follow_detour(self, path_id: int, link: Link, receive: Receive) -> None:
        """Connects by TLS where UDP is not answered, asks by UDP now and then, and gives a dead connection up."""
        detour, now = link.detour, self._turns.now()
        silence = max(link.search.silence(now=now), self._unacknowledged(path_id, now=now))
        if detour.is_lost or detour.is_dead(silence):
            log.info("link %s: the TLS connection has ended", link.name)
            detour.close(is_same_network=True)
        elif detour.is_in_use and detour.fallback.is_question_due(now=now):
            self._ask_by_udp(link)
        if not link.error and link.found and detour.fallback.should_connect(silence=silence, now=now):
            detour.begin(link.found, receive, lambda: self._on_detour(path_id, link))
        self._note_carrier(path_id, link)

    def _ask_by_udp(self, link: Link) -> None:
        """Asks the server by UDP, with the initiation of any link: it answers each, and no state depends on it."""
        initiation = next((each.initiation for each in (link, *self._links) if each.initiation), b"")
        if link.sock is not None and link.remote is not None and initiation:
            link.sock.send(initiation, link.remote)

    def _on_detour(self, path_id: int, link: Link) -> None:
        """The TLS connection is there, or has ended, or takes data again."""
        self._turns.wake()
        if link.detour.is_lost:
            self.look_now()
        else:
            self._note_carrier(path_id, link)

    def _note_carrier(self, path_id: int, link: Link) -> None:
        """Tells the session what carries the path, where that has changed."""
        carrier = link.detour.carrier
        if self._carriers.get(path_id) is not carrier:
            self._carriers[path_id] = carrier
            self._turns.wake()
            self._endpoint.set_carrier(path_id, carrier)
            self._on_moved(path_id, link, Change.NETWORK)

    def _is_answer_by_udp(self, link: Link, data: bytes) -> bool:
        """Whether a datagram answers the question that was asked by UDP: nobody else answers an initiation."""
        packets = split_datagram(data)
        is_handshake = bool(packets) and packets[0].packet_type is not PacketType.TRANSPORT
        return is_handshake and link.detour.fallback.is_answer(now=self._turns.now())

    def _return_to_udp(self, path_id: int, link: Link) -> None:
        log.info("link %s: UDP is answered again", link.name)
        link.detour.fallback.on_returned(now=self._turns.now())
        link.detour.leave()
        self._note_carrier(path_id, link)

    def _next_step(self, path_id: int, link: Link, *, now: float) -> Step:
        if link.homing.is_under_way or link.error or link.detour.is_in_use:
            return Step.STAY
        return link.search.next_step(unacknowledged=self._unacknowledged(path_id, now=now), now=now)

    def _on_moved(self, path_id: int, link: Link, change: Change) -> None:
        """The link has another socket, or uses another address of the server: sends something there at once."""
        self._turns.wake()
        now = self._turns.now()
        link.search.on_moved(now=now)
        if change is Change.NETWORK:
            link.search.restart()
        elif self._endpoint.connection is None and link.initiation:
            # The endpoint's next initiation may be due in half a minute, when the link has already moved on.
            self.send(link, [link.initiation], path_id, now=now)
        self._endpoint.on_rebound(path_id, is_same_network=change is Change.ROUTE, now=now)

    def _may_try_home(self, path_id: int, link: Link) -> bool:
        """A trial of the link's own endpoint is due, and harmless: another link works, or no stream is open."""
        connection, now = self._endpoint.connection, self._turns.now()
        if connection is None or not link.homing.is_due(now=now) or link.search.silence(now=now) > _WELL_WITHIN:
            return False
        if any(other.homing.is_under_way for other in self._links):
            return False
        stats = connection.stats(now=now)
        working = {path.path_id for path in stats.paths if path.status in (PathStatus.USABLE, PathStatus.DEGRADED)}
        return path_id in working and (stats.streams_open == 0 or len(working) > 1)

    async def _watch_sleep(self) -> None:
        watch = SleepWatch()
        while True:
            missed = watch.missed(await self.next_beat())
            if missed:
                log.info("this machine slept, or stood still, for %.0f s", missed)
                self._turns.wake()
                self._endpoint.on_wake(now=self._turns.now())
                for link in self._links:
                    link.search.restart()
                self.look_now()

    def _set_error(self, path_id: int, link: Link, error: OSError | None) -> None:
        if not link.set_error(error, now=self._turns.now()):
            return
        if link.error:
            log.warning("link %s: %s", link.name, link.error)
        connection = self._endpoint.connection
        self._turns.wake()
        if connection is None and not link.error:
            self._endpoint.retry(now=self._turns.now())
        if connection is not None:
            connection.set_link_error(path_id, link.error, now=self._turns.now())

    def _is_answer_due(self, path_id: int, *, now: float) -> bool:
        """A packet that was sent on this path waits for an answer; packets with only acknowledgements do not."""
        connection = self._endpoint.connection
        return connection is None or connection.silence(path_id, now=now + 1.0) > 0.0
