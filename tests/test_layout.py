"""The house: which room may use which, what stands outside all rooms, and the trap that PySocks sets."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import socks

from rooms import OURS, PACKAGES, PAGE, ROOT, TRANSPORT, Package, drawn
from simnet import Victim
from tandem_transport import Connection

MAX_LINES = 450
MAX_METHODS = 25
MAX_CONSTRUCTOR_LINES = 25
"""Docstrings do not count."""

FACADE = "Connection"
"""The class that has a method for everything that can be done with a session."""


def modules(package: Package) -> Iterator[Path]:
    """Every file of a package but its own `__init__`, which says what it offers to others."""
    root = ROOT / package.root
    return (path for path in sorted(root.rglob("*.py")) if path != root / "__init__.py")


def imported_modules(source: str) -> set[str]:
    """Dotted names, also of what is imported within functions or for types only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def wrong_imports(package: Package, place: Path, source: str) -> list[str]:
    """What a file at `place` (relative to its package) must not import, and what is wrong with the place itself."""
    room = place.parts[0].removesuffix(".py")
    if len(place.parts) == 1 and room not in package.ground:
        return [f"{place} stands in no room: see tests/support/rooms.py"]
    if len(place.parts) > 1 and room not in package.rooms:
        return [f"{place} stands in a room that no table names"]
    may = package.ground | {room} | package.rooms.get(room, set())
    wrong: list[str] = []
    for name in sorted(imported_modules(source)):
        owner, _, rest = name.partition(".")
        used = rest.partition(".")[0]
        if owner == package.name:
            is_allowed = used in may or used == "__version__" or place == Path("__main__.py")
        else:
            is_allowed = owner not in OURS or owner in package.other_packages
        if not is_allowed:
            wrong.append(f"{place} imports {name}")
    return wrong


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_rooms_import_only_what_stands_below_them(package: Package) -> None:
    root = ROOT / package.root
    wrong = [
        text for path in modules(package) for text in wrong_imports(package, path.relative_to(root), path.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_arrows_point_one_way(package: Package) -> None:
    above: set[str] = set(package.rooms)
    for room, uses in package.rooms.items():
        above.discard(room)
        assert not uses & above, f"{room} uses rooms that stand above it"


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("wire/varint.py", "from tandem_transport.session.connection import Connection"),
        ("wire/varint.py", "def lazy() -> None:\n    from tandem_transport.path import mtu"),
        ("path/mtu.py", "if TYPE_CHECKING:\n    from tandem_transport.sending.sender import Sender"),
        ("errors.py", "import tandem_transport.wire.frames"),
        ("streams/send.py", "from tandem.base import units"),
        ("streams/send.py", "from tandem_transport import Connection"),
        ("helpers.py", ""),
        ("utils/helpers.py", ""),
    ],
)
def test_a_file_in_the_wrong_place_is_found(place: str, source: str) -> None:
    assert len(wrong_imports(TRANSPORT, Path(place), source)) == 1


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_room_says_what_lives_there(package: Package) -> None:
    for room in package.rooms:
        tree = ast.parse((ROOT / package.root / room / "__init__.py").read_text())
        assert len(ast.get_docstring(tree) or "") > 40, room


def test_no_file_is_longer_than_a_reader_likes() -> None:
    places = [ROOT / name for name in ("app", "socks", "transport", "tests")]
    long = {str(path.relative_to(ROOT)) for place in places for path in place.rglob("*.py") if _lines(path) > MAX_LINES}
    assert long == set(), f"one noun, one file, {MAX_LINES} lines at most"


def classes() -> Iterator[ast.ClassDef]:
    """Every class of the three packages."""
    for package in PACKAGES:
        for path in modules(package):
            yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without docstrings of the function and of its attributes."""
    said = [node for node in function.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return _span(function) - sum(map(_span, said))


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_class_has_more_methods_than_a_reader_keeps_in_mind() -> None:
    large = {node.name: len(methods(node)) for node in classes() if len(methods(node)) > MAX_METHODS}
    assert set(large) == {FACADE}, large


def test_no_constructor_is_longer_than_a_glance() -> None:
    long = {
        node.name: code_lines(method)
        for node in classes()
        for method in methods(node)
        if method.name == "__init__" and code_lines(method) >= MAX_CONSTRUCTOR_LINES
    }
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def is_known_to_a_compiler(value: ast.expr) -> bool:
    """Numbers, text, bytes, names of other constants, and what is computed of these."""
    parts = [part for part in ast.walk(value) if not isinstance(part, ast.operator | ast.unaryop | ast.expr_context)]
    return all(isinstance(part, ast.Constant | ast.Name | ast.BinOp | ast.UnaryOp) for part in parts)


def test_constants_of_other_files_that_are_final_are_known_to_a_compiler() -> None:
    """The compiled core finds no tuple that is final in another file: "value for final name was not set"."""
    wrong = {
        f"{path.name}: {node.target.id}"
        for path in (ROOT / TRANSPORT.root).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "Final"
        if isinstance(node.target, ast.Name) and not node.target.id.startswith("_")
        if node.value is None or not is_known_to_a_compiler(node.value)
    }
    assert wrong == set()


def test_architecture_draws_these_rooms() -> None:
    page = PAGE.read_text()
    assert all(f"<!-- rooms of {package.name} -->" in page for package in PACKAGES)
    assert drawn(page) == page, "python tests/support/rooms.py writes the tables anew"


def test_the_contract_of_a_session_names_all_that_is_public() -> None:
    contract = inspect.getdoc(Connection) or ""
    public = {name for name in dir(Victim(is_client=True).connection) if not name.startswith("_")}
    named = set(re.findall(r"`([a-z_]+)`", contract)) - {"now"}
    assert named == public


def test_the_core_does_no_io() -> None:
    for path in modules(TRANSPORT):
        if "driver" not in path.parts:
            imported = {name.partition(".")[0] for name in imported_modules(path.read_text())}
            assert not imported & {"asyncio", "socket", "time", "random", "secrets", "os"}, path


def test_socks_is_pysocks() -> None:
    assert hasattr(socks, "socksocket")
    for root in ("app", "socks", "transport"):
        assert not (ROOT / root / "__init__.py").exists()
