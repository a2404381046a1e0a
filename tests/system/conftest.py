"""Fixtures: a server and a client, links that can be cut, a target that counts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import Gate, Pair, Target

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []
"""On Windows none of these tests runs: its processes cannot be told by signals what to do."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


@pytest.fixture
def gates(pair: Pair) -> Iterator[list[Gate]]:
    """One for each port of the server; loss and cuts are set by the test."""
    made = [Gate(("127.0.0.1", port), seed=i) for i, port in enumerate(pair.udp_ports)]
    yield made
    for gate in made:
        gate.close()
