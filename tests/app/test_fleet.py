"""The servers of a registry: each enters itself, and all see the same."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import update

from tandem.base.errors import UsageError
from tandem.registry import schema
from tandem.registry.fleet import FleetServer
from tandem.registry.registry import Registry
from tandem.registry.schema import about
from tandem.registry.source import Traffic


def key(number: int) -> bytes:
    return bytes([number]) * 32


def test_servers_enter_themselves_and_are_listed(registry: Registry, open_registry: Callable[[], Registry]) -> None:
    one = FleetServer(key(1), "berlin", ("192.0.2.1:8120", "[2001:db8::1]:8121"), 3, 128)
    registry.fleet.enter(one)
    other = open_registry()
    other.fleet.enter(FleetServer(key(2), "aachen", ("192.0.2.2:8120",), 0, 128))
    registry.fleet.enter(FleetServer(key(1), "berlin", one.endpoints, 5, 128, is_draining=True))
    found = other.fleet.all()
    assert [(item.name, item.sessions, item.is_draining, item.is_alive) for item in found] == [
        ("aachen", 0, False, True),
        ("berlin", 5, True, True),
    ]
    assert found[1].endpoints == one.endpoints
    registry.fleet.forget("aachen")
    assert [item.name for item in other.fleet.all()] == ["berlin"]
    with pytest.raises(UsageError, match="no server 'aachen'"):
        registry.fleet.forget("aachen")


def test_a_registry_of_the_first_version_gets_its_new_table(url: str, open_registry: Callable[[], Registry]) -> None:
    registry = open_registry()
    registry.add("laptop", key(1))
    with registry._database.write() as connection:  # pyright: ignore[reportPrivateUsage]
        schema.servers.drop(connection)
        connection.execute(update(about).where(about.c.key == "version").values(value="1"))
    again = open_registry()
    again.fleet.enter(FleetServer(key(1), "berlin", (), 0, 1))
    assert again.names() == ["laptop"]
    assert len(again.fleet.all()) == 1


def test_servers_whose_clocks_are_apart_agree_on_who_is_there(
    registry: Registry, open_registry: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_registry()
    registry.add("laptop", key(1))
    right = time.time()
    for wrong in (-86_400.0, 7200.0):
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda wrong=wrong: right + wrong)
            registry.fleet.enter(FleetServer(key(1), "berlin", (), 0, 1))
            registry.account({key(1): Traffic(1, is_online=True)})
        assert other.fleet.all()[0].is_alive
        assert other.get("laptop").is_online
        assert abs((other.get("laptop").seen_at or 0) - time.time()) < 120
