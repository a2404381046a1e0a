"""The tables of the registry, the same in SQLite and PostgreSQL, and the steps from each version to the next."""

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
    update,
)

from tandem.base.errors import TandemError

metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)
"""Facts about the registry itself: `version` of the tables, `id` and `revision`."""

clients = Table(
    "clients",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("public_key", String(44), nullable=False, unique=True),  # base64
    Column("created", String(20), nullable=False),
    Column("quota_bytes", BigInteger),
    Column("quota_period", String(5), nullable=False, server_default="month"),
    Column("month_begins", String(2), nullable=False, server_default="01"),  # two digits, so that a date ends with it
    Column("expires_at", BigInteger),
    Column("is_disabled", Boolean, nullable=False),
    Column("rate", BigInteger),
    Column("max_streams", Integer),
    Column("note", String(200), nullable=False, server_default=""),
    Column("seen_at", BigInteger),
    Column("online_until", BigInteger),
)

usage = Table(
    "usage",
    metadata,
    Column("client_id", BigInteger, ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
    Column("day", String(10), primary_key=True),  # 2026-11-15
    Column("bytes", BigInteger, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("public_key", String(44), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""What has changed lately, for servers that remember clients: a row for each change, in order."""


servers = Table(
    "servers",
    metadata,
    Column("public_key", String(44), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("endpoints", Text, nullable=False),  # a list in JSON
    Column("sessions", Integer, nullable=False),
    Column("max_sessions", Integer, nullable=False),
    Column("is_draining", Boolean, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)
"""The servers that use the registry. Since version 2."""


def _create(connection: Connection) -> None:
    metadata.create_all(connection, tables=[about, clients, usage, changes])


def _add_servers(connection: Connection) -> None:
    servers.create(connection)


STEPS: tuple[Callable[[Connection], None], ...] = (_create, _add_servers)
"""Step number n makes tables of version n + 1 of those of version n."""

VERSION = len(STEPS)


def migrate(connection: Connection, new_id: str) -> None:
    """Brings the tables to this version, in the present transaction. Raises TandemError where they are newer.

    `new_id`: the id of the registry, where it has none yet.
    """
    version = version_of(connection)
    if version > VERSION:
        raise TandemError(
            f"the registry has version {version}; this Tandem knows versions up to {VERSION}",
            "update Tandem here, or restore the registry from before the update",
        )
    for step in STEPS[version:]:
        step(connection)
    if version == 0:
        facts = {"version": VERSION, "id": new_id, "revision": 0}
        connection.execute(about.insert(), [{"key": key, "value": str(value)} for key, value in facts.items()])
    elif version < VERSION:
        connection.execute(update(about).where(about.c.key == "version").values(value=str(VERSION)))


def version_of(connection: Connection) -> int:
    """The version of the tables; 0 where there are none."""
    if not inspect(connection).has_table("about"):
        return 0
    return int(fact(connection, "version") or 0)


def fact(connection: Connection, key: str) -> str | None:
    """A fact about the registry, None where it is not known."""
    return connection.execute(select(about.c.value).where(about.c.key == key)).scalar()
