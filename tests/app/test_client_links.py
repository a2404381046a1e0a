"""A client whose interfaces come and go, over loopback, with a server beside it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from loopback import free_port
from tandem.admin.metrics import render
from tandem.admin.snapshots import server_status
from tandem.client.client import Client
from tandem.client.client_links import MAX_DEAD_LINKS
from tandem.client.events import EventLog, read
from tandem.client.records import ClientRecords
from tandem.config.config import Config, load
from tandem.config.invites import Invite
from tandem.exchange.link_names import LinkNames
from tandem_transport import TransportParameters, public_key
from tandem_transport.driver import ServerDriver, link_keeper

CLIENT_KEY, SERVER_KEY = bytes(range(32)), bytes(range(1, 33))
LIMIT = 120.0
"""Seconds; nothing waits this long when all is well."""


class Machine:
    """Interfaces that lead out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.interfaces: dict[str, list[str]] = {}
        monkeypatch.setattr("tandem.client.interfaces.interface_addresses", lambda: self.interfaces)
        monkeypatch.setattr("tandem.client.links.interface_addresses", lambda: self.interfaces)
        monkeypatch.setattr("tandem.client.interfaces.leading_out", lambda: list(self.interfaces))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(link_keeper, "BEAT", 0.02)
    return Machine(monkeypatch)


class Ends:
    """A client and its server."""

    def __init__(self, directory: Path) -> None:
        self.server = ServerDriver(
            SERVER_KEY, {public_key(CLIENT_KEY): "laptop"}.get, accept=lambda session, stream: None
        )
        self.ports = [free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)]
        self.events = directory / "events.jsonl"
        endpoints = tuple(f"127.0.0.1:{port}" for port in self.ports)
        invite = Invite(public_key(SERVER_KEY), CLIENT_KEY, endpoints, "laptop")
        self.client = Client(_config(), [invite], TransportParameters(), ClientRecords(events=EventLog(self.events)))

    async def start(self) -> None:
        await self.server.sockets.listen([("127.0.0.1", port) for port in self.ports])
        await self.client.start()

    async def close(self) -> None:
        await self.client.close()
        await self.server.close()

    def state(self, name: str) -> str:
        return next((link.state for link in self.client.status().links if link.name == name), "")

    def works(self, name: str) -> bool:
        return self.state(name) in ("usable", "degraded")

    def names(self) -> list[str]:
        return [link.name for link in self.client.status().links]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110 (nobody tells when it becomes true)
                await asyncio.sleep(0.005)


def _config() -> Config:
    return load(
        None, {"socks": {"listen": f"127.0.0.1:{free_port()}"}, "admin": {"listen": f"127.0.0.1:{free_port()}"}}
    )


@contextlib.asynccontextmanager
async def ends(directory: Path) -> AsyncGenerator[Ends]:
    made = Ends(directory)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("HOME", str(tmp_path))


async def test_a_modem_that_is_plugged_in_forty_times_leaves_few_rows_and_the_session(
    machine: Machine, tmp_path: Path
) -> None:
    machine.interfaces = {"wlan0": ["127.0.0.2"]}
    async with ends(tmp_path) as made:
        await made.until(lambda: made.works("wlan0"))
        for number in range(40):
            machine.interfaces = {"wlan0": ["127.0.0.2"], f"usb{number}": ["127.0.0.3"]}
            await made.until(lambda: made.works(f"usb{number}"))  # noqa: B023
            assert len(made.names()) <= 2 + MAX_DEAD_LINKS
            machine.interfaces = {"wlan0": ["127.0.0.2"]}
            await made.until(lambda: made.state(f"usb{number}") == "down")  # noqa: B023
        assert made.names()[0] == "wlan0"
        assert sorted(made.names()[1:]) == ["usb36", "usb37", "usb38", "usb39"], "the last ones that are gone"
        assert render(made.client.status()).count(b"tandem_link_queue_seconds{") <= 1 + MAX_DEAD_LINKS
        assert [event.state for event in read(made.events) if event.event == "session"] == ["up"]
        (session,) = server_status(made.server, time.monotonic(), 1, LinkNames()).sessions
        assert len(session.links) <= 2 + MAX_DEAD_LINKS
        machine.interfaces["usb39"] = ["127.0.0.4"]
        await made.until(lambda: made.works("usb39"))
        assert len(made.names()) == 1 + MAX_DEAD_LINKS, "one that comes back is the same link"


async def test_interfaces_that_vanish_together_leave_few_rows_too(machine: Machine, tmp_path: Path) -> None:
    many = {f"usb{number}": [f"127.0.0.{number + 3}"] for number in range(10)}
    machine.interfaces = {"wlan0": ["127.0.0.2"], **many}
    async with ends(tmp_path) as made:
        await made.until(lambda: all(made.works(name) for name in machine.interfaces))
        machine.interfaces = {"wlan0": ["127.0.0.2"]}
        await made.until(lambda: len(made.names()) == 1 + MAX_DEAD_LINKS)
        machine.interfaces |= {"eth0": ["127.0.0.20"]}
        await made.until(lambda: made.works("eth0"))
        assert made.names()[0] == "wlan0"


async def test_named_links_stay_whatever_happens(machine: Machine, tmp_path: Path) -> None:
    named = {f"usb{number}": [f"127.0.0.{number + 3}"] for number in range(6)}
    machine.interfaces = {"wlan0": ["127.0.0.2"], **named}
    links = [{"name": name, "bind": name} for name in machine.interfaces]
    config = _config().model_copy(update={"link": Config.model_validate({"link": links}).link})
    invite = Invite(public_key(SERVER_KEY), CLIENT_KEY, ("127.0.0.1:9",), "laptop")
    client = Client(config, [invite], TransportParameters(), ClientRecords())
    await client.start()
    try:
        machine.interfaces = {}
        async with asyncio.timeout(LIMIT):
            while not all(link.is_gone for link in client.links):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert [link.name for link in client.status().links] == ["wlan0", *named]
    finally:
        await client.close()


async def test_events_say_whose_they_are(machine: Machine, tmp_path: Path) -> None:
    machine.interfaces = {"wlan0": ["127.0.0.2"]}
    async with ends(tmp_path) as made:
        await made.until(lambda: made.works("wlan0"))
    assert {event.client for event in read(made.events)} == {"laptop"}
