"""Registries for tests, in SQLite and in a PostgreSQL of our own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import postgres
from tandem.registry.registry import Registry


@pytest.fixture(autouse=True)
def no_file_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration file that a test reads must not be that of the next one."""
    monkeypatch.setattr("tandem.config.config._file_in_use", None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    if postgres.missing():
        pytest.skip(postgres.missing())
    with postgres.running_cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgres"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty registry."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    running: postgres.Cluster = request.getfixturevalue("cluster")
    return running.make_database()


@pytest.fixture
def open_registry(url: str) -> Iterator[Callable[[], Registry]]:
    """Opens the same registry each time, as another process would."""
    opened: list[Registry] = []

    def again() -> Registry:
        opened.append(Registry(url))
        return opened[-1]

    yield again
    for registry in opened:
        registry.close()


@pytest.fixture
def registry(open_registry: Callable[[], Registry]) -> Registry:
    return open_registry()
