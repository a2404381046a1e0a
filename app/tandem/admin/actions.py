"""What the command line can ask of a running Tandem, over the admin endpoint."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tandem.base.errors import UsageError

Action = Callable[[bytes], Awaitable[dict[str, object]]]
"""A function that takes a JSON body and returns the answer. Raises TandemError."""

Actions = Mapping[str, Action]
"""Actions by the last part of the path that they are posted to."""

_Model = TypeVar("_Model", bound=BaseModel)


class ModeRequest(BaseModel):
    """The body of POST /mode."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["duplicate", "adaptive"]


class Nothing(BaseModel):
    """The body of a POST without parameters."""

    model_config = ConfigDict(extra="forbid")


def parse(model: type[_Model], body: bytes) -> _Model:
    """Parses the body of a POST. Raises UsageError that says what is accepted."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{place}: {first['msg']}", f"accepted: {', '.join(model.model_fields)}") from error
