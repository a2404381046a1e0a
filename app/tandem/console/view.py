"""What the user has chosen with the keys, and what the console shows besides the status."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tandem.admin.status import ClientStatus

SortBy = Literal["bytes", "rate", "age"]
SORTS: tuple[SortBy, ...] = ("bytes", "rate", "age")


class Key(NamedTuple):
    """A key that only some consoles have."""

    label: str
    """What it does, in two or three words."""
    act: Callable[[], None]


@dataclass(slots=True)
class View:
    """What the user has chosen with the keys, and what the console shows besides the status."""

    notes: Callable[[], Sequence[str]] = tuple
    """Returns lines that belong to the status, and are shown below it."""
    hints: Sequence[str] = ()
    """What the user may try; shown where there is room."""
    more_keys: Mapping[str, Key] = field(default_factory=dict[str, Key])
    """Further keys of this console."""
    detail: str | None = None
    """The link that is shown in full."""
    sort: SortBy = "bytes"
    has_keys: bool = False
    is_help: bool = False
    """Whether the words are explained, in place of the connections and the log."""
    lines: Sequence[str] = field(default_factory=list[str])
    """The last lines of the log."""

    def press(self, key: str, status: ClientStatus) -> None:
        """Handles a key: `l` goes through the links, `s` through the sort orders, `?` explains; others do nothing."""
        if key == "l":
            names = [None, *(link.name for link in status.links)]
            at = names.index(self.detail) if self.detail in names else 0
            self.detail = names[(at + 1) % len(names)]
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif key == "?":
            self.is_help = not self.is_help
        elif key in self.more_keys:
            self.more_keys[key].act()

    def keys_told(self) -> str:
        """The keys and what they do, in one line."""
        more = "".join(f"   {key} {known.label}" for key, known in self.more_keys.items())
        return f"q quit   m mode   l one link's detail   s sort (by {self.sort}){more}   ? words"
