"""The network: links between a client and a server, and the loop that moves virtual time."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

from simnet.peer import Peer
from tandem.impair.impairment import ImpairedLink, Impairment
from tandem_transport.crypto.noise import public_key
from tandem_transport.endpoint.admission import Denial, Pending
from tandem_transport.endpoint.client import ClientEndpoint, ClientEvent, Connected
from tandem_transport.endpoint.search import ClientIdentity
from tandem_transport.endpoint.server import ServerEndpoint, ServerEvent, SessionEvent, SessionStarted
from tandem_transport.parameters import PACER_QUANTUM
from tandem_transport.wire.frames import Mode

SERVER_KEY = bytes(range(32))
CLIENT_KEY = bytes(range(32, 64))
SERVER_PUBLIC = public_key(SERVER_KEY)

_RUN = 0.004
_PREEMPTED = (0.010, 0.060)
"""Seconds for which a process on a busy core runs, and for which it waits then."""

_STEPS_AT_ONCE = 1000
"""Steps without time moving on: a livelock fails instead of hanging."""


def mbit(rate: float) -> float:
    """Megabits per second in bytes per second."""
    return rate * 125_000


def hours(value: float) -> float:
    """In seconds."""
    return value * 3600


class Core:
    """A processor that a process shares with others: it runs for a moment, then it waits for its turn."""

    def __init__(self, seed: int | None) -> None:
        """Without a seed nobody else wants the core."""
        self._random = None if seed is None else Random(seed)
        self._begin = self._end = 0.0
        """The present or last time in which the process does not run."""

    def runs_at(self, time: float) -> float:
        """The first moment from `time` on at which the process runs; times are asked for in about their order."""
        if self._random is None:
            return time
        while time >= self._end + _RUN:
            self._begin = self._end + _RUN
            self._end = self._begin + self._random.uniform(*_PREEMPTED)
        return self._end if self._begin <= time < self._end else time

    def is_running(self, now: float) -> bool:
        """Whether it runs now."""
        return self.runs_at(now) <= now


class Network:
    """One server and one client with some links. `now` is virtual time in seconds."""

    def __init__(
        self,
        *links: Impairment,
        seed: int = 1,
        server_links: Sequence[Impairment] | None = None,
        client_key: bytes = CLIENT_KEY,
        known_clients: dict[bytes, str] | None = None,
        tamper: Callable[[bytes, Random], bytes] | None = None,
        mode: Mode = Mode.DUPLICATE,
        is_busy: bool = False,
    ) -> None:
        """`server_links` are the directions towards the client, where they differ from the others.

        `tamper` may change any datagram on the way. `is_busy`: other processes take both ends' cores away, most of
        the time, for some ten milliseconds at a time.
        """
        self.now = 1000.0
        self.random = Random(seed)
        self._tamper = tamper
        self._mode = mode
        self.on_server_session: Callable[[Peer], None] | None = None
        """Called with each new session of the server."""
        self.deliver_to_server: Callable[[bytes, str], None] = self._deliver_to_server
        """A test that puts itself in the way replaces this."""
        self.up = [ImpairedLink(link, seed=seed * 100 + 2 * i) for i, link in enumerate(links)]
        down = links if server_links is None else server_links
        self.down = [ImpairedLink(link, seed=seed * 100 + 50 + 2 * i) for i, link in enumerate(down)]
        self.addresses = [f"client-link-{i}" for i in range(len(links))]
        self.client_core, self.server_core = (Core(seed + i if is_busy else None) for i in range(2))
        self._lateness = sum(_PREEMPTED) / 2 if is_busy else PACER_QUANTUM
        self._slept = 0.0
        self._wakes_at: float | None = None
        self._moves = count(1)
        self._order = count()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._client_key = client_key
        self.known_clients: dict[bytes, str | Denial | Pending] = {public_key(CLIENT_KEY): "laptop"}
        if known_clients is not None:
            self.known_clients = dict(known_clients)
        self.server_endpoint = self.make_server()
        self.client_endpoint = self.make_client(client_key)
        for _ in links:
            self.client_endpoint.add_path(now=self.now)
        self.client_peers: list[Peer] = []
        self.server_peers: list[Peer] = []
        self.client_events: list[ClientEvent] = []
        self.is_server_up = True
        self.datagrams_to_client = self.bytes_to_client = 0
        self.bytes_to: dict[str, int] = {}
        """Bytes that the server has sent to each address."""
        self.datagrams_to_server = self.bytes_to_server = 0
        self.steps = 0

    # --- ends ---

    def make_server(self) -> ServerEndpoint:
        return ServerEndpoint(SERVER_KEY, self.known_clients.get, randomness=self.random.randbytes, now=self.now)

    def make_client(self, key: bytes = CLIENT_KEY, instance_id: bytes | None = None) -> ClientEndpoint:
        identity = self.identity(key, instance_id=instance_id)
        return ClientEndpoint(identity, mode=self._mode, now=self.client_now)

    def identity(
        self,
        key: bytes = CLIENT_KEY,
        server_public: bytes = SERVER_PUBLIC,
        *,
        wall_clock: Callable[[], float] | None = None,
        instance_id: bytes | None = None,
    ) -> ClientIdentity:
        """A client's, with the randomness and, unless another one is given, the clock of this network."""
        return ClientIdentity(
            static_private=key,
            server_public=server_public,
            randomness=self.random.randbytes,
            wall_clock=wall_clock or (lambda: self.now),
            instance_id=instance_id or b"",
        )

    def restart_server(self) -> None:
        """The server process is another one, with the same key."""
        self.server_endpoint = self.make_server()
        self.is_server_up = True

    def restart_client(self, instance_id: bytes | None = None) -> None:
        """The client process is another one, perhaps with the instance id of the last."""
        self.client_endpoint = self.make_client(self._client_key, instance_id)
        for _ in self.addresses:
            self.client_endpoint.add_path(now=self.client_now)

    @property
    def client_now(self) -> float:
        """The client's monotonic clock, which stops while its machine sleeps."""
        return self.now - self._slept

    @property
    def client(self) -> Peer:
        """The client's newest session."""
        return self.client_peers[-1]

    @property
    def server(self) -> Peer:
        """The server's newest session."""
        return self.server_peers[-1]

    # --- running ---

    def connect(self, limit: float = 10.0) -> "Network":
        """Runs until both ends have a session."""
        self.run_until(lambda: bool(self.client_peers and self.server_peers), limit=limit)
        return self

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        self._run(lambda: False, end)
        self.now = max(self.now, end)

    def run_until(self, condition: Callable[[], bool], *, limit: float) -> float:
        """Runs until the condition holds, and fails after `limit` seconds. Returns the seconds it took."""
        begin = self.now
        assert self._run(condition, begin + limit), f"not within {limit} s of virtual time"
        return self.now - begin

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Does something at a time."""
        heapq.heappush(self._heap, (when, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something later."""
        self.at(self.now + seconds, action)

    # --- links ---

    def change(self, link: int, *, after: float, directions: str = "both", **changes: Any) -> None:
        """A link is another one, `after` seconds from now; `directions` is "up", "down" or "both"."""
        chosen = {"up": [self.up], "down": [self.down], "both": [self.up, self.down]}[directions]

        def change() -> None:
            for direction in chosen:
                direction[link].impairment = replace(direction[link].impairment, **changes)

        self.after(after, change)

    def cut(self, link: int, *, begin: float, end: float) -> None:
        """Takes a link away, in both directions, from `begin` to `end` seconds from now."""
        for direction in (self.up[link], self.down[link]):
            outages = (*direction.impairment.outages, (self.now + begin, self.now + end))
            direction.impairment = replace(direction.impairment, outages=outages)

    def move(self, link: int) -> None:
        """NAT rebinding: the link's packets come from another address; what is sent to the old one is lost."""
        self.addresses[link] = f"client-link-{link}-moved-{next(self._moves)}"

    def rebind(self, link: int, *, delay: float | None = None) -> None:
        """The link's interface has got another address, and perhaps another network behind it."""
        self.move(link)
        if delay is not None:
            for direction in (self.up[link], self.down[link]):
                direction.impairment = replace(direction.impairment, delay=delay)
        self.client_endpoint.on_rebound(link, is_same_network=False, now=self.client_now)

    def sleep(self, seconds: float) -> None:
        """The client's machine sleeps: its monotonic clock stops, what is sent to it is lost."""
        self._wakes_at = self.now + seconds
        self.run(seconds)
        self._wakes_at = None
        self._slept += seconds
        self.client_endpoint.on_wake(now=self.client_now)

    # --- inside ---

    def _run(self, condition: Callable[[], bool], end: float) -> bool:
        steps = 0
        while steps < _STEPS_AT_ONCE:
            self.flush()
            if condition():
                return True
            at = self._next_time()
            if at > end:
                return False
            steps = steps + 1 if at <= self.now else 0
            self.now = max(self.now, at)
            self._step()
        raise AssertionError(f"livelock at {self.now}")

    def _next_time(self) -> float:
        times: list[float | None] = []
        if self._wakes_at is None:
            timeout = self.client_endpoint.next_timeout()
            # A little late where it slept: the sum of the two must not be rounded to before the timeout.
            late = self._slept + (1e-9 if self._slept else 0)
            times.append(None if timeout is None else self.client_core.runs_at(max(timeout + late, self.now)))
        if self.is_server_up:
            timeout = self.server_endpoint.next_timeout()
            times.append(None if timeout is None else self.server_core.runs_at(max(timeout, self.now)))
        if self._heap:
            times.append(self._heap[0][0])
        return min((time for time in times if time is not None), default=float("inf"))

    def _step(self) -> None:
        self.steps += 1
        while self._heap and self._heap[0][0] <= self.now:
            heapq.heappop(self._heap)[2]()
        timeout = self.client_endpoint.next_timeout()
        is_awake = self._wakes_at is None and self.client_core.is_running(self.now)
        if is_awake and timeout is not None and timeout <= self.client_now:
            self.client_endpoint.handle_timeout(now=self.client_now)
        timeout = self.server_endpoint.next_timeout()
        if self.is_server_up and timeout is not None and timeout <= self.now and self.server_core.is_running(self.now):
            self.server_endpoint.handle_timeout(now=self.now)

    def flush(self) -> None:
        """Takes events and datagrams of both ends until neither has any left."""
        self._take_events()
        self._tell_lateness()
        if self._wakes_at is None and self.client_core.is_running(self.now):
            for transmit in self.client_endpoint.datagrams_to_send(now=self.client_now):
                self._to_server(transmit.path_id, transmit.data)
        if self.is_server_up and self.server_core.is_running(self.now):
            for session in self.server_endpoint.sessions:
                self.server_endpoint.touch(session)
            for transmit in self.server_endpoint.datagrams_to_send(now=self.now):
                self.to_client(str(transmit.address), transmit.data)
        self._take_events()

    def _tell_lateness(self) -> None:
        """As the drivers do in each turn: how much may be caught up depends on the queue of the moment."""
        for peer in (*self.client_peers[-1:], *self.server_peers[-1:]):
            peer.connection.set_quantum(max(PACER_QUANTUM, self._lateness))

    def _take_events(self) -> None:
        while (event := self.client_endpoint.next_event()) is not None:
            self._on_client_event(event)
        while (server_event := self.server_endpoint.next_event()) is not None:
            self._on_server_event(server_event)

    def _on_client_event(self, event: ClientEvent) -> None:
        self.client_events.append(event)
        if isinstance(event, Connected):
            self.client_peers.append(Peer(event.connection, lambda: self.now))
        elif self.client_peers:
            self.client.handle(event)  # type: ignore[arg-type]

    def _on_server_event(self, event: ServerEvent) -> None:
        match event:
            case SessionStarted(session):
                self.server_peers.append(Peer(session.connection, lambda: self.now))
                if self.on_server_session is not None:
                    self.on_server_session(self.server_peers[-1])
            case SessionEvent(session, inner):
                for peer in self.server_peers:
                    if peer.connection is session.connection:
                        peer.handle(inner)

    def _to_server(self, path_id: int, data: bytes) -> None:
        self.datagrams_to_server += 1
        self.bytes_to_server += len(data)
        data = self._tamper(data, self.random) if self._tamper else data
        address = self.addresses[path_id]
        for at in self.up[path_id].send(len(data), now=self.now):
            self.at(self.server_core.runs_at(at), lambda: self.deliver_to_server(data, address))

    def to_client(self, address: str, data: bytes) -> None:
        """The server sends a datagram to an address."""
        self.datagrams_to_client += 1
        self.bytes_to_client += len(data)
        data = self._tamper(data, self.random) if self._tamper else data
        self.bytes_to[address] = self.bytes_to.get(address, 0) + len(data)
        if address not in self.addresses:
            return
        path_id = self.addresses.index(address)
        for at in self.down[path_id].send(len(data), now=self.now):
            self.at(self.client_core.runs_at(at), lambda: self._deliver_to_client(path_id, address, data))

    def _deliver_to_client(self, path_id: int, address: str, data: bytes) -> None:
        if self._wakes_at is None and self.addresses[path_id] == address:
            self.client_endpoint.receive_datagram(path_id, data, now=self.client_now)

    def _deliver_to_server(self, data: bytes, address: str) -> None:
        if self.is_server_up:
            self.server_endpoint.receive_datagram(data, source=address, now=self.now)
