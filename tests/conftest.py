"""Which tests `make test` leaves to `make test-long`: see the markers in pyproject.toml."""

from pathlib import Path

import pytest

_SYSTEM = Path(__file__).parent / "system"


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes `long` every case of a `sampled` test but its first, and what starts processes and is no `smoke` test."""
    seen: set[str] = set()
    for item in items:
        is_left_out = _SYSTEM in item.path.parents and item.get_closest_marker("smoke") is None
        if item.get_closest_marker("sampled") is not None:
            test = item.nodeid.partition("[")[0]
            is_left_out |= test in seen
            seen.add(test)
        if is_left_out:
            item.add_marker(pytest.mark.long)
