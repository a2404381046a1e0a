"""The registry in its databases: the same answers from SQLite and PostgreSQL, and no fault that lets anybody in."""

import multiprocessing
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, update

import postgres
from rights import is_root
from tandem.base.errors import TandemError, UsageError
from tandem.registry import registry as registry_module
from tandem.registry import schema
from tandem.registry.quota import Quota
from tandem.registry.registration import Terms
from tandem.registry.registry import Registry
from tandem.registry.schema import about, changes
from tandem.registry.source import Traffic

NOBODY = frozenset[bytes]()


def key(number: int) -> bytes:
    return bytes([number]) * 32


def test_clients_are_registered_replaced_and_removed(registry: Registry) -> None:
    registry.add("laptop", key(1))
    found = registry.find(key(1))
    assert found is not None
    assert (found.name, found.terms, found.used, found.seen_at) == ("laptop", Terms(), 0, None)
    assert found == registry.get("laptop")
    with pytest.raises(UsageError, match="registered already"):
        registry.add("laptop", key(2))
    registry.set_terms("laptop", Terms(rate=5))
    registry.add("laptop", key(2), replace=True)
    assert registry.find(key(1)) is None
    assert registry.get("laptop").terms == Terms(rate=5), "another key, the same terms"
    registry.add("phone", key(3))
    assert [item.name for item in registry.all()] == registry.names() == ["laptop", "phone"]
    assert registry.names("ph") == ["phone"]
    assert registry.count() == 2
    registry.remove("laptop")
    assert registry.find(key(2)) is None
    asking: list[Callable[[str], object]] = [registry.remove, registry.get, registry.kick]
    asking.append(lambda name: registry.set_terms(name, Terms()))
    for refused in asking:
        with pytest.raises(UsageError, match="no client 'laptop' in") as caught:
            refused("laptop")
        assert caught.value.hint == "registered: phone"


@pytest.mark.parametrize("name", ["", "../x", "a b", "ü", "x" * 65, ".hidden", "a'; drop table clients; --"])
def test_bad_client_names(name: str, registry: Registry) -> None:
    with pytest.raises(UsageError):
        registry.add(name, key(1))
    assert registry.count() == 0


def test_terms_are_kept_whole(registry: Registry, open_registry: Callable[[], Registry]) -> None:
    registry.add("laptop", key(1))
    terms = Terms(Quota(1 << 50, "month", 28), 1 << 40, True, 1 << 40, 77, "it's “mine”; --")
    registry.set_terms("laptop", terms)
    assert open_registry().get("laptop").terms == terms
    registry.set_terms("laptop", Terms(Quota(5, "day")))
    assert registry.get("laptop").terms == Terms(Quota(5, "day"))


def test_a_registry_that_is_followed_tells_each_change_once(
    registry: Registry, open_registry: Callable[[], Registry]
) -> None:
    other = open_registry()
    revision = registry.changes_since(None).revision

    def told() -> tuple[frozenset[bytes], frozenset[bytes]]:
        nonlocal revision
        found = registry.changes_since(revision)
        assert found.is_complete
        assert not found.problem
        revision = found.revision
        return found.changed, found.kicked

    assert told() == (NOBODY, NOBODY)
    other.add("laptop", key(1))
    other.add("phone", key(2))
    assert told() == (frozenset({key(1), key(2)}), NOBODY)
    assert told() == (NOBODY, NOBODY)
    other.set_terms("laptop", Terms(rate=1))
    assert told() == (frozenset({key(1)}), NOBODY)
    other.kick("phone")
    assert told() == (NOBODY, frozenset({key(2)}))
    other.add("laptop", key(3), replace=True)
    assert told() == (frozenset({key(1), key(3)}), NOBODY)
    other.remove("laptop")
    assert told() == (frozenset({key(3)}), NOBODY)
    assert told() == (NOBODY, NOBODY)


