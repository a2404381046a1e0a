"""Turns pydantic's findings into lines that a person can act on."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tandem.errors import UsageError

_SECRETS = ("invite", "token", "password")


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
    lines: list[str] = []
    for item in findings:
        if item["type"] == "missing" and str(item["loc"][-1]) in misspelt:
            continue  # the misspelling is reported already
        source = _source(item["loc"], file, options, environment)
        lines.append(f"{source}{_place(item['loc'])}{_text(item, model)}")
    head = "configuration: 1 problem" if len(lines) == 1 else f"configuration: {len(lines)} problems"
    return UsageError("\n  ".join([head, *lines]))


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
    if any(part in _SECRETS for part in location):
        return f"{message} (the value is not shown)"
    return f"{message}, got {item['input']!r}"


def _source(
    location: tuple[int | str, ...], file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str]
) -> str:
    """Where the value comes from; empty where that cannot be told."""
    if not location:
        return ""
    top = str(location[0])
    name = "TANDEM_" + "__".join(str(part) for part in location).upper()
    if _holds(options, location[:2]) or (top in options and not isinstance(options[top], Mapping)):
        return "option --"
    if any(name.startswith(key) for key in environment if key.startswith("TANDEM_")):
        return f"environment {name}: "
    return f"{file}: " if file is not None else ""


def _holds(options: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    value: Any = options
    for part in location:
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = cast("Mapping[str, Any]", value)[str(part)]
    return True


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") + ": " if text else ""


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str | None:
    known = _fields(model, location[:-1])
    matches = get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
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
