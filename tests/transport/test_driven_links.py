"""Links of a client and its server over loopback: flows that are swallowed, dead addresses, the way home.

Times are shortened, and what is waited for has a generous limit.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable

import pytest

from loopback import free_port
from tandem_transport import public_key
from tandem_transport.driver import (
    ClientDriver,
    Link,
    LocalAddress,
    ServerDriver,
    Source,
    UdpAddress,
    link_keeper,
    local_identity,
    search,
)
from tandem_transport.driver.names import Names
from tandem_transport.events import PathStatus

CLIENT_KEY, SERVER_KEY = bytes(range(32)), bytes(range(1, 33))
LIMIT = 60.0
"""Seconds; nothing waits this long when all is well."""


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions ten times as fast; a look each 50 ms."""
    monkeypatch.setattr(link_keeper, "BEAT", 0.05)
    monkeypatch.setattr(search, "ROTATE_AFTER", 0.3)
    monkeypatch.setattr(search, "ESCAPE_AFTER", 1.0)
    monkeypatch.setattr(search, "HOME_AFTER", 1.0)
    monkeypatch.setattr(search, "HOME_TRIAL", 0.5)


class Net:
    """A server with two ports, a client, and what the network between them does."""

    def __init__(self) -> None:
        self.ports = [free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)]
        self.server = ServerDriver(
            SERVER_KEY, {public_key(CLIENT_KEY): "laptop"}.get, accept=lambda session, stream: None
        )
        self.links: list[Link] = []
        self.client: ClientDriver
        self.is_up_lost: Callable[[Link, UdpAddress], bool] = lambda link, remote: False
        self.is_down_lost: Callable[[Source], bool] = lambda source: False
        self.asked: set[tuple[str, UdpAddress]] = set()
        """Which link has asked which address."""

    async def listen(self, *hosts: str) -> None:
        await self.server.sockets.listen([(host, port) for host in hosts for port in self.ports])
        self.server.send = self._send_down

    def add(self, name: str, addresses: list[LocalAddress], endpoints: list[tuple[str, int]], names: Names) -> Link:
        link = Link(name, lambda: addresses, endpoints, names=names)
        link.send = lambda data, remote: self._send_up(link, data, remote)
        self.links.append(link)
        return link

    def start(self) -> None:
        self.client = ClientDriver(local_identity(CLIENT_KEY, public_key(SERVER_KEY)), self.links)
        self.client.start()

    async def connect(self) -> None:
        async with asyncio.timeout(LIMIT):
            await self.client.wait_connected()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110 (nobody tells when it becomes true)
                await asyncio.sleep(0.01)

    def is_usable(self, path_id: int) -> bool:
        return self.is_at(PathStatus.USABLE, path_id) or self.is_at(PathStatus.DEGRADED, path_id)

    def is_at(self, status: PathStatus, path_id: int) -> bool:
        connection = self.client.endpoint.connection
        return connection is not None and connection.stats(now=self.client.now()).paths[path_id].status is status

    async def close(self) -> None:
        await self.client.close()
        await self.server.close()

    def _send_up(self, link: Link, data: bytes, remote: UdpAddress) -> bool:
        self.asked.add((link.name, remote))
        if link.sock is not None and not self.is_up_lost(link, remote):
            link.sock.send(data, remote)
        return True

    def _send_down(self, source: Source, data: bytes) -> bool:
        if not self.is_down_lost(source):
            self.server.sockets.send(source, [data])
        return True


@contextlib.asynccontextmanager
async def net() -> AsyncGenerator[Net]:
    made = Net()
    try:
        yield made
    finally:
        await made.close()


def two_links(made: Net) -> list[Link]:
    """Each prefers a port of its own."""
    first, second = (("127.0.0.1", port) for port in made.ports)
    for name, host, endpoints in (("a", "127.0.0.2", [first, second]), ("b", "127.0.0.3", [second, first])):
        made.add(name, [LocalAddress(host, None)], endpoints, Names())
    return made.links


def port_of(link: Link) -> int:
    assert link.sock is not None
    return link.sock.local[1]


async def test_a_nat_that_has_lost_both_flows_is_left_by_other_ports() -> None:
    async with net() as made:
        links = two_links(made)
        await made.listen("127.0.0.1")
        made.start()
        await made.connect()
        (await made.client.wait_connected()).open_stream()
        await made.until(lambda: made.is_usable(0) and made.is_usable(1))
        swallowed = {port_of(link) for link in links}
        made.is_up_lost = lambda link, remote: port_of(link) in swallowed
        made.is_down_lost = lambda source: source.remote[1] in swallowed
        await made.until(lambda: not swallowed & {port_of(link) for link in links})
        await made.until(lambda: made.is_usable(0) and made.is_usable(1))
        assert len(made.server.sessions) == 1, "the same session"


async def test_a_link_that_hears_nothing_takes_another_port() -> None:
    """Also where its packets arrive, and the other link brings their acknowledgements."""
    async with net() as made:
        links = two_links(made)
        await made.listen("127.0.0.1")
        made.start()
        await made.connect()
        (await made.client.wait_connected()).open_stream()
        await made.until(lambda: made.is_usable(0) and made.is_usable(1))
        swallowed = port_of(links[0])
        made.is_down_lost = lambda source: source.remote[1] == swallowed
        await made.until(lambda: port_of(links[0]) != swallowed and not links[0].search.is_waiting)


