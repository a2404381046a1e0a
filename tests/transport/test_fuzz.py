"""The fuzzer's inputs that are checked in, each played once; `make fuzz` looks for new ones."""

from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "tools" / "fuzz" / "corpus"
INPUTS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", INPUTS, ids=[f"{path.parent.name}/{path.name[:12]}" for path in INPUTS])
def test_corpus(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_there_is_a_corpus_for_each_target() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
