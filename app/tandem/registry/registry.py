"""The registered clients in a database: added, changed, removed, found, listed."""

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, case, delete, func, insert, literal, select, update
from sqlalchemy.sql.elements import ColumnElement

from tandem.base.errors import TandemError, UsageError
from tandem.registry.database import Database
from tandem.registry.feed import Feed
from tandem.registry.fleet import Fleet
from tandem.registry.ledger import add_usage
from tandem.registry.quota import Period, Quota
from tandem.registry.registration import Registration, Terms, check_name
from tandem.registry.schema import about, changes, clients, usage
from tandem.registry.source import Changes, Traffic

CHANGES_KEPT = 86_400
"""Seconds for which the table of changes tells of a change; a server looks many times in that time."""

_MAX_KEYS = 500
"""Keys in one statement: databases have a limit."""


class Registry:
    """The clients in a database. A `ClientSource`; all methods block and raise TandemError, in any thread."""

    def __init__(self, url: str, *, creates: bool = True) -> None:
        """`url`: of SQLite or PostgreSQL, as SQLAlchemy knows it. Raises TandemError where it cannot be opened.

        `creates`: a file of SQLite is created where there is none.
        """
        self._database = Database(url, creates=creates)
        self._feed = Feed(self._database)
        self.fleet = Fleet(self._database)
        """The servers that use this registry."""
        self._pruned_on = ""
        """The day on which usage of long ago was last removed."""

    @property
    def place(self) -> str:
        """Where the registry is, without secrets."""
        return self._database.place

    @property
    def memory(self) -> float:
        """Infinite: a server learns of each change."""
        return float("inf")

    @property
    def file(self) -> Path | None:
        """The file of SQLite, None for PostgreSQL."""
        return self._database.file

    def close(self) -> None:
        """Closes all connections."""
        self._database.close()

    # --- changing ---

    def add(self, name: str, public: bytes, *, replace: bool = False) -> None:
        """Registers a client; with `replace` a registered one gets another key and keeps its terms.

        Raises UsageError for a bad or taken name, TandemError where it cannot be written.
        """
        check_name(name)
        with self._database.write() as connection:
            row = connection.execute(select(clients.c.public_key).where(clients.c.name == name)).scalar()
            values = {"public_key": _text(public), "created": _now_text()}
            if row is None:
                connection.execute(insert(clients).values(name=name, is_disabled=False, **values))
            elif not replace:
                raise UsageError(f"client {name!r} is registered already", "--replace gives it a new key")
            else:
                anew = {**values, "seen_at": None, "online_until": None}
                connection.execute(update(clients).where(clients.c.name == name).values(anew))
                self._note_change(connection, row)
            self._note_change(connection, _text(public))

    def remove(self, name: str) -> None:
        """Removes a client. Raises UsageError for an unknown one, TandemError where it is still registered."""
        try:
            with self._database.write() as connection:
                key = self._key_of(connection, name)
                connection.execute(delete(usage).where(usage.c.client_id.in_(_id_of(name))))
                connection.execute(delete(clients).where(clients.c.name == name))
                self._note_change(connection, key)
        except UsageError:
            raise
        except TandemError as error:
            raise TandemError(f"{name} IS STILL REGISTERED, and may come in: {error}", error.hint) from error

    def set_terms(self, name: str, terms: Terms) -> None:
        """Sets the terms of a client. Raises UsageError for an unknown one."""
        self.change_terms(name, lambda _: terms)

    def change_terms(self, name: str, change: Callable[[Terms], Terms]) -> None:
        """Changes the terms of a client at once. Raises UsageError for an unknown one, and what `change` raises."""
        with self._database.write() as connection:
            connection.execute(select(clients.c.id).where(clients.c.name == name).with_for_update())
            row = connection.execute(_listed().where(clients.c.name == name)).mappings().first()
            key = self._key_of(connection, name)
            assert row is not None
            terms = change(_registration(row, 0).terms)
            connection.execute(update(clients).where(clients.c.name == name).values(_columns(terms)))
            self._note_change(connection, key)

    def kick(self, name: str) -> None:
        """Asks all servers to end the sessions of a client; it may come back. Raises UsageError for an unknown one."""
        with self._database.write() as connection:
            self._note_change(connection, self._key_of(connection, name), kind="kick")

    def _key_of(self, connection: Connection, name: str) -> str:
        key = connection.execute(select(clients.c.public_key).where(clients.c.name == name)).scalar()
        if key is None:
            found = connection.execute(select(clients.c.name).order_by(clients.c.name).limit(20)).scalars().all()
            known = ", ".join(found) + (", ..." if len(found) == 20 else "")
            raise UsageError(f"no client {name!r} in {self.place}", f"registered: {known or 'none'}")
        return str(key)

    def _note_change(self, connection: Connection, key: str, kind: str = "change") -> None:
        """Adds a row for the servers. The lock on the revision keeps the rows in the order of their commits."""
        now = self._database.now(connection)
        is_revision = about.c.key == "revision"
        present = connection.execute(select(about.c.value).where(is_revision).with_for_update()).scalar_one()
        revision = int(present) + 1
        connection.execute(update(about).where(is_revision).values(value=str(revision)))
        connection.execute(insert(changes).values(revision=revision, public_key=key, kind=kind, at=now))
        connection.execute(delete(changes).where(changes.c.at < now - CHANGES_KEPT))

    def take_over(self, found: Iterable[Registration]) -> list[str]:
        """Adds registrations that were kept elsewhere; returns the names that are taken already by other keys."""
        taken: list[str] = []
        with self._database.write() as connection:
            rows = connection.execute(select(clients.c.name, clients.c.public_key))
            known: dict[str, str] = {row.name: row.public_key for row in rows}
            keys = set(known.values())
            for item in found:
                key = _text(item.public_key)
                if item.name in known or key in keys:
                    taken += [item.name] if known.get(item.name) != key else []
                    continue
                known[item.name] = key
                keys.add(key)
                values = {"name": item.name, "public_key": key, "created": item.created, "seen_at": item.seen_at}
                connection.execute(insert(clients).values(is_disabled=False, **values))
                self._note_change(connection, key)
        return taken

    # --- asking ---

    def find(self, public: bytes) -> Registration | None:
        """The registration of a key, None where it has none."""
        with self._database.read() as connection:
            row = connection.execute(_listed().where(clients.c.public_key == _text(public))).mappings().first()
            return None if row is None else _registration(row, self._database.now(connection))

    def get(self, name: str) -> Registration:
        """The registration with this name. Raises UsageError where there is none."""
        with self._database.read() as connection:
            row = connection.execute(_listed().where(clients.c.name == name)).mappings().first()
            if row is None:
                self._key_of(connection, name)
            assert row is not None
            return _registration(row, self._database.now(connection))

    def all(self) -> list[Registration]:
        """All registrations, sorted by name."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            rows = connection.execute(_listed().order_by(clients.c.name)).mappings()
            return [_registration(row, now) for row in rows]

    def names(self, beginning: str = "") -> list[str]:
        """The sorted names of the clients, or of those whose names begin so."""
        begins = clients.c.name.startswith(beginning, autoescape=True)
        with self._database.read() as connection:
            return list(connection.execute(select(clients.c.name).where(begins).order_by(clients.c.name)).scalars())

    def count(self) -> int:
        """The number of registered clients."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(clients)).scalar_one())

    # --- following ---

    def is_quiet(self) -> bool:
        """Whether nothing can have changed since the last question. Never blocks."""
        return self._feed.is_quiet()

    def changes_since(self, revision: int | None) -> Changes:
        """What has changed since a revision; costs next to nothing where nothing has."""
        return self._feed.changes_since(revision)

    def account(self, traffic: Mapping[bytes, Traffic]) -> Mapping[bytes, Registration | None]:
        """Adds what clients have carried, and returns their registrations with what they have used by now."""
        now = time.time()
        today = time.strftime("%Y-%m-%d", time.gmtime(now))
        told = {_text(public): carried for public, carried in traffic.items()}
        add_usage(self._database, told, now=now, prunes=today != self._pruned_on)
        self._pruned_on = today
        found: dict[bytes, Registration | None] = {}
        keys = [_text(public) for public in traffic]
        with self._database.read() as connection:
            now = self._database.now(connection)
            for start in range(0, len(keys), _MAX_KEYS):
                wanted = clients.c.public_key.in_(keys[start : start + _MAX_KEYS])
                rows = connection.execute(_listed().where(wanted)).mappings()
                found |= {item.public_key: item for item in (_registration(row, now) for row in rows)}
        return found