def test_who_was_away_for_longer_than_changes_are_kept_is_told_to_ask_for_all(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("laptop", key(1))
    revision = registry.changes_since(None).revision
    monkeypatch.setattr(registry_module, "CHANGES_KEPT", -1)  # each change is forgotten with the next
    registry.remove("laptop")
    monkeypatch.undo()
    registry.add("phone", key(2))
    found = registry.changes_since(revision)
    assert not found.is_complete
    assert found.revision == revision + 2


def test_usage_is_added_up_by_day_and_counts_for_the_present_period(
    registry: Registry, open_registry: Callable[[], Registry]
) -> None:
    other = open_registry()
    for number, terms in enumerate([Terms(Quota(100, "day")), Terms(Quota(100, "month")), Terms()]):
        registry.add(f"c{number}", key(number))
        registry.set_terms(f"c{number}", terms)
    traffic = {key(number): Traffic(10, is_online=True) for number in range(3)}
    for one in (registry, other, registry):
        told = one.account(traffic | {key(9): Traffic(5, is_online=True)})
        assert told.keys() == traffic.keys(), "a stranger's traffic is nobody's"
    assert {item.used for item in registry.all()} == {30}
    assert {item.used for item in told.values() if item is not None} == {30}
    assert all(item.is_online and item.seen_at is not None for item in registry.all())
    registry.account({key(0): Traffic(0, is_online=False)})
    assert [item.is_online for item in registry.all()] == [False, True, True]


@pytest.mark.parametrize(("month_begins", "days_ago", "counts"), [(1, 0, True), (1, 40, False), (28, 70, False)])
def test_what_was_used_before_the_present_period_does_not_count(
    month_begins: int, days_ago: int, counts: bool, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("laptop", key(1))
    registry.set_terms("laptop", Terms(Quota(100, "month", month_begins)))
    then = time.time() - days_ago * 86_400
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: then)
        registry.account({key(1): Traffic(10, is_online=False)})
    assert registry.get("laptop").used == (10 if counts else 0)


def test_the_database_and_the_program_agree_on_when_a_period_has_begun(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On days of two years, for some first days: usage of the first day counts, that of the day before does not."""
    for begins in (1, 2, 15, 28):
        name, quota = f"m{begins}", Quota(1, "month", begins)
        registry.add(name, key(begins))
        registry.set_terms(name, Terms(quota))
    start = int(time.time()) // 86_400 * 86_400
    for days in range(0, 730, 17):
        now = start + days * 86_400 + 3600
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with registry._database.write() as connection:  # pyright: ignore[reportPrivateUsage]
            connection.execute(delete(schema.usage))
            for row in connection.execute(schema.clients.select()).all():
                begun = Quota(1, "month", int(row.month_begins)).begun_on(now)
                before = time.strftime("%Y-%m-%d", time.gmtime(_at(begun) - 43_200))
                rows = [{"client_id": row.id, "day": day, "bytes": size} for day, size in ((begun, 7), (before, 1000))]
                connection.execute(schema.usage.insert(), rows)
        assert {item.used for item in registry.all()} == {7}


def _at(day: str) -> float:
    import calendar

    return calendar.timegm(time.strptime(day, "%Y-%m-%d"))


def test_a_registry_of_a_newer_version_is_left_alone(registry: Registry, open_registry: Callable[[], Registry]) -> None:
    registry.add("laptop", key(1))
    with registry._database.write() as connection:  # pyright: ignore[reportPrivateUsage]
        connection.execute(update(about).where(about.c.key == "version").values(value=str(schema.VERSION + 1)))
    with pytest.raises(TandemError, match=f"has version {schema.VERSION + 1}; this Tandem knows") as caught:
        open_registry()
    assert "update Tandem" in caught.value.hint


def _add_many(url: str, start: int) -> None:
    registry = Registry(url)
    for number in range(start, start + 10):
        registry.add(f"c{number}", key(number))
    registry.close()


def test_processes_that_open_and_change_it_at_once_lose_nothing_and_leave_no_gap(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_many, args=(url, 10 * n), daemon=True) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    registry = Registry(url)
    assert registry.count() == 30
    with registry._database.read() as connection:  # pyright: ignore[reportPrivateUsage]
        revisions = list(connection.execute(changes.select().order_by(changes.c.revision)).scalars())
    assert revisions == list(range(1, 31))
    registry.close()


# --- SQLite: its file ---


def test_a_file_that_nobody_writes_need_not_be_read_and_one_that_somebody_writes_must(tmp_path: Path) -> None:
    registry, other = sqlite_registry(tmp_path), sqlite_registry(tmp_path)
    assert not registry.is_quiet(), "nothing is known of it yet"
    revision = registry.changes_since(None).revision
    changing: list[Callable[[], object]] = [
        lambda: other.add("laptop", key(1)),
        lambda: other.set_terms("laptop", Terms(rate=5)),
        lambda: other.kick("laptop"),
        lambda: registry.remove("laptop"),
    ]
    for change in changing:
        revision = registry.changes_since(revision).revision
        assert not registry.is_quiet(), "another change may come within the same tick of the clock"
        for path in tmp_path.glob("registry.db*"):
            os.utime(path, ns=(0, time.time_ns() - 10**9))
        revision = registry.changes_since(revision).revision
        assert registry.is_quiet()
        change()
        assert not registry.is_quiet()
    (tmp_path / "registry.db").rename(tmp_path / "away")
    assert not registry.is_quiet()
    registry.close()
    other.close()


def sqlite_registry(directory: Path) -> Registry:
    return Registry(f"sqlite:///{directory / 'registry.db'}")


def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    registry = sqlite_registry(tmp_path / "new" / "state")
    registry.add("laptop", key(1))
    for path in (tmp_path / "new" / "state").iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    registry.close()


@pytest.mark.parametrize("content", [b"not a database at all, but a text\n" * 40, b"SQLite format 3\0" + b"x" * 4000])
def test_a_damaged_file_is_an_error_with_its_place_and_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(content)
    with pytest.raises(TandemError, match=r"registry .*registry\.db: ") as caught:
        sqlite_registry(tmp_path)
    assert "backup" in caught.value.hint
    assert path.read_bytes() == content


def test_a_file_that_is_gone_is_an_error_and_is_not_made_anew(tmp_path: Path) -> None:
    registry = sqlite_registry(tmp_path)
    registry.add("laptop", key(1))
    revision = registry.changes_since(None).revision
    away = tmp_path / "away"
    away.mkdir()
    for path in tmp_path.glob("registry.db*"):
        path.rename(away / path.name)
    for _ in range(3):
        with pytest.raises(TandemError, match="it is gone"):
            registry.changes_since(revision)
    assert not (tmp_path / "registry.db").exists()
    for path in away.iterdir():
        path.rename(tmp_path / path.name)
    assert registry.changes_since(revision).problem == ""
    assert registry.find(key(1)) is not None
    registry.close()


def test_another_or_an_older_registry_in_its_place_removes_nobody_and_is_told(tmp_path: Path) -> None:
    registry = sqlite_registry(tmp_path)
    registry.add("laptop", key(1))
    revision = registry.changes_since(None).revision
    other = sqlite_registry(tmp_path / "other")
    for number in range(5):
        other.add(f"x{number}", key(10 + number))
    other.close()
    (tmp_path / "other" / "registry.db").replace(tmp_path / "registry.db")
    found = registry.changes_since(revision)
    assert found.changed == NOBODY
    assert "has taken its place" in found.problem
    assert registry.find(key(10)) is not None, "who is new there may come"
    registry.close()


def test_a_full_disk_changes_nothing_and_is_said(tmp_path: Path) -> None:
    registry = sqlite_registry(tmp_path)
    registry.add("laptop", key(1))
    with registry._database.write() as connection:  # pyright: ignore[reportPrivateUsage]
        connection.exec_driver_sql(
            f"pragma max_page_count = {connection.exec_driver_sql('pragma page_count').scalar()}"
        )
        with pytest.raises(TandemError, match="disk is full") as caught:
            _fill(registry, connection.exec_driver_sql)
    assert "free some space" in caught.value.hint
    assert registry.names() == ["laptop"]
    registry.close()


def _fill(registry: Registry, execute: Callable[[str], object]) -> None:
    with registry._database._errors():  # pyright: ignore[reportPrivateUsage]
        for number in range(5000):
            execute(f"insert into about values ('fill{number}', '{'x' * 200}')")


def test_a_database_that_another_program_locks_is_an_error_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tandem.registry import database

    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    registry = sqlite_registry(tmp_path)
    registry.add("laptop", key(1))
    with sqlite3.connect(tmp_path / "registry.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        with pytest.raises(TandemError, match="locked"):
            registry.add("phone", key(2))
        with pytest.raises(TandemError, match="laptop IS STILL REGISTERED"):
            registry.remove("laptop")
        assert registry.find(key(1)) is not None
        other.execute("rollback")
    registry.add("phone", key(2))
    registry.close()
    other.close()


@pytest.mark.skipif(not is_root(), reason="only root writes for others")
def test_a_link_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "registry.db").symlink_to(tmp_path / "precious")
    with pytest.raises(TandemError, match="it is a link"):
        sqlite_registry(tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"


# --- the address ---


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql://u@h/n?password=geheim",
        "registry.db",
        "mysql://u:geheim@h/d",
        "sqlite://",
        "postgresql",
        "://geheim",
        "oracle://geheim",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Registry(url)
    assert "geheim" not in str(caught.value)
    assert "accepted" in caught.value.hint


def test_an_error_of_postgresql_does_not_tell_the_password() -> None:
    with pytest.raises(TandemError) as caught:
        Registry("postgresql://tandem:geheim@127.0.0.1:1/registry")
    assert "geheim" not in f"{caught.value} {caught.value.hint}"
    assert "is the database running" in caught.value.hint


@pytest.mark.xdist_group("postgres")
def test_postgresql_that_goes_away_and_comes_back_is_followed_again(cluster: postgres.Cluster) -> None:
    registry = Registry(cluster.make_database())
    registry.add("laptop", key(1))
    revision = registry.changes_since(None).revision
    registry.changes_since(revision)
    cluster.stop("immediate")
    for ask in (lambda: registry.changes_since(revision), lambda: registry.find(key(1)), registry.count):
        with pytest.raises(TandemError):
            ask()
    cluster.start()
    registry.add("phone", key(2))
    assert registry.changes_since(revision).changed == {key(2)}
    registry.close()


@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "UTF8"])
def test_a_postgresql_of_any_encoding_keeps_texts_as_they_are(encoding: str, cluster: postgres.Cluster) -> None:
    registry = Registry(cluster.make_database(encoding))
    registry.add("laptop", key(1))
    registry.set_terms("laptop", Terms(note="für Zoë"))
    found = registry.find(key(1))
    assert found is not None
    assert (found.name, found.terms.note) == ("laptop", "für Zoë")
    registry.close()
