"""The documents as a site: each link leads somewhere, each page is found, and what is generated is up to date."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def tool(path: str) -> ModuleType:
    """A script of deploy/ as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def test_every_link_of_the_documents_leads_somewhere(tmp_path: Path) -> None:
    stage = tool("deploy/site/stage.py")
    stage.stage(tmp_path / "docs")
    assert (tmp_path / "docs" / "index.md").exists()
    text = (tmp_path / "docs" / "index.md").read_text()
    assert "](docs/" not in text
    assert "](tutorial.md)" in text


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = tool("deploy/site/stage.py")
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in stage.TOP:
        (tmp_path / name).write_text("[here](docs/a.md) [there](https://example.org/x) [code](pyproject.toml)")
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nSource = "https://example.org/repo"\n')
    (docs / "a.md").write_text("[up](../README.md#top)")
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    monkeypatch.setattr(stage, "DOCS", docs)
    stage.stage(tmp_path / "made")
    index = "[here](a.md) [there](https://example.org/x) [code](https://example.org/repo/blob/main/pyproject.toml)"
    assert (tmp_path / "made" / "index.md").read_text() == index
    assert (tmp_path / "made" / "a.md").read_text() == "[up](index.md#top)"
    (docs / "a.md").write_text("[gone](b.md)")
    with pytest.raises(FileNotFoundError, match=r"docs/a.md: there is no b.md"):
        stage.stage(tmp_path / "made")


def test_every_document_is_in_the_menu() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = set(_pages(menu))
    documents = {path.name for path in (ROOT / "docs").glob("*.md")} | set(tool("deploy/site/stage.py").TOP.values())
    assert listed == documents


def _pages(menu: Any) -> list[str]:
    if isinstance(menu, str):
        return [menu]
    values = getattr(menu, "values", None)
    return [page for part in (values() if values else menu) for page in _pages(part)]


def test_the_list_of_commands_is_up_to_date() -> None:
    pages = tool("deploy/manual/pages.py")
    assert (ROOT / "docs" / "commands.md").read_text() == pages.markdown(), "make commands"


def test_each_command_has_a_page_of_the_manual() -> None:
    pages = tool("deploy/manual/pages.py").man_pages()
    assert {"tandem.1", "tandem-client.1", "tandem-clients-set.1", "tandem-open.1"} <= set(pages)
    for name, page in pages.items():
        assert page.startswith('.TH "TANDEM'), name
        assert "\n.SH NAME\ntandem" in page
        assert "..." not in page.split(".SH SYNOPSIS")[0], "the first sentence is whole"
        assert all(not line.startswith("'") for line in page.splitlines())
    drill = pages["tandem-drill.1"]
    assert ".nf\ntandem drill wifi loss=20% delay=80ms" in drill
    assert "\\-\\-admin" in drill
