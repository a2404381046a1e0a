"""Keys that had another name in an earlier release. The old name is read until the next release.

`cost` of a link is `use` now, and its value `normal` is `available`; `[[client]]` is `[[quota]]`. Each source of the
configuration is renamed by itself, so that a later source still overrides an earlier one.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, cast

from tandem.base.errors import UsageError

log = logging.getLogger("tandem.config")

OLD_TABLES = {"client": "quota"}
"""The present names of renamed tables, by their old names."""

_OLD_LINK_KEY, _LINK_KEY = "cost", "use"
_OLD_VALUES = {"normal": "available"}

_noted: dict[str, None] = {}
"""Old names that were read, in words."""


def take_notes() -> list[str]:
    """What was read under an old name since the last call, in words: nothing is logged while files are read."""
    notes = list(_noted)
    _noted.clear()
    return notes


def log_notes() -> None:
    """Warns of what was read under an old name since the last call."""
    for text in take_notes():
        log.warning("%s", text)


def with_present_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file under the present names. A table with both names keeps both, which counts as a mistake."""
    names = {name: new for name, new in OLD_TABLES.items() if name in content and new not in content}
    for old, new in names.items():
        _note(f"[[{old}]]", f"[[{new}]]")
    return {names.get(name, name): value for name, value in content.items()}


def variables_of_old(environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Tables from environment variables that have an old name. Raises UsageError where a value is not JSON."""
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        if not is_old_variable(variable, prefix):
            continue
        new = OLD_TABLES[_table(variable, prefix)]
        present = f"{prefix}{new.upper()}"
        _note(variable, present)
        try:
            found[new] = json.loads(text)
        except ValueError as error:
            raise UsageError(f"environment: {variable}: not JSON", f"{present} is a list of tables") from error
    return found


def is_old_variable(name: str, prefix: str) -> bool:
    """Whether an environment variable is the old name of a table."""
    return name.upper().startswith(prefix) and _table(name, prefix) in OLD_TABLES


def present_link(item: object) -> object:
    """A `[[link]]` table under the present names."""
    found = present_use(item)
    if found != item:
        _note(f"`{_OLD_LINK_KEY}` of a [[link]]", f"`{_LINK_KEY}`")
    return found


def present_use(item: object) -> object:
    """The fields of a link, in a file or in the status that an earlier release wrote, under the present names."""
    if not isinstance(item, Mapping):
        return item
    fields = dict(cast("Mapping[str, Any]", item))
    if _LINK_KEY in fields or _OLD_LINK_KEY not in fields:
        return fields
    old = fields.pop(_OLD_LINK_KEY)
    fields[_LINK_KEY] = _OLD_VALUES.get(old, old) if isinstance(old, str) else old
    return fields


def _table(variable: str, prefix: str) -> str:
    return variable[len(prefix) :].lower()


def _note(old: str, new: str) -> None:
    _noted[f"{old} is called {new} now; the old name is read until the next release"] = None
