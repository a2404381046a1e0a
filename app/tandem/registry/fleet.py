"""The servers that share a registry: each enters itself, so that invites name all of them."""

import base64
import json
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from tandem.base.errors import UsageError
from tandem.registry.database import Database
from tandem.registry.schema import servers

ALIVE_TIME = 30
"""Seconds since a server has entered itself after which it counts as gone; it does so every ten seconds."""


@dataclass(frozen=True, slots=True)
class FleetServer:
    """One server of a fleet."""

    public_key: bytes
    name: str
    endpoints: tuple[str, ...]
    """The addresses at which clients reach it, as host:port."""
    sessions: int
    max_sessions: int
    is_draining: bool = False
    seen_at: int = 0
    """When it was last heard of, in seconds since the epoch, by the database's clock."""
    is_alive: bool = True
    """Whether it was heard of lately."""

    def described(self) -> dict[str, object]:
        """The server as JSON."""
        return {
            "name": self.name,
            "state": "gone" if not self.is_alive else "draining" if self.is_draining else "up",
            "sessions": self.sessions,
            "max_sessions": self.max_sessions,
            "endpoints": list(self.endpoints),
            "last_seen": self.seen_at,
        }


class Fleet:
    """The servers in a registry. All methods block and raise TandemError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter(self, server: FleetServer) -> None:
        """Enters a server, or what has changed about it; `seen_at` becomes the present time."""
        key = base64.b64encode(server.public_key).decode()
        values: dict[str, object] = {
            "name": server.name,
            "endpoints": json.dumps(list(server.endpoints)),
            "sessions": server.sessions,
            "max_sessions": server.max_sessions,
            "is_draining": server.is_draining,
        }
        with self._database.write() as connection:
            values["seen_at"] = self._database.now(connection)
            changed = connection.execute(update(servers).where(servers.c.public_key == key).values(values))
            if not changed.rowcount:
                connection.execute(insert(servers).values(public_key=key, **values))

    def all(self) -> list[FleetServer]:
        """All servers, sorted by name."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            rows = connection.execute(select(servers).order_by(servers.c.name)).all()
        return [
            FleetServer(
                base64.b64decode(row.public_key),
                row.name,
                tuple(json.loads(row.endpoints)),
                row.sessions,
                row.max_sessions,
                row.is_draining,
                row.seen_at,
                now - row.seen_at < ALIVE_TIME,
            )
            for row in rows
        ]

    def forget(self, name: str) -> None:
        """Removes servers of this name, which invites then no longer name. Raises UsageError where there is none."""
        with self._database.write() as connection:
            if not connection.execute(delete(servers).where(servers.c.name == name)).rowcount:
                raise UsageError(f"no server {name!r} in {self._database.place}", "`tandem servers` lists them")
