"""Coverage-guided fuzzing with atheris: `make fuzz`, or `python tests/tools/fuzz/run.py wire --seconds 600`.

Begins with the inputs in tests/tools/fuzz/corpus; what it finds that is worth keeping goes to the folder
given with --keep. An input that breaks something is written to the present directory; to replay it,
put it into the corpus and run tests/transport/test_fuzz.py.
"""

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: +(\d+)")
PACKAGES = [
    "tandem_transport",
    "tandem_socks",
    "tandem.exchange.request",
    "tandem.exchange.pieces",
    "tandem.config.invites",
    "tandem.config.patterns",
]


def main() -> None:
    sys.path[:0] = [str(ROOT / name) for name in ("app", "transport", "socks", "tests/support", "tests/tools")]
    parser = argparse.ArgumentParser(description="Fuzzes decoders and parsers, or a whole session.")
    parser.add_argument("target", nargs="?", help="default: all, each with its share of the time")
    parser.add_argument("--seconds", type=int, default=30, help="how long (%(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for new inputs; else they are thrown away")
    options = parser.parse_args()
    if options.target is None:
        sys.exit(_play_all(options.seconds))
    _play(options.target, options.seconds, options.keep)


def _play_all(seconds: int) -> int:
    """Each in a process of its own, for the fuzzer ends the one that it runs in."""
    from fuzz.targets import SHARES

    for target, share in SHARES.items():
        budget = max(1, round(seconds * share / sum(SHARES.values())))
        command = [sys.executable, __file__, target, "--seconds", str(budget)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        counted = _EXECUTIONS.search(done.stdout)
        if done.returncode or counted is None:
            print(done.stdout)
            return done.returncode or 1
        print(f"{target}: {counted[1]} executions in {budget} s")
    return 0


def _play(target: str, seconds: int, keep: Path | None) -> None:
    try:
        atheris: Any = importlib.import_module("atheris")  # it has no types
    except ImportError:
        sys.exit(
            "atheris is not installed: pip install --group fuzz (there are builds for Linux, CPython 3.11 to 3.13)"
        )
    with atheris.instrument_imports(include=PACKAGES):
        from fuzz.targets import TARGETS
    corpus = ROOT / "tests" / "tools" / "fuzz" / "corpus" / target
    with tempfile.TemporaryDirectory() as scratch:
        found = keep or Path(scratch)
        found.mkdir(parents=True, exist_ok=True)
        arguments = [sys.argv[0], str(found), str(corpus), f"-max_total_time={seconds}", "-timeout=30"]
        arguments += ["-max_len=4096", "-len_control=0", "-rss_limit_mb=2048", "-print_final_stats=1"]
        atheris.Setup(arguments, TARGETS[target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
