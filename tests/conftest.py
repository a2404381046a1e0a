"""Which tests `make test` leaves to `make test-long` (see the markers in pyproject.toml), and a supervisor for all."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SYSTEM = Path(__file__).parent / "system"


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes `long` every case of a `sampled` test but its first, and what starts processes and is no `smoke` test.

    Tests that start processes stay in one worker of pytest-xdist, one after the other.
    """
    seen: set[str] = set()
    for item in items:
        is_left_out = _SYSTEM in item.path.parents and item.get_closest_marker("smoke") is None
        if item.get_closest_marker("sampled") is not None:
            test = item.nodeid.partition("[")[0]
            is_left_out |= test in seen
            seen.add(test)
        if is_left_out:
            item.add_marker(pytest.mark.long)
        if _SYSTEM in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("processes"))
    # The group of one worker begins first: it waits more than it computes.
    items.sort(key=lambda item: _SYSTEM not in item.path.parents)


@pytest.fixture
def notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where a supervisor such as systemd is told of a service (NOTIFY_SOCKET)."""
    if sys.platform == "win32":
        pytest.skip("it has no Unix sockets for datagrams")
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield sock
