"""The arrows between the three components, and the trap that PySocks sets (see pyproject.toml)."""

import ast
from pathlib import Path

import pytest
import socks

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "app/tandem": {"tandem", "tandem_transport", "tandem_socks"},
    "socks/tandem_socks": {"tandem_socks"},
    "transport/tandem_transport": {"tandem_transport"},
}
OURS = {"tandem", "tandem_transport", "tandem_socks"}
MODULES = [(package, path) for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(("package", "path"), MODULES, ids=lambda value: str(value).rpartition("/")[2])
def test_imports_follow_the_arrows(package: str, path: Path) -> None:
    assert imported_packages(path) & OURS <= MAY_IMPORT[package]


def test_the_core_does_no_io() -> None:
    for path in (ROOT / "transport/tandem_transport").glob("*.py"):
        assert not imported_packages(path) & {"asyncio", "socket", "time", "random", "secrets", "os"}, path


def test_socks_is_pysocks() -> None:
    assert hasattr(socks, "socksocket")
    for root in ("app", "socks", "transport"):
        assert not (ROOT / root / "__init__.py").exists()
