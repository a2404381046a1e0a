"""The rooms of the house: what stands where, and which room may use which. ARCHITECTURE.md draws the same.

`python tests/support/rooms.py` writes the tables there anew.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "ARCHITECTURE.md"


@dataclass(frozen=True)
class Package:
    """An import package, and its rooms from the ground up."""

    root: str
    rooms: dict[str, set[str]]
    """The other rooms that each may import; every room may import the ground."""
    ground: set[str]
    """Modules that stand outside all rooms, which import none of them."""
    other_packages: set[str]

    @property
    def name(self) -> str:
        return Path(self.root).name


TRANSPORT = Package(
    root="transport/tandem_transport",
    ground={"bounded_table", "errors", "events", "parameters", "text"},
    rooms={
        "wire": set(),
        "crypto": {"wire"},
        "recovery": {"wire"},
        "congestion": {"recovery"},
        "streams": {"recovery", "wire"},
        "path": {"congestion", "crypto", "recovery", "wire"},
        "sending": {"path", "streams", "recovery", "crypto", "wire"},
        "session": {"sending", "path", "streams", "congestion", "recovery", "crypto", "wire"},
        "endpoint": {"session", "path", "streams", "crypto", "wire"},
        "driver": {"endpoint", "session", "path", "wire"},
    },
    other_packages=set(),
)
SOCKS = Package(
    root="socks/tandem_socks",
    ground={"errors", "far_side", "request"},
    rooms={"dialects": set(), "tcp": set(), "frontend": {"dialects", "tcp"}},
    other_packages=set(),
)
BASICS = {"base", "exchange", "config", "process", "admin"}
APP = Package(
    root="app/tandem",
    ground={"__main__"},
    rooms={
        "base": set(),
        "impair": set(),
        "exchange": {"base"},
        "process": {"base"},
        "web": {"base"},
        "config": {"base"},
        "registry": {"base", "config"},
        "admin": {"base", "config", "exchange", "process", "web"},
        "dialing": {"base", "exchange"},
        "ports": {"base"},
        "routing": {"base", "config", "exchange", "dialing"},
        "transparent": {"base", "config", "ports"},
        "client": BASICS | {"impair", "dialing", "ports", "routing", "transparent"},
        "server": BASICS | {"registry", "dialing", "ports"},
        "workers": BASICS | {"registry", "server"},
        "console": {"base", "admin"},
        "doctor": {"base", "config", "exchange", "admin", "client"},
        "lan": {"base"},
        "demo": BASICS | {"registry", "impair", "client", "server", "web"},
        "cli": BASICS | {"registry", "routing", "lan", "client", "server", "workers", "console", "doctor", "demo"},
    },
    other_packages={"tandem_socks", "tandem_transport"},
)
PACKAGES = [TRANSPORT, SOCKS, APP]
OURS = {package.name for package in PACKAGES}


def table(package: Package) -> str:
    """Markdown: each room, what its `__init__` says of it, what it uses, and its files."""
    lines = ["| room | what lives there | uses | files |", "| --- | --- | --- | --- |"]
    lines.append(f"| ground | {_sentence(package, '')} | | {_code(package.ground)} |")
    for room, uses in package.rooms.items():
        files = {path.stem for path in (ROOT / package.root / room).glob("*.py") if path.stem != "__init__"}
        lines.append(f"| `{room}/` | {_sentence(package, room)} | {_code(uses, package)} | {_code(files)} |")
    return "\n".join(lines) + "\n"


def drawn(page: str) -> str:
    """The text of a page with all tables as they should be."""
    for package in PACKAGES:
        begin, end = f"<!-- rooms of {package.name} -->\n", "<!-- end -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text = f"{begin}{table(package)}{end}"
        page = re.sub(pattern, lambda _, text=text: text, page, count=1, flags=re.DOTALL)  # type: ignore[misc]
    return page


def _sentence(package: Package, room: str) -> str:
    if not room:
        return "Modules that every room may use, and that use no room; at the command, its entry point."
    text = ast.get_docstring(ast.parse((ROOT / package.root / room / "__init__.py").read_text())) or ""
    return " ".join(text.split())


def _code(names: set[str], package: Package | None = None) -> str:
    order = sorted(names) if package is None else [room for room in package.rooms if room in names]
    return ", ".join(f"`{name}`" for name in order)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
