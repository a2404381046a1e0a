"""What MkDocs does besides: the documents at the top of the repository become pages, too, and links to code lead to it.

On the site README is the first page. A link such as ../ARCHITECTURE.md is one to that page there, and one to a file that
is no document leads to the repository.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "index.md",
    **{name: name for name in ("ARCHITECTURE.md", "PROTOCOL.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")},
}
"""The documents at the top, and what they are called among those in docs/."""

_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the documents at the top."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes links to files in the repository links of the site."""
    place = _place(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        target = _target(place, match[2], config)
        return f"{match[1]}{_relative(page.file.src_uri, target)}{match[3] or ''}{match[4]}"

    return _LINK.sub(led, markdown)


def _place(page: str) -> Path:
    """The file in the repository that a page is made of."""
    names = {made: name for name, made in PAGES.items()}
    return ROOT / names[page] if page in names else ROOT / "docs" / page


def _target(place: Path, link: str, config: MkDocsConfig) -> str:
    """Where a link leads: a page or file of the site, or an address in the repository. Raises PluginError."""
    path = (place.parent / link).resolve()
    if not path.exists():
        raise PluginError(f"{place.relative_to(ROOT)}: there is no {link}")
    name = str(path.relative_to(ROOT))
    if name in PAGES:
        return PAGES[name]
    if path.is_relative_to(ROOT / "docs") and path.is_file():
        return str(path.relative_to(ROOT / "docs"))
    return f"{config.repo_url}/blob/main/{name}"


def _relative(page: str, target: str) -> str:
    return target if target.startswith("https:") else "../" * page.count("/") + target


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Leaves the navigation as it is."""
    return nav
