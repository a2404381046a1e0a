"""Talks to the admin endpoint of a running Tandem; finds its token by itself."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, cast

from tandem.base.addresses import format_host_port, is_own_address, parse_host_port
from tandem.base.errors import TandemError, UsageError
from tandem.config.config import CLIENT_ADMIN_PORT, SERVER_ADMIN_PORT
from tandem.process import runtime

_TIMEOUT = 5.0

Place = tuple[str, int]


def places(admin: str | None) -> list[Place]:
    """The places to ask, in turn: the one of `--admin`, else the default places of a client and of a server."""
    if admin:
        return [parse_host_port(admin, what="--admin")]
    return [("127.0.0.1", CLIENT_ADMIN_PORT), ("127.0.0.1", SERVER_ADMIN_PORT)]


def ask(
    tried: list[Place],
    path: str,
    body: dict[str, Any] | None = None,
    *,
    timeout: float = _TIMEOUT,
    token: str | None = None,
) -> dict[str, Any]:
    """The JSON answer of the first place that answers: GET, or POST where there is a body. Raises TandemError.

    `token`: a configured token; without it, the token is used that the running Tandem has left for its command line.
    """
    return ask_first(tried, path, body, timeout=timeout, token=token)[1]


def ask_first(
    tried: list[Place],
    path: str,
    body: dict[str, Any] | None = None,
    *,
    timeout: float = _TIMEOUT,
    token: str | None = None,
) -> tuple[Place, dict[str, Any]]:
    """The first place that answers, and its answer, as of `ask`. Raises TandemError."""
    for place in tried:
        answer = _ask(place, path, body, timeout, token)
        if answer is not None:
            return place, answer
    where = " or ".join(format_host_port(*place) for place in tried)
    raise TandemError(f"no Tandem answers at {where}", "is it running? --admin HOST:PORT names its admin endpoint")


def _ask(
    place: Place, path: str, body: dict[str, Any] | None, timeout: float, token: str | None
) -> dict[str, Any] | None:
    """The JSON answer of one place, None where nothing listens there."""
    found = runtime.find_token(place[1]) if is_own_address(place[0]) else None  # another host has another port's owner
    known = token or found or ""
    headers = {"Authorization": f"Bearer {known}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{format_host_port(*place)}{path}", data, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return cast("dict[str, Any]", json.load(answer))
    except urllib.error.HTTPError as error:
        raise _complaint(place, error) from error
    except (http.client.HTTPException, ValueError) as error:
        raise _stranger(place) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def _complaint(place: Place, error: urllib.error.HTTPError) -> TandemError:
    try:
        said = cast("dict[str, str]", json.load(error))
        text, hint = said["error"], said.get("hint", "")
    except (ValueError, LookupError, TypeError):
        return _stranger(place)
    if error.code == 400:  # the request itself is wrong
        return UsageError(text, hint)
    return TandemError(f"{format_host_port(*place)}: {text}", _HINTS.get(error.code, ""))


def _stranger(place: Place) -> TandemError:
    hint = "--admin HOST:PORT names it; a client's is 127.0.0.1:8119 by default, a server's 127.0.0.1:8118"
    return TandemError(f"{format_host_port(*place)} is not the admin endpoint of a Tandem", hint)


_HINTS = {
    401: "it runs under another user, or with another token",
    404: "this is a server; the command is for a client",
}
