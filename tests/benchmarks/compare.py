"""Runs a benchmark on two commits in turn, and prints the median of each figure and their ratio.

    make bench-compare REV=v0.1.0 [RUNS=5] [BENCHMARK="loopback --megabytes 50"]

The benchmark is the one that stands here, the product is that of `REV` and the one in this working tree, both
interpreted. A machine's speed varies within minutes: only figures of runs in turn say something of each other.
"""

import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("app", "transport", "socks")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

Figures = list[tuple[str, list[float]]]
"""For each line of output: the line, and the numbers in it."""


def run(benchmark: list[str], tree: Path) -> Figures:
    """One run of the benchmark on the product that stands in `tree`."""
    script, *options = benchmark
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tree / package) for package in _PACKAGES)}
    command = [sys.executable, str(Path(__file__).with_name(f"{script}.py")), *options]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [(line, [float(number) for number in _NUMBER.findall(line)]) for line in done.stdout.splitlines()]


def medians(runs: list[Figures]) -> Figures:
    """Line by line, and number by number."""
    return [
        (lines[0][0], [statistics.median(column) for column in zip(*(numbers for _, numbers in lines), strict=True)])
        for lines in zip(*runs, strict=True)
    ]


def with_numbers(line: str, numbers: list[float]) -> str:
    """The line with other numbers in the same places."""
    left = iter(numbers)
    return _NUMBER.sub(lambda old: f"{next(left):.{len(old[0].partition('.')[2])}f}", line)


def show(before: Figures, now: Figures, revision: str) -> None:
    """Prints both, and the ratio of each number that is not the same in both."""
    width = max(len(revision), len("ratio"))
    for (line, old), (_, new) in zip(before, now, strict=True):
        ratios = [b / a for a, b in zip(old, new, strict=True) if a and a != b]
        print(f"{revision:{width}}  {with_numbers(line, old)}")
        print(f"{'now':{width}}  {with_numbers(line, new)}")
        print(f"{'ratio':{width}}  {', '.join(f'{ratio:.2f}' for ratio in ratios) or 'all the same'}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each (default: 3)")
    parser.add_argument(
        "--benchmark", default="loopback", help="its name, and its options (default: loopback)", metavar="TEXT"
    )
    arguments = parser.parse_args()
    git = ["git", "-C", str(_ROOT)]
    known = subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", f"{arguments.revision}^{{commit}}"], capture_output=True, check=False
    )
    if known.returncode:
        parser.error(f"git knows no commit {arguments.revision!r}; say REV=v0.1.0, REV=HEAD~3 or a hash")
    benchmark = shlex.split(arguments.benchmark)
    if not Path(__file__).with_name(f"{benchmark[0]}.py").is_file():
        parser.error(f"there is no benchmark {benchmark[0]!r}: packets, transfer, flood, loopback, connections")
    before, now = list[Figures](), list[Figures]()
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory, "tree")
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(tree), arguments.revision], check=True)
        try:
            for turn in range(arguments.runs):
                print(f"run {turn + 1} of {arguments.runs}", file=sys.stderr)
                before.append(run(benchmark, tree))
                now.append(run(benchmark, _ROOT))
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(tree)], check=True)
    show(medians(before), medians(now), arguments.revision)


if __name__ == "__main__":
    main()
