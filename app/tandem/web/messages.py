"""Requests that the HTTP server has read, and the answers to them."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request."""

    method: str
    path: str
    """The path without the query."""
    headers: Mapping[str, str]
    """The values by the names, which are in lower case. Of several with one name, the last."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: a body that is known, or one that comes in parts until the client goes away."""

    status: int = 200
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    parts: AsyncGenerator[bytes, None] | None = None
    """The body of an endless answer, in place of `body`."""


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(content).encode(), JSON, headers or {})


def refusal(status: int, error: str, hint: str = "") -> Answer:
    """An answer that says why a request is not served."""
    return json_answer({"error": error} | ({"hint": hint} if hint else {}), status)
