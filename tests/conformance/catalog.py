"""The list of cases. Importing the modules `cases_*` fills it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.bench import Bench

Play = Callable[["Bench"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that clients expect. Its name is a row of the table."""

    group: str
    name: str
    play: Play
    is_long: bool = False
    """It moves so much that `make test` leaves it to `make test-long`."""

    is_servers: bool = False
    """It is about what a server allows: past the session there is none."""

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


CASES: list[Case] = []


def case(group: str, name: str, *, is_long: bool = False, is_servers: bool = False) -> Callable[[Play], Play]:
    """Adds a function to the list; it raises AssertionError where the case fails."""

    def add(play: Play) -> Play:
        CASES.append(Case(group, name, play, is_long, is_servers))
        return play

    return add
