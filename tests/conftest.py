"""Which tests `make test` leaves to `make test-long`: see the markers in pyproject.toml."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes every case of a `sampled` test but its first one a `long` one."""
    seen: set[str] = set()
    for item in items:
        if item.get_closest_marker("sampled") is None:
            continue
        test = item.nodeid.partition("[")[0]
        if test in seen:
            item.add_marker(pytest.mark.long)
        seen.add(test)
