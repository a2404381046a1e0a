"""What the packages are made of: scripts that a shell reads, and one version, which stands in pyproject.toml."""

import runpy
import shutil
import subprocess
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import yaml

from tandem import __version__

ROOT = Path(__file__).parents[1]
DEBIAN = ROOT / "deploy" / "debian"
SCRIPTS = [
    *sorted(DEBIAN.glob("p*")),
    *sorted((ROOT / "deploy").rglob("*.sh")),
    *((ROOT / "deploy" / "openwrt" / "files" / name) for name in ("tandem", "tandem.init")),
    *sorted((ROOT / "tests" / "tools" / "package").glob("*.sh")),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_shell_reads_each_script(script: Path) -> None:
    shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
    subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_the_checker_of_shell_scripts_finds_nothing(script: Path) -> None:
    subprocess.run(["shellcheck", str(script)], check=True)


def test_what_a_package_does_when_it_is_installed_stops_at_the_first_error() -> None:
    scripts = sorted(DEBIAN.glob("p*"))
    assert [script.name for script in scripts] == ["postinst", "postrm", "prerm"]
    assert all("\nset -e\n" in script.read_text() for script in scripts)


def test_a_package_neither_starts_nor_enables_anything() -> None:
    text = (DEBIAN / "postinst").read_text()
    lines = [line for line in text.splitlines() if line.strip().startswith(("systemctl", "deb-systemd"))]
    assert [line.split()[1:3] for line in lines] == [
        ["--system", "daemon-reload"],
        ["try-restart", "tandem-client.service"],
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([f"_pydantic_core{EXTENSION_SUFFIXES[0]}"], ""),
        (["_pydantic_core.cpython-39-mips-linux-gnu.so"], "cpython-39-mips-linux-gnu.so"),
        ([], "another kind of machine"),
    ],
)
def test_a_single_file_knows_for_whom_it_was_made(names: list[str], expected: str, tmp_path: Path) -> None:
    unfit = runpy.run_path(str(ROOT / "deploy" / "pyz" / "preamble.py"))["unfit"]
    (tmp_path / "pydantic_core").mkdir()
    for name in names:
        (tmp_path / "pydantic_core" / name).touch()
    assert unfit(tmp_path) == expected


def test_the_program_has_the_version_of_the_project() -> None:
    assert __version__ == PROJECT["version"]


def test_what_names_an_image_names_this_version() -> None:
    kustomization = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text())
    assert [image["newTag"] for image in kustomization["images"]] == [PROJECT["version"]]


def test_the_changelog_begins_with_this_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == PROJECT["version"]