async def test_a_link_whose_own_packets_are_lost_takes_another_port_although_the_server_is_heard() -> None:
    async with net() as made:
        links = two_links(made)
        await made.listen("127.0.0.1")
        made.start()
        await made.connect()
        (await made.client.wait_connected()).open_stream()
        await made.until(lambda: made.is_usable(0) and made.is_usable(1))
        swallowed = {port_of(link) for link in links}
        made.is_up_lost = lambda link, remote: port_of(link) in swallowed
        talking = asyncio.create_task(chatter(made))
        await made.until(lambda: not swallowed & {port_of(link) for link in links})
        await made.until(lambda: made.is_usable(0) and made.is_usable(1))
        talking.cancel()


async def chatter(made: Net) -> None:
    """The server has something to say all the time."""
    while True:
        for session in made.server.sessions:
            session.connection.send_datagram_frame(1, b"x")
            made.server.endpoint.touch(session)
        made.server.wake()
        await asyncio.sleep(0.02)


async def test_without_a_session_a_link_with_one_literal_endpoint_takes_other_ports_until_one_is_answered() -> None:
    """As behind a host that remembers flows from before its server was there: only a new one gets through."""
    async with net() as made:
        link = made.add("a", [LocalAddress("127.0.0.2", None)], [("127.0.0.1", made.ports[0])], Names())
        await made.listen("127.0.0.1")
        stale: set[int] = set()
        is_away = True

        def is_lost(link: Link, remote: UdpAddress) -> bool:
            if is_away:
                stale.add(port_of(link))
            return port_of(link) in stale

        made.is_up_lost = is_lost
        made.start()
        await made.until(lambda: len(stale) > 1)
        is_away = False
        await made.connect()
        assert port_of(link) not in stale


async def test_a_configured_port_is_kept() -> None:
    async with net() as made:
        link = made.add("a", [LocalAddress("127.0.0.2", None)], [("127.0.0.1", made.ports[0])], Names())
        link.port = free_port(socket.SOCK_DGRAM)
        made.is_up_lost = lambda link, remote: True
        made.start()
        await made.until(lambda: link.search.steps > 5)
        assert port_of(link) == link.port


async def test_the_second_family_of_a_name_is_tried_where_the_first_is_dead() -> None:
    async def look_up(host: str) -> list[UdpAddress]:
        return [("127.0.0.1", 0), ("::1", 0, 0, 0)]

    async with net() as made:
        both = [LocalAddress("127.0.0.1", None), LocalAddress("::1", None)]
        link = made.add("a", both, [("srv.example", port) for port in made.ports], Names(look_up))
        try:
            await made.listen("127.0.0.1", "::1")
        except OSError:
            made.start()
            pytest.skip("no IPv6 on this machine")
        made.is_up_lost = lambda link, remote: len(remote) == 2
        made.start()
        await made.connect()
        assert link.remote is not None
        assert link.remote[0] == "::1"
        assert ("a", ("127.0.0.1", made.ports[0])) in made.asked


async def test_a_link_goes_back_to_its_own_port_when_that_answers_again() -> None:
    async with net() as made:
        links = two_links(made)
        await made.listen("127.0.0.1")
        made.start()
        await made.connect()
        (await made.client.wait_connected()).open_stream()
        home = ("127.0.0.1", made.ports[0])
        made.is_up_lost = lambda link, remote: remote == home
        await made.until(lambda: links[0].remote != home and made.is_usable(0) and not links[0].search.is_waiting)
        made.asked.clear()
        await made.until(lambda: ("a", home) in made.asked)
        await made.until(lambda: links[0].remote != home and made.is_usable(0))
        made.is_up_lost = lambda link, remote: False
        await made.until(lambda: links[0].remote == home and not links[0].homing.is_under_way)
        await made.until(lambda: made.is_usable(0))
        assert [link.remote for link in links] == [("127.0.0.1", port) for port in made.ports]


async def test_a_single_link_with_open_streams_is_left_where_it_works() -> None:
    async with net() as made:
        first, second = (("127.0.0.1", port) for port in made.ports)
        link = made.add("a", [LocalAddress("127.0.0.2", None)], [first, second], Names())
        await made.listen("127.0.0.1")
        made.is_up_lost = lambda link, remote: remote == first
        made.start()
        await made.connect()
        stream = (await made.client.wait_connected()).open_stream()
        made.asked.clear()
        await made.until(lambda: link.homing.is_due(now=made.client.now() - 1.0))
        assert ("a", first) not in made.asked
        stream.reset()
        await made.until(lambda: ("a", first) in made.asked)


async def test_a_client_at_rest_looks_around_when_somebody_wants_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with net() as made:
        two_links(made)
        await made.listen("127.0.0.1")
        made.start()
        await made.connect()
        await made.until(lambda: made.is_at(PathStatus.USABLE, 0) and made.is_at(PathStatus.USABLE, 1))
        monkeypatch.setattr(link_keeper, "BEAT", 1e6)
        beat = asyncio.create_task(made.client.next_beat())
        while (await asyncio.wait({beat}, timeout=1))[0]:  # one that was fixed before
            beat = asyncio.create_task(made.client.next_beat())
        await made.connect()
        async with asyncio.timeout(LIMIT):
            await beat
