"""The configuration's keys as a document, and a loaded configuration as a file, both made from the models."""

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tandem.config.config import Config

_HEAD = """# Configuration reference

Written by `tandem config reference`. [configuration.md](configuration.md) explains it, with an example.
A table `[[name]]` may stand several times. In the environment a key is `TANDEM_` and its path in capitals with two
underscores: `TANDEM_SOCKS__LISTEN`; lists are JSON there.
"""


def markdown() -> str:
    """The configuration reference as a document in Markdown."""
    parts = [_HEAD, *_table("", "At the top", Config)]
    for name, field in Config.model_fields.items():
        parts += _tables(name, field)
    return "\n".join(parts).rstrip()


def as_toml(config: Config) -> str:
    """A configuration as TOML: the values that differ from the defaults, with secrets masked."""
    lines: list[str] = []
    tables: list[str] = []
    for name in type(config).model_fields:
        value: object = getattr(config, name)
        if isinstance(value, BaseModel):
            tables += _section(f"[{name}]", value, name)
        elif models := _models(value):
            for item in models:
                tables += _section(f"[[{name}]]", item, name)
        else:
            lines += _pair(name, value)
    return "\n".join([*lines, *tables]).strip()


# --- the reference ---


def _tables(path: str, field: FieldInfo) -> Iterator[str]:
    model, is_list = _model_of(field.annotation)
    if model is None:
        return
    yield from _table(path, f"[[{path}]]" if is_list else f"[{path}]", model)
    for name, inner in model.model_fields.items():
        yield from _tables(f"{path}.{name}", inner)


def _table(path: str, title: str, model: type[BaseModel]) -> Iterator[str]:
    about = (model.__doc__ or "").strip().splitlines()[0]
    yield f"## {title}\n\n{about}\n\n| key | type | default | |\n| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        if _model_of(field.annotation)[0] is None:
            text = (field.description or "").replace("|", "\\|")
            yield f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {text} |"
    yield ""


def _model_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model of a field that is a table, None for other fields, and whether the table may stand several times."""
    if get_origin(annotation) is list:
        return _model_of(get_args(annotation)[0])[0], True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    return None, False


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(item) for item in arguments if item is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    names = {str: "text", SecretStr: "text, a secret", bool: "true or false", int: "number", float: "number"}
    return names.get(annotation, "path")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    return "none" if default is None or default in ([], {}, "") else f"`{json.dumps(default)}`"


# --- a configuration ---


def _section(head: str, model: BaseModel, path: str) -> Iterator[str]:
    """The lines of a table and of the tables in it; none where all values are the defaults."""
    pairs: list[str] = []
    inner: list[str] = []
    for name in type(model).model_fields:
        value: object = getattr(model, name)
        if value == type(model).model_fields[name].default and not head.startswith("[["):
            continue
        if models := _models(value):
            for item in models:
                inner += _section(f"[[{path}.{name}]]", item, f"{path}.{name}")
        else:
            pairs += _pair(name, value)
    if pairs or head.startswith("[["):
        yield from ("", head, *pairs)
    yield from inner


def _models(value: object) -> list[BaseModel]:
    """The tables in a list of tables."""
    if not isinstance(value, list):
        return []
    return [item for item in cast("list[object]", value) if isinstance(item, BaseModel)]


def _pair(name: str, value: object) -> list[str]:
    if value is None or value in ([], {}):
        return []
    if isinstance(value, SecretStr):
        value = "***"
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        entries = ", ".join(f"{json.dumps(key)} = {json.dumps(item)}" for key, item in items)
        return [f"{name} = {{ {entries} }}"]
    return [f"{name} = {json.dumps(value, default=str)}"]
