"""Mutation testing: `make mutants`, or `python tests/tools/mutants/run.py crypto recovery --sample 20`.

Prints for each room how many mutants there are, how many the tests kill, and which survive that
survivors.txt does not know; exit code 1 if there is one, or if less than LEAST_KILLED are killed.
"""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / name) for name in ("app", "transport", "socks", "tests", "tests/support", "tests/tools")]

import hypothesis  # noqa: E402
import pytest  # noqa: E402

assert sys.platform != "win32"  # mutants are played in forks

from mutants.catalog import LEAST_KILLED, ROOMS, Room, known_survivors, rooms  # noqa: E402
from mutants.generate import Mutant, mutants_of  # noqa: E402
from mutants.loop import Loop, Verdict  # noqa: E402

_OPTIONS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminal", "-o", "timeout=0", "--assert=plain")


@dataclass
class Outcome:
    """What became of a room's mutants."""

    room: str
    count: int = 0
    killed: int = 0
    late: int = 0
    """Of those, the ones that were stopped: they took too long, or their process died."""
    survivors: list[str] = field(default_factory=list[str])


def main() -> int:
    options = _parsed()
    _make_hypothesis_repeatable()
    outcomes = [_play(room, options.sample, is_verbose=options.verbose) for room in rooms(options.rooms)]
    return _report(outcomes, is_whole=options.sample == 100)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plays tests against mutants of the code.")
    parser.add_argument("rooms", nargs="*", help=f"default: all of {', '.join(room.name for room in ROOMS)}")
    parser.add_argument("--sample", type=int, default=100, help="percent of the mutants, the same each time")
    parser.add_argument("--verbose", action="store_true", help="also prints which test kills each mutant")
    return parser.parse_args()


def _make_hypothesis_repeatable() -> None:
    """The same examples for each mutant; what fails is neither made smaller nor remembered."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", database=None, derandomize=True, phases=phases)
    hypothesis.settings.load_profile("mutants")


def _play(room: Room, percent: int, *, is_verbose: bool) -> Outcome:
    mutants = [mutant for file in room.files for mutant in mutants_of(ROOT, file)]
    count = len(mutants) * percent // 100
    chosen = sorted(Random(room.name).sample(mutants, count), key=mutants.index)
    outcome = Outcome(room.name)

    def tell(mutant: Mutant, verdict: Verdict) -> None:
        outcome.count += 1
        outcome.killed += bool(verdict)
        outcome.late += verdict == "time"
        if not verdict:
            outcome.survivors.append(mutant.name)
        if is_verbose:
            print(f"{verdict or 'survives'}\t{mutant.name}", flush=True)
        elif sys.stderr.isatty():
            print(f"\r{room.name}: {outcome.count} of {count}", end="", file=sys.stderr)

    loop = Loop(ROOT, chosen, tell)
    code = pytest.main([*_OPTIONS, "--rootdir", str(ROOT), *(str(ROOT / test) for test in room.tests)], [loop])
    if loop.broken or outcome.count != count:
        broken = ", ".join(loop.broken) or "they cannot be collected"
        sys.exit(f"{room.name}: the tests do not pass without a mutant ({code!s}): {broken}")
    print(f"\r{_line(outcome)}", flush=True)
    return outcome


def _line(outcome: Outcome) -> str:
    known = known_survivors()
    new = sum(name not in known for name in outcome.survivors)
    return (
        f"{outcome.room:9} {outcome.count:5} mutants, {outcome.killed:5} killed ({_share(outcome):.1%}; "
        f"{outcome.late} by a limit), survivors known {len(outcome.survivors) - new}, new {new}"
    )


def _share(*outcomes: Outcome) -> float:
    count = sum(outcome.count for outcome in outcomes)
    return sum(outcome.killed for outcome in outcomes) / count if count else 1.0


def _report(outcomes: list[Outcome], *, is_whole: bool) -> int:
    known = known_survivors()
    survivors = [name for outcome in outcomes for name in outcome.survivors]
    new = [name for name in survivors if name not in known]
    if new:
        print("\nNEW: kill each with a test of what the code is for, or add it to survivors.txt with a reason:")
        print("\n".join(new))
    files = {file for room in rooms(outcome.room for outcome in outcomes) for file in room.files}
    gone = [name for name in known if name.partition(" ")[0] in files and name not in survivors]
    if is_whole and gone:
        print("\nIn survivors.txt, and killed or not made any more:")
        print("\n".join(gone))
    print(f"\n{_share(*outcomes):.1%} killed; at least {LEAST_KILLED:.0%} must be")
    return 1 if new or _share(*outcomes) < LEAST_KILLED else 0


if __name__ == "__main__":
    sys.exit(main())
