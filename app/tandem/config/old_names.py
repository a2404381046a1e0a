"""Keys that had another name in an earlier release. The old name is read until the next release.

`cost` of a link is `use` now, and its value `normal` is `available`; `[[client]]` is `[[quota]]`.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tandem.base.errors import UsageError

log = logging.getLogger("tandem.config")

OLD_TABLES = {"client": "quota"}
"""The present names of renamed tables, by their old names."""

_OLD_LINK_KEY, _LINK_KEY = "cost", "use"
_OLD_VALUES = {"normal": "available"}


def with_present_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration under the present names. What is there under both names keeps both, which counts as a mistake."""
    names = {name: new for name, new in OLD_TABLES.items() if new not in given}
    renamed = {names.get(name, name): value for name, value in given.items()}
    links = renamed.get("link")
    if isinstance(links, list):
        renamed["link"] = [_with_use(item) for item in cast("Sequence[object]", links)]
    for name in given.keys() - renamed.keys():
        log.warning("[[%s]] is called [[%s]] now; the old name is read until the next release", name, OLD_TABLES[name])
    return renamed


def variables_of_old(environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Tables from environment variables that have an old name. Raises UsageError where a value is not JSON."""
    found: dict[str, Any] = {}
    for old, new in OLD_TABLES.items():
        variable = f"{prefix}{old.upper()}"
        if variable not in environment:
            continue
        try:
            found[new] = json.loads(environment[variable])
        except ValueError as error:
            raise UsageError(
                f"environment: {variable}: not JSON", f"{prefix}{new.upper()} is a list of tables"
            ) from error
    return found


def present_use(fields: object) -> object:
    """The fields of a link's status under the present names, also where an earlier release wrote them."""
    return _with_use(fields)


def _with_use(item: object) -> object:
    if not isinstance(item, Mapping):
        return item
    fields = dict(cast("Mapping[str, Any]", item))
    if _LINK_KEY in fields or _OLD_LINK_KEY not in fields:
        return fields
    old = fields.pop(_OLD_LINK_KEY)
    fields[_LINK_KEY] = _OLD_VALUES.get(old, old) if isinstance(old, str) else old
    return fields
