"""An HTTP service that knows the clients: the server asks it who a key is (docs/registry.md has the contract)."""

import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from tandem.base.addresses import is_loopback
from tandem.base.errors import TandemError, UsageError
from tandem.registry.registration import Registration, Terms, check_name
from tandem.registry.source import Changes, Traffic
from tandem_transport import BoundedTable

REFRESH = 30.0
"""Seconds after which the service is asked again about a client that has a session."""

_TIMEOUT = 5.0
_LARGEST_ANSWER = 64 << 10
_MAX_KNOWN = 65_536
_MOST = 1 << 62

_NEIGHBOUR = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""A name of one label, such as that of a container beside this one."""


class Answer(BaseModel):
    """What the service says of a key. Unknown fields are ignored."""

    ok: bool
    id: str = ""
    """The client's name."""
    reason: Literal["unknown", "disabled", "expired", "quota"] = "unknown"
    """Why not, where `ok` is false."""
    until: int = Field(default=0, ge=0, le=_MOST)
    """When the reason ends, in seconds since the epoch; 0 where that is not known."""
    expires: int | None = Field(default=None, ge=0, le=_MOST)
    rate: int | None = Field(default=None, ge=1, le=_MOST)
    """Bytes per second."""
    max_streams: int | None = Field(default=None, ge=1, le=1_000_000)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token, and the decision who may come, are for the configured address alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follows none: the answer is the error that it would be."""


class Hook:
    """The service. A `ClientSource`; all methods block and raise TandemError where it does not answer as it should."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """`token`: sent with each question (Authorization: Bearer). Raises UsageError for a URL that cannot be used."""
        parts, port = urlsplit(url), _port(url)
        if not parts.hostname:
            raise UsageError("[registry] url: it names no host", "accepted: https://HOST/PATH")
        if parts.scheme == "http" and not is_loopback(parts.hostname) and not _NEIGHBOUR.fullmatch(parts.hostname):
            hint = (
                "anybody on the way could let clients in; http:// is for this machine, or a container beside this one"
            )
            raise UsageError(f"[registry] url: http://{parts.hostname} must be https://", hint)
        self.place = f"{parts.scheme}://{parts.hostname}{f':{port}' if port else ''}{parts.path}"
        self._url, self._token = url, token
        self._asked_at: BoundedTable[bytes, float] = BoundedTable(_MAX_KNOWN)
        self._known: BoundedTable[bytes, Registration] = BoundedTable(_MAX_KNOWN)
        self._untold: BoundedTable[bytes, int] = BoundedTable(_MAX_KNOWN)
        """Bytes that clients have carried since the service was last told."""
        self._problem = ""
        self._opener = urllib.request.build_opener(_NoRedirects)

    @property
    def memory(self) -> float:
        """REFRESH: the service does not tell of changes."""
        return REFRESH

    @property
    def file(self) -> Path | None:
        """None: the service is elsewhere."""
        return None

    def close(self) -> None:
        """Does nothing: no connection stays open."""

    def count(self) -> int | None:
        """None: the service does not tell."""
        return None

    def find(self, public: bytes) -> Registration | None:
        """Asks the service, and tells it what the client has carried since the last question."""
        size = self._untold.pop(public) or 0
        try:
            answer = self._ask({"public_key": base64.b64encode(public).decode(), "bytes": size})
        except BaseException:
            self._untold.put(public, size)
            raise
        self._asked_at.put(public, time.monotonic())
        found = _registration(public, answer, self.place)
        if found is None:
            self._known.pop(public)
        else:
            self._known.put(public, found)
        return found

    def is_quiet(self) -> bool:
        """True: the service tells of no changes."""
        return True

    def changes_since(self, revision: int | None) -> Changes:
        """Nothing but the last problem: the service is asked again when traffic is told to it."""
        return Changes(0, problem=self._problem)

    def account(self, traffic: Mapping[bytes, Traffic]) -> Mapping[bytes, Registration | None]:
        """Keeps what clients have carried, and tells the service where it was not asked for REFRESH.

        A question that fails is the problem of `changes_since`, and concerns its client alone: nothing is raised.
        """
        for public, carried in traffic.items():
            self._untold.put(public, (self._untold.pop(public) or 0) + carried.size)
        found: dict[bytes, Registration | None] = {}
        self._problem = ""
        for public, carried in traffic.items():
            if time.monotonic() - (self._asked_at.get(public) or 0.0) < REFRESH and carried.is_online:
                continue
            try:
                found[public] = self.find(public)
            except TandemError as error:
                self._problem = str(error)
        return found

    def _ask(self, body: dict[str, object]) -> Answer:
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                return Answer.model_validate_json(response.read(_LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            error.close()
            raise TandemError(f"registry {self.place}: it answers {error.code}", _HINTS.get(error.code, "")) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the answer"
            raise TandemError(f"registry {self.place}: {where}: {first['msg']}", "see docs/registry.md") from error
        except (OSError, HTTPException, UnicodeError) as error:
            reason = getattr(error, "reason", None) or error
            raise TandemError(f"registry {self.place}: {reason}", "is the service running?") from error


_HINTS = {401: "check `token` in [registry]", 403: "check `token` in [registry]", 404: "check `url` in [registry]"}


def _port(url: str) -> int | None:
    """The port in a URL. Raises UsageError for one that is none."""
    try:
        return urlsplit(url).port
    except ValueError as error:
        raise UsageError(f"[registry] url: {error}", "accepted: https://HOST:PORT/PATH") from error


def _registration(public: bytes, answer: Answer, place: str) -> Registration | None:
    """The registration that an answer means, None for an unknown key. Raises TandemError for a bad name."""
    if not answer.ok and answer.reason == "unknown":
        return None
    name = answer.id or f"key-{public.hex()[:8]}"
    try:
        check_name(name)
    except UsageError as error:
        raise TandemError(f"registry {place}: {error}", error.hint) from error
    expires = answer.expires
    if answer.reason == "expired" and not answer.ok:
        expires = 1
    terms = Terms(
        expires_at=expires,
        is_disabled=not answer.ok and answer.reason == "disabled",
        rate=answer.rate,
        max_streams=answer.max_streams,
    )
    spent = not answer.ok and answer.reason == "quota"
    return Registration(name, public, "", terms, spent_until=answer.until if spent else None)
