"""A pytest plugin that plays the collected tests against one mutant after the other, each in a fork of this process.

The fork has everything imported and collected. It gives the function the mutant's code and runs the tests that
reach the changed line, until one fails. So a mutant takes hardly longer than the tests that it needs.
"""

import gc
import os
import pickle
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NoReturn

import pytest
from _pytest.runner import runtestprotocol

from mutants.generate import Mutant, Place

assert sys.platform != "win32"  # which has no forks

_CPU = 1.0, 8.0
"""Seconds of processor time that a test may take with a mutant: so many, and so many times what it took without."""

_WALL = 20.0, 20.0
"""The same for a test that waits."""

_MEMORY = 4 << 30
"""Bytes of address space."""

Verdict = str
"""Name of the test that killed a mutant, "time" where it ran too long or its process died, empty where it survived."""


@dataclass(frozen=True)
class _Clean:
    """A test without any mutant."""

    seconds: float
    lines: frozenset[tuple[str, int]]


@dataclass
class Loop:
    """Takes the place of pytest's own loop over the tests."""

    root: Path
    mutants: list[Mutant]
    tell: Callable[[Mutant, Verdict], None]
    """Called with each result."""
    clean: dict[str, _Clean] = field(default_factory=dict[str, _Clean])
    broken: list[str] = field(default_factory=list[str])
    """Tests that fail without any mutant."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("tests that cannot be collected")
        session.config.option.tbstyle = "native"  # the quickest; nobody reads it
        gc.freeze()
        files = {str(self.root / mutant.place.file) for mutant in self.mutants}
        for item in session.items:
            self._play_clean(item, files)
        if not self.broken:
            self._play_all(session.items)
        return True

    def _play_clean(self, item: pytest.Item, files: set[str]) -> None:
        seconds, lines, failed = _in_fork(lambda: _watched(item, files))[0] or (0.0, frozenset[tuple[str, int]](), True)
        self.clean[item.nodeid] = _Clean(seconds, lines)
        if failed:
            self.broken.append(item.nodeid)

    def _play_all(self, items: list[pytest.Item]) -> None:
        functions = _functions(self.root)
        reached = self._tests_by_line(items)
        killers: dict[Place, list[pytest.Item]] = defaultdict(list)
        for mutant in self.mutants:
            function = functions.get(mutant.place)
            tests = [] if function is None else reached.get(_reached_at(self.root, mutant, function), [])
            first = killers[mutant.place]
            tests = [test for test in first if test in tests] + [test for test in tests if test not in first]
            verdict = self._play(mutant, function, tests)
            for test in tests:
                if test.nodeid == verdict and test not in first:
                    first.insert(0, test)
            self.tell(mutant, verdict)

    def _tests_by_line(self, items: list[pytest.Item]) -> dict[tuple[str, int], list[pytest.Item]]:
        """The quickest test first."""
        reached: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
        for item in sorted(items, key=lambda item: self.clean[item.nodeid].seconds):
            for line in self.clean[item.nodeid].lines:
                reached[line].append(item)
        return reached

    def _play(self, mutant: Mutant, function: FunctionType | None, tests: list[pytest.Item]) -> Verdict:
        if function is None or not tests:
            return ""

        def attempt() -> str:
            function.__code__ = mutant.code
            for test in tests:
                _limit(self.clean[test.nodeid].seconds)
                if _fails(test):
                    return test.nodeid
            return ""

        killer, is_dead = _in_fork(attempt)
        return "time" if is_dead else killer or ""


def _functions(root: Path) -> dict[Place, FunctionType]:
    """All functions that are loaded from files under `root`."""
    found: dict[Place, FunctionType] = {}
    gc.unfreeze()
    for function in gc.get_objects():
        if isinstance(function, FunctionType):
            code = function.__code__
            if code.co_filename.startswith(f"{root}/"):
                file = str(Path(code.co_filename).relative_to(root))
                found[Place(file, code.co_qualname, code.co_firstlineno)] = function
    gc.freeze()
    return found


def _reached_at(root: Path, mutant: Mutant, function: FunctionType) -> tuple[str, int]:
    """The line that the interpreter tells of where a mutant's change is reached."""
    lines = [line for line in _lines(function.__code__) if line <= mutant.line]
    return str(root / mutant.place.file), max(lines)


def _lines(code: CodeType) -> Iterator[int]:
    yield from (line for _, _, line in code.co_lines() if line is not None)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _lines(constant)


def _watched(item: pytest.Item, files: set[str]) -> tuple[float, frozenset[tuple[str, int]], bool]:
    """Seconds of a test, which lines of some files it reaches, and whether it fails."""
    lines: set[tuple[str, int]] = set()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        return local(frame, event, arg) if frame.f_code.co_filename in files else None

    sys.settrace(trace)
    failed = _fails(item)
    sys.settrace(None)
    begin = time.process_time()
    failed |= _fails(item)
    return time.process_time() - begin, frozenset(lines), failed


def _fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _limit(seconds: float) -> None:
    """Ends this process where the next test runs on, or waits, for much longer than it did without a mutant."""
    signal.setitimer(signal.ITIMER_PROF, _CPU[0] + _CPU[1] * seconds)
    signal.setitimer(signal.ITIMER_REAL, _WALL[0] + _WALL[1] * seconds)


def _in_fork(work: Callable[[], Any]) -> tuple[Any, bool]:
    """What `work` returns in a process of its own, and whether that process died instead."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _be_child(work, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return (pickle.loads(told), False) if told and status == 0 else (None, True)


def _be_child(work: Callable[[], Any], write: int) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        told = pickle.dumps(work())
    except BaseException:  # whatever a mutant does to pytest itself
        os._exit(1)
    os.write(write, told)
    os._exit(0)
