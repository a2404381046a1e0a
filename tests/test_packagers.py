"""What stands in the repository for Homebrew and for OpenWrt: texts that their tools read, of this version."""

import re
import runpy
import shutil
import subprocess
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMULA = ROOT / "deploy" / "homebrew" / "tandem.rb"
OPENWRT = ROOT / "deploy" / "openwrt"
MAKEFILE = OPENWRT / "Makefile"
SOURCE = f"tandem_proxy-{PROJECT['version']}.tar.gz"

STAND_INS = """
config_load() { :; }
config_foreach() { [ "$2" = "$SIDE" ] && "$1" "$2"; return 0; }
config_get_bool() { eval "$1=$ENABLED"; }
config_get() { eval "value=\\${OPTION_$3:-}"; eval "$1=\\${value:-$4}"; }
config_list_foreach() { for item in $(eval "echo \\${LIST_$2:-}"); do "$3" "$item" "$4"; done; }
procd_open_instance() { echo "instance $1"; }
procd_set_param() { echo "$@"; }
procd_append_param() { echo "$@"; }
procd_close_instance() { echo "end"; }
logger() { echo "log $*"; }
mkdir() { :; }
chmod() { :; }
"""
"""What the system has for a start script, as far as ours uses it; parameters are printed."""


def assignments() -> dict[str, str]:
    """The variables that the Makefile sets."""
    return dict(re.findall(r"^(PKG_\w+):=(.*)$", MAKEFILE.read_text(), re.MULTILINE))


@pytest.mark.skipif(shutil.which("ruby") is None, reason="no ruby")
def test_ruby_reads_the_formula() -> None:
    subprocess.run(["ruby", "-c", str(FORMULA)], check=True, capture_output=True)


def test_the_formula_names_the_source_of_this_release() -> None:
    text = FORMULA.read_text()
    (url,) = re.findall(r'^  url "(.*)"$', text, re.MULTILINE)
    assert url == f"{PROJECT['urls']['Source']}/releases/download/v{PROJECT['version']}/{SOURCE}"
    assert re.findall(r'^  homepage "(.*)"$', text, re.MULTILINE) == [PROJECT["urls"]["Homepage"]]
    assert re.findall(r'^  desc "(.*)"$', text, re.MULTILINE)
    assert re.search(r'^  sha256 "[0-9a-f]{64}"$', text, re.MULTILINE)
    assert all(address.startswith("https://") for address in re.findall(r"\w+://[^\s\"]+", text))


def test_what_pip_fetches_for_the_formula_is_checked_by_hash() -> None:
    fetching = [line for line in FORMULA.read_text().splitlines() if '"install"' in line and "symlink" not in line]
    assert len(fetching) == 3
    assert all("--require-hashes" in line or "--no-deps" in line for line in fetching)
    lists = re.findall(r'"(requirements/\w+\.txt)"', FORMULA.read_text())
    assert lists
    assert all((ROOT / name).is_file() for name in lists)


def test_the_formula_of_a_release_has_the_checksum_of_its_source(tmp_path: Path) -> None:
    completed = runpy.run_path(str(FORMULA.with_name("formula.py")))["completed"]
    source = tmp_path / SOURCE
    source.write_bytes(b"the source")
    assert f'  sha256 "{sha256(b"the source").hexdigest()}"' in completed(source).splitlines()
    with pytest.raises(SystemExit, match="not one of"):
        completed(tmp_path / "tandem_proxy-9.9.9.tar.gz")


def test_the_package_of_openwrt_names_the_source_of_this_release() -> None:
    found = assignments()
    assert found["PKG_VERSION"] == PROJECT["version"]
    assert found["PKG_SOURCE"].replace("$(PKG_VERSION)", PROJECT["version"]) == SOURCE
    assert found["PKG_SOURCE_URL"].startswith(f"{PROJECT['urls']['Source']}/releases/download/v$(PKG_VERSION)")
    assert re.fullmatch(r"[0-9a-f]{64}", found["PKG_HASH"])


def test_the_package_of_openwrt_is_whole() -> None:
    text = MAKEFILE.read_text()
    assert text.count("\ndefine ") == text.count("\nendef") == 6
    assert text.rstrip().endswith("$(eval $(call BuildPackage,tandem))")
    assert all((OPENWRT / name).is_file() for name in re.findall(r"\./(files/[\w.]+)", text))
    recipes = re.findall(r"define (?:Build/Compile|Package/tandem/install)\n(.*?)endef", text, re.DOTALL)
    assert all(line.startswith("\t") for recipe in recipes for line in recipe.splitlines())


def test_every_dependency_is_either_of_the_feed_or_bundled() -> None:
    feed = set(re.findall(r"\+python3-([\w-]+)", MAKEFILE.read_text()))
    (words,) = re.findall(r'^bundled="([^"]*)"', (OPENWRT / "bundle.sh").read_text(), re.MULTILINE)
    bundled = set(words.split())
    listed = set(re.findall(r"^([a-z][\w-]*)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE))
    other_names = {"dns": "dnspython", "dotenv": "python-dotenv"}
    feed = {other_names.get(name, name) for name in feed}
    assert not feed & bundled
    assert listed - feed - bundled == {"pycparser", "uvloop"}, (
        "cffi needs one for building only, and uvloop is optional"
    )
    assert bundled <= listed


def test_nothing_on_a_router_runs_before_it_is_enabled() -> None:
    text = (OPENWRT / "files" / "tandem.config").read_text()
    assert re.findall(r"option enabled '(\d)'", text) == ["0", "0"]


def started(side: str, **environment: str) -> list[str]:
    """What the start script tells procd."""
    script = (OPENWRT / "files" / "tandem.init").read_text()
    given = {"PATH": "/usr/bin:/bin", "SIDE": side, "ENABLED": "1"} | environment
    command = f"set -eu\n{STAND_INS}\n{script}\nstart_service\n"
    return subprocess.run(
        ["sh", "-c", command], env=given, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_router_starts_a_client_with_its_links(tmp_path: Path) -> None:
    invite = tmp_path / "invite"
    invite.write_text("an invite")
    said = started("client", OPTION_invite=str(invite), OPTION_socks="192.168.1.1:1080", LIST_link="dsl=wan lte=wwan0")
    commands = [line.removeprefix("command ") for line in said if line.startswith("command")]
    assert commands == [
        f"/usr/bin/tandem client @{invite} --no-console",
        "--socks 192.168.1.1:1080",
        "--link dsl=wan",
        "--link lte=wwan0",
    ]
    assert said[0] == "instance client"
    assert said[-1] == "end"
    assert "respawn" in said


def test_a_router_starts_a_server_whose_state_stays() -> None:
    said = started("server", LIST_allow="192.168.1.0/24")
    assert "env STATE_DIRECTORY=/etc/tandem/state RUNTIME_DIRECTORY=/var/run/tandem/server" in said
    assert "command /usr/bin/tandem server" in said
    assert "command --allow 192.168.1.0/24" in said


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_router_starts_nothing_that_is_not_enabled(side: str) -> None:
    assert started(side, ENABLED="0") == []


def test_a_router_says_that_there_is_no_invite(tmp_path: Path) -> None:
    (said,) = started("client", OPTION_invite=str(tmp_path / "none"))
    assert said.startswith("log ")
    assert "there is no invite" in said