def _id_of(name: str) -> Select[tuple[Any]]:
    return select(clients.c.id).where(clients.c.name == name)


def _listed() -> Select[Any]:
    """All columns of clients, with the bytes that each has used in its present period."""
    used = select(func.coalesce(func.sum(usage.c.bytes), 0)).where(
        usage.c.client_id == clients.c.id, usage.c.day >= _begun_on(time.time())
    )
    return select(clients, used.scalar_subquery().label("used"))


def _begun_on(now: float) -> ColumnElement[str]:
    """The date on which the present period of each client has begun, as `Quota.begun_on`, in the database."""
    today = time.gmtime(now)
    year, month = (today.tm_year, today.tm_mon - 1) if today.tm_mon > 1 else (today.tm_year - 1, 12)
    has_begun = clients.c.month_begins <= f"{today.tm_mday:02}"
    return case(
        (clients.c.quota_period == "day", literal(time.strftime("%Y-%m-%d", today))),
        (has_begun, literal(time.strftime("%Y-%m-", today)) + clients.c.month_begins),
        else_=literal(f"{year:04}-{month:02}-") + clients.c.month_begins,
    )


def _columns(terms: Terms) -> dict[str, object]:
    quota = terms.quota or Quota(0, "month")
    return {
        "quota_bytes": terms.quota.limit if terms.quota else None,
        "quota_period": quota.period,
        "month_begins": f"{quota.month_begins:02}",
        "expires_at": terms.expires_at,
        "is_disabled": terms.is_disabled,
        "rate": terms.rate,
        "max_streams": terms.max_streams,
        "note": terms.note,
    }


def _registration(row: RowMapping, now: int) -> Registration:
    period: Period = "day" if row["quota_period"] == "day" else "month"
    quota = None if row["quota_bytes"] is None else Quota(row["quota_bytes"], period, int(row["month_begins"]))
    terms = Terms(quota, row["expires_at"], row["is_disabled"], row["rate"], row["max_streams"], row["note"])
    return Registration(
        name=row["name"],
        public_key=base64.b64decode(row["public_key"]),
        created=row["created"],
        terms=terms,
        used=int(row["used"]),
        seen_at=row["seen_at"],
        is_online=(row["online_until"] or 0) > now,
    )


def _text(public: bytes) -> str:
    return base64.b64encode(public).decode()


def _now_text() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
