"""Turns pydantic's errors into lines that a person can act on."""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from tandem.base.errors import UsageError
from tandem.base.private_files import read_text

Location = tuple[int | str, ...]
"""The place of a value: keys and indices, the outermost first."""

_SECRETS = ("invite", "token", "password", "url")


def describe(
    error: ValidationError,
    model: type[BaseModel],
    *,
    file: Path | None,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
) -> UsageError:
    """All problems in one UsageError, each with its place, its value and what is accepted."""
    findings = error.errors(include_url=False)
    misspelt = {_suggestion(model, item["loc"]) for item in findings if item["type"] == "extra_forbidden"}
    content = _content(file)
    lines: list[str] = []
    for item in findings:
        if item["type"] == "missing" and str(item["loc"][-1]) in misspelt:
            continue  # the misspelling is reported already
        where = _where(item["loc"], file, content, options, environment)
        lines.append(f"{where}{_text(item, model)}")
    head = "configuration: 1 problem" if len(lines) == 1 else f"configuration: {len(lines)} problems"
    return UsageError("\n  ".join([head, *lines]))


def with_mistakes(found: Sequence[ErrorDetails], more: Sequence[str]) -> ValidationError:
    """A ValidationError with what pydantic has found, and with more mistakes, which concern the whole configuration."""
    lines = [InitErrorDetails(type=_kind(i["type"], i["msg"]), loc=i["loc"], input=i["input"]) for i in found]
    lines += [InitErrorDetails(type=_kind("value_error", text), loc=(), input=None) for text in more]
    return ValidationError.from_exception_data("Config", lines)


def _kind(name: str, text: str) -> PydanticCustomError:
    """An error type with its text, because pydantic cannot build all of its own error types from their names."""
    return PydanticCustomError(cast("Any", name), "{text}", {"text": text})


def _text(item: ErrorDetails, model: type[BaseModel]) -> str:
    location = item["loc"]
    if item["type"] == "extra_forbidden":
        suggestion = _suggestion(model, location)
        if suggestion:
            return f"unknown key, did you mean `{suggestion}`?"
        return f"unknown key; accepted: {', '.join(sorted(_fields(model, location[:-1])))}"
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if item["type"] in ("missing", "value_error"):
        return message
    if item["type"] == "list_type" and isinstance(item["input"], Mapping):
        return f"it is a list of tables: [[{location[-1]}]], not [{location[-1]}]"
    if any(part in _SECRETS for part in location):
        return f"{message} (the value is not shown)"
    return f"{message}, got {item['input']!r}"


_OPTIONS = {("socks", "listen"): "socks", ("admin", "listen"): "admin", ("server",): ""}
"""Options that are not named after their key; those of [server] are named after the key in it."""


def _where(
    location: Location,
    file: Path | None,
    content: Mapping[str, Any],
    options: Mapping[str, Any],
    environment: Mapping[str, str],
) -> str:
    """Where the value comes from, and its place there; empty where that is unknown."""
    if not location:
        return ""
    top = str(location[0])
    name = "TANDEM_" + "__".join(str(part) for part in location).upper()
    if _holds(options, location[:2]) or (top in options and not isinstance(options[top], Mapping)):
        return _option(location, options)
    if any(name.startswith(key) for key in environment if key.startswith("TANDEM_")):
        return f"environment {name}: "
    return (f"{file}: " if file is not None else "") + _place(location, content)


def _option(location: Location, options: Mapping[str, Any]) -> str:
    for keys, name in _OPTIONS.items():
        if location[: len(keys)] == keys:
            rest = location[len(keys) :]
            return f"option --{_place((name, *rest) if name else rest, {})}"
    return f"option --{_place(location, options)}"


def _content(file: Path | None) -> Mapping[str, Any]:
    """The content of the file, so that messages can name its tables; empty where it cannot be read."""
    try:
        return tomllib.loads(read_text(file)) if file is not None else {}
    except (OSError, ValueError, UsageError):
        return {}


def _holds(options: Mapping[str, Any], location: Location) -> bool:
    value: Any = options
    for part in location:
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = cast("Mapping[str, Any]", value)[str(part)]
    return True


def _place(location: Location, content: Mapping[str, Any]) -> str:
    """A place as text, such as `link[wifi].daily_cap: `; items that have no name are counted from 0."""
    text, inner = "", cast("Any", content)
    for part in location:
        inner = _inside(inner, part)
        if isinstance(part, int):
            text += f"[{_inside(inner, 'name') or part}]"
        else:
            text += f".{part}"
    return text.removeprefix(".") + ": " if text else ""


def _inside(value: Any, part: int | str) -> Any:
    """An item of a table or a list, None where there is none."""
    try:
        return value[part]
    except (LookupError, TypeError):
        return None


def _suggestion(model: type[BaseModel], location: Location) -> str | None:
    known = _fields(model, location[:-1])
    matches = get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _fields(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that are accepted at a place."""
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        if field is None:
            return []
        inner: Any = field.annotation
        arguments: tuple[Any, ...] = getattr(inner, "__args__", ())
        candidates = [inner, *arguments]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)
