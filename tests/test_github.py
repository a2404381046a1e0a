"""What GitHub reads: workflows and forms are what its schemas say, and no job may do more than its work needs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))

PUBLISHING = {
    "attest": {"id-token": "write", "attestations": "write"},
    "image": {"packages": "write", "id-token": "write", "attestations": "write"},
    "pypi": {"id-token": "write"},
    "release": {"contents": "write"},
}
"""The jobs that may write anything, and what."""


def workflow(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(path.read_text()))


def check(schema: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", [GITHUB / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
        ("compose-spec", [ROOT / "compose.yaml", ROOT / "compose.fleet.yaml"]),
    ],
)
def test_files_are_what_their_schema_says(schema: str, paths: list[Path]) -> None:
    done = check(schema, *paths)
    assert done.returncode == 0, done.stdout


def test_a_workflow_with_a_mistake_is_not(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs_on:"))
    assert check("github-workflows", broken).returncode == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_reads_unless_it_publishes(path: Path) -> None:
    read = workflow(path)
    assert read["permissions"] == {"contents": "read"}
    for name, job in read["jobs"].items():
        rights = {key: value for key, value in job.get("permissions", {}).items() if value != "read"}
        assert rights == (PUBLISHING[name] if path.stem == "release" and name in PUBLISHING else {}), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_version_and_jobs_end(path: Path) -> None:
    for name, job in workflow(path)["jobs"].items():
        assert job["timeout-minutes"] <= 180, name
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@(v\d+|release/v\d+)", action) for action in used), used


def test_nothing_is_published_before_all_is_built_and_the_tag_is_checked() -> None:
    jobs = workflow(GITHUB / "workflows" / "release.yml")["jobs"]
    built = set(jobs) - set(PUBLISHING)
    for name in PUBLISHING:
        assert reached(jobs, name) >= built, name


def reached(jobs: dict[str, Any], name: str) -> set[str]:
    """All jobs that have to end before one begins."""
    direct = jobs[name].get("needs", [])
    needed = {direct} if isinstance(direct, str) else set(direct)
    return needed.union(*(reached(jobs, other) for other in needed))


def test_what_a_workflow_runs_is_there() -> None:
    for path in WORKFLOWS:
        for script in re.findall(r"(?<![\w/.])((?:\.ci|deploy|tests/tools)/[\w./]+)", path.read_text()):
            assert (ROOT / script).exists(), script
