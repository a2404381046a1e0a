"""Runs first in tandem.pyz: it says so where the file was made for another Python or another kind of machine.

Without it the first import of a compiled module fails, in words that name neither.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

STEM = "_pydantic_core"
"""A module that is compiled for one version of Python and one kind of machine; its file's name says which."""


def unfit(packages: Path) -> str:
    """What the file was made for, if that is not this Python on this machine."""
    made_for = {path.name.removeprefix(STEM) for path in packages.glob(f"pydantic_core/{STEM}.*.*")}
    if EXTENSION_SUFFIXES[0] in made_for:
        return ""
    return ", ".join(sorted(made_for)).strip(".") or "another kind of machine"


if __name__ == "__main__":
    wanted = unfit(Path(__file__).parents[1])
    if wanted:
        sys.exit(
            f"error: this file was made for {wanted}, and this Python takes {EXTENSION_SUFFIXES[0].strip('.')}\n"
            "hint: run it with that version of Python, or install Tandem with pipx"
        )
