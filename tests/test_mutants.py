"""What `make mutants` is told fits the tree: rooms, their tests, and the list of mutants that survive."""

import ast
from collections.abc import Iterator

import pytest

from mutants.catalog import ROOMS, ROOT, Room, known_survivors, rooms


def functions(file: str) -> Iterator[str]:
    """The qualified names of all functions of a file, but for those within others."""

    def below(node: ast.AST, prefix: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + child.name
            elif isinstance(child, ast.ClassDef):
                yield from below(child, f"{prefix}{child.name}.")

    return below(ast.parse((ROOT / file).read_text()), "")


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_has_files_and_tests(room: Room) -> None:
    assert room.files
    for place in room.places:
        assert (ROOT / place).exists(), place
    for test in room.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert not name or name in functions(file), test


def test_each_survivor_is_a_mutant_of_a_function_that_exists_and_has_a_reason() -> None:
    existing = {(file, name) for room in ROOMS for file in room.files for name in functions(file)}
    for survivor, reason in known_survivors().items():
        place, _, change = survivor.partition(": ")
        file, _, function = place.partition(" ")
        assert (file, function) in existing, f"{survivor}\n`make mutants` says which mutants survive now"
        assert " => " in change, survivor
        assert len(reason) > 10, survivor


def test_rooms_may_be_chosen() -> None:
    assert [room.name for room in rooms(["recovery", "crypto"])] == ["crypto", "recovery"]
    assert rooms([]) == list(ROOMS)
    with pytest.raises(ValueError, match="no room kitchen"):
        rooms(["kitchen"])
