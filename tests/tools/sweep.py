"""Plays thousands of random histories (tests/support/simnet/history.py), on all cores: `make sweep`.

    python tests/tools/sweep.py [--first 0] [--seeds 2000]

Prints each seed that fails, with what did not hold; exit code 1 if any did. To replay one:
SIMNET_SEED=17 python -m pytest tests/transport/test_properties.py
"""

import argparse
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [str(ROOT / name) for name in ("app", "transport", "socks", "tests/support")]


def play(seed: int) -> str:
    """What went wrong, empty where nothing did."""
    sys.path[:0] = [path for path in SOURCES if path not in sys.path]
    from simnet.history import History

    try:
        History(seed).play()
    except Exception:  # whatever it is, it is the finding
        return traceback.format_exc()
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Plays random histories of sessions.")
    parser.add_argument("--first", type=int, default=0, help="first seed (%(default)s)")
    parser.add_argument("--seeds", type=int, default=2000, help="how many (%(default)s)")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    begin, failed = time.monotonic(), list[int]()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for seed, wrong in zip(seeds, pool.map(play, seeds, chunksize=8), strict=True):
            if wrong:
                failed.append(seed)
                print(f"seed {seed}:\n{wrong}", flush=True)
    took = time.monotonic() - begin
    print(f"{len(seeds)} histories in {took:.0f} s, {len(failed)} failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
