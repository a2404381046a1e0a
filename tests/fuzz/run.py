"""Coverage-guided fuzzing with atheris: `make fuzz`, or `python tests/fuzz/run.py wire --seconds 600`.

Begins with the inputs in tests/fuzz/corpus; what it finds that is worth keeping goes to the folder
given with --keep. An input that breaks something is written to the present directory; to replay it,
put it into the corpus and run tests/transport/test_fuzz.py.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzzes the packet and frame decoders, or a whole session.")
    parser.add_argument("target", choices=["wire", "session"])
    parser.add_argument("--seconds", type=int, default=30, help="how long (%(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for new inputs; else they are thrown away")
    options = parser.parse_args()
    try:
        atheris: Any = importlib.import_module("atheris")  # it has no types
    except ImportError:
        sys.exit(
            "atheris is not installed: pip install --group fuzz (there are builds for Linux, CPython 3.11 to 3.13)"
        )
    sys.path[:0] = [str(ROOT / name) for name in ("app", "transport", "socks", "tests")]
    with atheris.instrument_imports(include=["tandem_transport"]):
        from fuzz.targets import TARGETS
    corpus = ROOT / "tests" / "fuzz" / "corpus" / options.target
    with tempfile.TemporaryDirectory() as scratch:
        found = options.keep or Path(scratch)
        found.mkdir(parents=True, exist_ok=True)
        arguments = [sys.argv[0], str(found), str(corpus), f"-max_total_time={options.seconds}", "-timeout=30"]
        atheris.Setup([*arguments, "-max_len=4096", "-len_control=0", "-rss_limit_mb=2048"], TARGETS[options.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
