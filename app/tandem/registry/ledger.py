"""What clients have carried, day by day, and when they were last seen."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import sqlite

from tandem.registry.database import Database
from tandem.registry.schema import clients, usage
from tandem.registry.source import Traffic

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

ONLINE_RENEWAL = 60.0
"""Seconds after which a server says again that a client is online which carries nothing: each time is a write."""

ONLINE_TIME = 150
"""Seconds for which a client counts as online after its server has said so: more than between two tellings."""

DAYS_KEPT = 400
"""Days for which usage is kept."""

_MAX_KEYS = 500


def add_usage(database: Database, traffic: Mapping[str, Traffic], *, now: float, prunes: bool) -> None:
    """Adds what clients have carried, by their public keys in base64; keys that are not registered are left out.

    `prunes`: removes usage of more than DAYS_KEPT ago.
    """
    if not traffic:
        return
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    with database.write() as connection:
        present = database.now(connection)
        ids = _ids(connection, list(traffic))
        rows = [(ids[key], carried) for key, carried in traffic.items() if key in ids]
        _add_bytes(database, connection, day, [(row_id, carried.size) for row_id, carried in rows if carried.size])
        _note_seen(connection, rows, present)
        if prunes:
            oldest = time.strftime("%Y-%m-%d", time.gmtime(now - DAYS_KEPT * 86_400))
            connection.execute(delete(usage).where(usage.c.day < oldest))


def _ids(connection: Connection, keys: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(keys), _MAX_KEYS):
        wanted = clients.c.public_key.in_(keys[start : start + _MAX_KEYS])
        # The lock keeps a client that is removed at the same time until its usage is added, or leaves it out.
        locked = select(clients.c.public_key, clients.c.id).where(wanted).with_for_update(read=True, key_share=True)
        rows = connection.execute(locked.order_by(clients.c.id))
        found |= {str(row.public_key): int(row.id) for row in rows}
    return found


def _insert_usage(database: Database) -> "sqlite.Insert | postgresql.Insert":
    """Both databases have this statement, but SQLAlchemy has it under each one's name."""
    if database.is_sqlite:
        return sqlite.insert(usage)
    from sqlalchemy.dialects import postgresql  # 2 MB, for servers that need it

    return postgresql.insert(usage)


def _add_bytes(database: Database, connection: Connection, day: str, sizes: list[tuple[int, int]]) -> None:
    if not sizes:
        return
    made = _insert_usage(database)
    added = made.on_conflict_do_update(
        index_elements=[usage.c.client_id, usage.c.day], set_={"bytes": usage.c.bytes + made.excluded.bytes}
    )
    # In one order everywhere, so that two servers that write at the same time wait for each other instead of for ever.
    connection.execute(added, [{"client_id": i, "day": day, "bytes": size} for i, size in sorted(sizes)])


def _note_seen(connection: Connection, rows: list[tuple[int, Traffic]], now: int) -> None:
    if not rows:
        return
    seen = (
        update(clients)
        .where(clients.c.id == bindparam("row"))
        .values(seen_at=bindparam("at"), online_until=bindparam("until"))
    )
    times = [
        {"row": row_id, "at": now, "until": now + ONLINE_TIME if carried.is_online else 0}
        for row_id, carried in sorted(rows, key=lambda item: item[0])
    ]
    connection.execute(seen, times)
