"""The mutants of a file: mutmut's operators, applied to the body of each function one at a time.

The texts of errors, annotations, decorators and default values stay as they are. A mutant that compiles to the
code that was there, or to none, is no mutant.
"""

import importlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

_KEPT_CALLS = {"len", "isinstance", "cast"}
"""Calls whose arguments stay as they are, as in mutmut."""


@dataclass(frozen=True)
class Place:
    """A function as the interpreter names it, however deep it stands."""

    file: str
    function: str
    line: int


@dataclass(frozen=True)
class Mutant:
    """One changed function."""

    name: str
    """File, function, and the changed line before and after: the same as long as that line is."""
    place: Place
    line: int
    """Where the change begins."""
    code: CodeType


@dataclass(frozen=True)
class _Edit:
    """What is written instead of a piece of the source."""

    start: int
    end: int
    text: str
    line: int


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Every mutant of a file whose path is given from `root`."""
    source = (root / file).read_text()
    path = str(root / file)
    originals = dict(_functions(compile(source, path, "exec"), file))
    counted: Counter[str] = Counter()
    mutants: list[Mutant] = []
    for edit in _edits(source):
        place = _innermost(originals, edit.line)
        code = _changed(source, path, edit, place)
        if code is None or code == originals[place]:
            continue
        name = f"{file} {place.function}: {_difference(source, edit)}"
        counted[name] += 1
        repeated = f" #{counted[name]}" if counted[name] > 1 else ""
        mutants.append(Mutant(name + repeated, place, edit.line, code))
    return mutants


def _functions(code: CodeType, file: str) -> Iterator[tuple[Place, CodeType]]:
    """All functions and methods, without what is nested in them: that is a part of their code."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function, no class body
                yield Place(file, constant.co_qualname, constant.co_firstlineno), constant
            else:
                yield from _functions(constant, file)


def _innermost(functions: dict[Place, CodeType], line: int) -> Place:
    """The function that holds a line, which is the last that begins before it."""
    return max((place for place in functions if place.line <= line), key=lambda place: place.line)


def _changed(source: str, path: str, edit: _Edit, place: Place) -> CodeType | None:
    text = source[: edit.start] + edit.text + source[edit.end :]
    try:
        functions = dict(_functions(compile(text, path, "exec"), place.file))
    except SyntaxError:
        return None
    return functions.get(place)


def _difference(source: str, edit: _Edit) -> str:
    """The changed lines: what stood there, and what stands there."""
    begin = source.rfind("\n", 0, edit.start) + 1
    end = source.find("\n", edit.end)
    before = [line.strip() for line in source[begin:end].split("\n")]
    text = source[begin : edit.start] + edit.text + source[edit.end : end]
    after = [line.strip() for line in text.split("\n")]
    for place in (0, -1):  # lines of a long statement that are the same
        while before and after and before[place] == after[place] and max(len(before), len(after)) > 1:
            del before[place], after[place]
    old, new = (" ".join(" ".join(lines).split()) or "nothing" for lines in (before, after))
    return f"{old} => {new}"


@cache
def _libcst() -> Any:
    """The parser that mutmut uses; without types here, since only this tool has it installed."""
    return importlib.import_module("libcst")


def _edits(source: str) -> Iterator[_Edit]:
    """Each change that one of mutmut's operators makes within a function, in the order of the file."""
    metadata: Any = importlib.import_module("libcst.metadata")
    wrapper = metadata.MetadataWrapper(_libcst().parse_module(source), unsafe_skip_copy=True)
    positions: dict[Any, Any] = wrapper.resolve(metadata.PositionProvider)
    starts = _line_starts(source)

    def offset_of(place: Any) -> int:
        line, column = int(place.line), int(place.column)
        return starts[line - 1] + column

    for node in _mutable(wrapper.module, False, False):
        position = positions.get(node)
        if position is None:
            continue
        for text in _replacements(wrapper.module, node):
            yield _Edit(offset_of(position.start), offset_of(position.end), text, position.start.line)


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _mutable(node: Any, is_within: bool, is_raised: bool) -> Iterator[Any]:
    """Nodes within functions, but for those that stay as they are."""
    cst = _libcst()
    if _is_kept(node) or (is_raised and _is_text(node)):
        return
    if is_within:
        yield node
    is_within |= isinstance(node, cst.FunctionDef)
    is_raised |= isinstance(node, cst.Raise)
    for child in node.children:
        if isinstance(node, cst.FunctionDef) and child is not node.body:
            continue
        if isinstance(node, cst.Param) and child is node.default:
            continue
        yield from _mutable(child, is_within, is_raised)


def _is_kept(node: Any) -> bool:
    cst = _libcst()
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name):
        return node.func.value in _KEPT_CALLS
    is_docstring = isinstance(node, cst.Expr) and _is_text(node.value)
    return is_docstring or isinstance(node, cst.Annotation | cst.Decorator)


def _is_text(node: Any) -> bool:
    cst = _libcst()
    return isinstance(node, cst.SimpleString | cst.FormattedString | cst.ConcatenatedString)


def _replacements(module: Any, node: Any) -> Iterator[str]:
    operators: Any = importlib.import_module("mutmut.mutation.mutators").mutation_operators
    for kind, operator in operators:
        if isinstance(node, kind):
            for changed in operator(node):
                if not _drops_a_text(node, changed) and not _is_false_to_none(node, changed):
                    yield _text(module, changed)


def _drops_a_text(node: Any, changed: Any) -> bool:
    """Whether a call only loses a text, which is a message to people."""
    cst = _libcst()
    if not isinstance(node, cst.Call) or not isinstance(changed, cst.Call):
        return False
    lost = [arg for arg in node.args if all(arg is not kept for kept in changed.args)]
    return bool(lost) and all(_is_text(arg.value) for arg in lost)


def _is_false_to_none(node: Any, changed: Any) -> bool:
    """Whether `= False` becomes `= None`, which is as false; it becomes `= True` in another mutant."""
    is_false = getattr(getattr(node, "value", None), "value", None) == "False"
    return is_false and getattr(changed.value, "value", None) == "None"


def _text(module: Any, node: Any) -> str:
    """The node as it is written, without the parentheses around it: they stay where they are."""
    cst = _libcst()
    if getattr(node, "lpar", None):
        node = node.with_changes(lpar=(), rpar=())
    text = str(module.code_for_node(node))
    return f" {text.strip()} " if isinstance(node, cst.BaseCompOp) else text
