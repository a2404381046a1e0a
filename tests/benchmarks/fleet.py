"""What many clients cost a server: memory and CPU of idle sessions over loopback, and how a large registry is felt.

    python tests/benchmarks/fleet.py [--sessions 1000] [--registered 20000] [--seconds 30] [--workers 1]

Each client has two links and no stream. They live in this process, over a few sockets, so what is measured is the
server. A client asks the server fifty times a second, while nothing happens to the registry, and while its clients
change all the time. Prints figures; asserts nothing.
"""

import argparse
import asyncio
import heapq
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from loopback.processes import Pair
from tandem.config.invites import Invite, decode_invites
from tandem.config.server_sections import RegistryConfig
from tandem.exchange.request import Kind, Request, read_answer
from tandem.registry.opening import open_registry
from tandem.registry.registration import Registration, Terms
from tandem_transport import ClientEndpoint, Connected, public_key
from tandem_transport.driver import ClientDriver, Link, LocalAddress, local_identity
from tandem_transport.driver.sockets import UdpAddress, UdpSocket

CONNECTS_PER_SECOND = 150
"""Below the rate from which on a server asks for cookies."""

SOCKETS = 8
"""Sockets for each link, which the clients share."""


class Crowd:
    """Many idle clients, each with two links."""

    def __init__(self, endpoints: list[tuple[str, int]]) -> None:
        self._endpoints = endpoints
        self._sockets: list[list[UdpSocket]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[ClientEndpoint] = []
        self._by_id: dict[bytes, int] = {}
        """The client that a connection id or a handshake id belongs to."""
        self._due: list[tuple[float, int]] = []
        self.connected = 0

    async def open(self) -> None:
        """Opens the sockets."""
        for link in range(2):
            row = [await UdpSocket.open(f"127.0.{link + 1}.{number + 1}", 0) for number in range(SOCKETS)]
            self._sockets.append(row)
            self._tasks += [asyncio.create_task(sock.receive(self._receiver(link))) for sock in row]
        self._tasks.append(asyncio.create_task(self._run()))

    def add(self, invite: Invite) -> None:
        """One more client, which asks for a session at once."""
        client = ClientEndpoint(local_identity(invite.client_private, invite.server_public), now=time.monotonic())
        for _ in range(2):
            client.add_path(now=time.monotonic())
        self._clients.append(client)
        self._turn(len(self._clients) - 1)

    def close(self) -> None:
        """Ends without a word to the server."""
        for task in self._tasks:
            task.cancel()
        for row in self._sockets:
            for sock in row:
                sock.close()

    def _receiver(self, link: int) -> Callable[[Sequence[bytes], UdpAddress], None]:
        def receive(batch: Sequence[bytes], address: UdpAddress) -> None:
            for data in batch:
                number = self._by_id.get(data[1:17])
                if number is not None:
                    self._clients[number].receive_datagram(link, data, now=time.monotonic())
                    self._turn(number)

        return receive

    def _turn(self, number: int) -> None:
        client, now = self._clients[number], time.monotonic()
        while (event := client.next_event()) is not None:
            if isinstance(event, Connected):
                self._by_id[event.connection.connection_id] = number
                self.connected += 1
        for transmit in client.datagrams_to_send(now=now):
            self._by_id[transmit.data[1:17]] = number
            sock = self._sockets[transmit.path_id][number % SOCKETS]
            sock.send(transmit.data, self._endpoints[transmit.path_id])
        timeout = client.next_timeout()
        if timeout is not None:
            heapq.heappush(self._due, (timeout, number))

    async def _run(self) -> None:
        while True:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, number = heapq.heappop(self._due)
                if (self._clients[number].next_timeout() or now + 1) <= now:
                    self._clients[number].handle_timeout(now=now)
                    self._turn(number)
            await asyncio.sleep(0.01)


def spent(processes: list[psutil.Process]) -> float:
    """CPU seconds of the server's processes."""
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


def memory(processes: list[psutil.Process]) -> float:
    """Megabytes of the server's processes."""
    return sum(process.memory_info().rss for process in processes) / 1e6


async def measure_idle(pair: Pair, crowd: Crowd, invites: list[Invite], seconds: float) -> None:
    """Connects all clients, and measures what they cost the server while they do nothing."""
    assert pair.server is not None
    server = psutil.Process(pair.server.pid)
    processes = [server, *server.children()]
    before = memory(processes)
    for invite in invites:
        crowd.add(invite)
        await asyncio.sleep(1 / CONNECTS_PER_SECOND)
    for _ in range(600):
        if crowd.connected >= len(invites):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(20)  # what a beginning costs is over
    began, cpu = time.monotonic(), spent(processes)
    await asyncio.sleep(seconds)
    share = (spent(processes) - cpu) / (time.monotonic() - began)
    now = memory(processes)
    print(
        f"{crowd.connected} of {len(invites)} sessions, two links each, no stream: {share:.3f} of a core, "
        f"{now:.0f} MB, {(now - before) * 1e3 / max(1, crowd.connected):.0f} kB each"
    )


async def echo_times(pair: Pair, invite: Invite, seconds: float) -> list[float]:
    """Milliseconds of a question to the server and its answer, fifty times a second."""
    driver = ClientDriver(local_identity(invite.client_private, invite.server_public), [_link(pair.endpoints[0])])
    driver.start()
    session = await driver.wait_connected()
    question = Request(Kind.WHO_AM_I, "", 0).encode()
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        stream = session.open_stream()
        await stream.write(question)
        await read_answer(stream)
        times.append((time.monotonic() - began) * 1e3)
        stream.reset()
        await asyncio.sleep(0.02)
    await driver.close()
    return times


def _link(endpoint: str) -> Link:
    host, port = endpoint.split(":")
    return Link("bench", lambda: [LocalAddress("127.0.0.1", None)], [(host, int(port))])


def show(what: str, times: list[float]) -> None:
    """Prints the median, the 99th percentile and the longest."""
    ordered = sorted(times)
    at_99 = ordered[len(ordered) * 99 // 100]
    print(f"echo {what}: median {statistics.median(ordered):.1f}, p99 {at_99:.1f}, longest {ordered[-1]:.1f} ms")


def change_again_and_again(state: Path, until: float) -> int:
    """Changes clients of the registry as fast as it goes; returns how many."""
    registry = open_registry(RegistryConfig(), state)
    names, changed = registry.names(), 0
    while time.monotonic() < until:
        registry.set_terms(names[changed % len(names)], Terms(rate=1_000_000 + changed))
        changed += 1
    registry.close()
    return changed


def registered(state: Path, count: int) -> None:
    """Puts clients into the registry that nobody uses."""
    registry = open_registry(RegistryConfig(), state)
    registry.take_over(Registration(f"client{n}", os.urandom(32), "2026-11-01T00:00:00Z") for n in range(count))
    registry.close()


def invited(pair: Pair, count: int) -> list[Invite]:
    """Clients that are registered, with their keys."""
    first = decode_invites(pair.invite("first"))[0]
    registry = open_registry(RegistryConfig(), pair.state)
    keys = [os.urandom(32) for _ in range(count)]
    registry.take_over(Registration(f"idle{n}", public_key(key), "") for n, key in enumerate(keys))
    registry.close()
    return [first, *(Invite(first.server_public, key, first.endpoints, f"idle{n}") for n, key in enumerate(keys))]


async def measure(pair: Pair, sessions: int, count: int, seconds: float) -> None:
    """All measurements, with a server that runs."""
    endpoints = [("127.0.0.1", port) for port in pair.udp_ports]
    first, *idle = invited(pair, sessions)
    show(f"with {sessions + 1} clients registered", await echo_times(pair, first, seconds))
    await asyncio.to_thread(registered, pair.state, count)
    show(f"with {count} more", await echo_times(pair, first, seconds))
    changing = asyncio.create_task(asyncio.to_thread(change_again_and_again, pair.state, time.monotonic() + seconds))
    show("while they change", await echo_times(pair, first, seconds))
    print(f"     {await changing / seconds:.0f} changes a second")
    crowd = Crowd(endpoints)
    await crowd.open()
    await measure_idle(pair, crowd, idle, seconds)
    show("beside idle sessions", await echo_times(pair, first, seconds))
    crowd.close()


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--registered", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--workers", default="1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        pair.invite("nobody")
        config = Path(directory) / "tandem.toml"
        config.write_text(f'[server]\nsessions = {given.sessions + 100}\nmemory = "4 GB"\n')
        pair.start_server("--workers", given.workers, "--config", str(config), "--log-level", "warning")
        try:
            asyncio.run(measure(pair, given.sessions, given.registered, given.seconds))
        finally:
            pair.close()


if __name__ == "__main__":
    main()
