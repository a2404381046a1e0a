"""Puts the documents together for the site: those of docs/, and those at the top of the repository.

On the site README is the first page. A link such as ../ARCHITECTURE.md is one to that page there, and one to a file
that is no document leads to the repository. A link to a file that does not exist is an error.

python deploy/site/stage.py DIRECTORY
"""

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

TOP = {"README.md": "index.md"} | {
    name: name for name in ("ARCHITECTURE.md", "PROTOCOL.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
"""The documents at the top, and what they are called on the site."""

_LINK = re.compile(r"(\]\(|<img src=\")([^)\"\s#:]+)(?=[)\"#])")


def stage(directory: Path) -> None:
    """Writes all documents into a new directory. Raises FileNotFoundError for a link that leads nowhere."""
    shutil.rmtree(directory, ignore_errors=True)
    sources = {DOCS / path.relative_to(DOCS): path.relative_to(DOCS) for path in DOCS.rglob("*") if path.is_file()}
    sources |= {ROOT / name: Path(page) for name, page in TOP.items()}
    for source, page in sources.items():
        made = directory / page
        made.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            made.write_text(_with_links(source.read_text(), source, sources))
        else:
            shutil.copyfile(source, made)


def _with_links(text: str, source: Path, sources: dict[Path, Path]) -> str:
    def led(match: re.Match[str]) -> str:
        target = (source.parent / match[2]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{source.relative_to(ROOT)}: there is no {match[2]}")
        if target not in sources:
            return f"{match[1]}{_repository()}/blob/main/{target.relative_to(ROOT)}"
        place = os.path.relpath(sources[target], sources[source].parent)
        return f"{match[1]}{place}"

    return _LINK.sub(led, text)


def _repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["urls"]["Source"])


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
