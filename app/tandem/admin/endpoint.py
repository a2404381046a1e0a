"""The admin endpoint. Everybody who reaches it may use `/healthz`, `/metrics` and, without destinations, the page.

`/status` and whatever changes something are for those who have the token, or a browser that has logged in with it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from inspect import isawaitable

from pydantic import BaseModel, ConfigDict

from tandem.admin.actions import Actions, parse
from tandem.admin.admission import Admission
from tandem.admin.history import SAMPLE_INTERVAL, LinkSample, StatusHistory
from tandem.admin.live import LiveStatus, Mark
from tandem.admin.status import Status
from tandem.base.addresses import format_host_port, parse_host_port
from tandem.base.errors import TandemError, os_error_text
from tandem.base.tasks import TaskSet
from tandem.base.waking import until_multiple
from tandem.config.config import AdminConfig
from tandem.process import runtime
from tandem.web.files import HEADERS, page_file
from tandem.web.logins import Logins
from tandem.web.messages import JSON, Answer, Request, json_answer, refusal
from tandem.web.server import HttpServer

AskStatus = Callable[[], Status | Awaitable[Status]]
"""Returns the present status, at once or after other processes were asked."""

log = logging.getLogger("tandem.admin")

_EVENT_STREAM = "text/event-stream"


class LoginRequest(BaseModel):
    """The body of POST /login: the token, or a ticket of `tandem open`."""

    model_config = ConfigDict(extra="forbid")

    secret: str


class AdminEndpoint:
    """The HTTP server of the admin endpoint."""

    def __init__(
        self,
        host: str,
        port: int,
        status: AskStatus,
        *,
        actions: Actions | None = None,
        token: str | None = None,
        names: Collection[str] = (),
        marks: Callable[[], Sequence[Mark]] = list,
    ) -> None:
        """`token`: a configured one, for browsers and programs elsewhere. `names`: host names that requests may use.

        `marks`: what has happened in the last hour, which the page draws into its charts.
        """
        self._host, self._port = host, port
        self._status = status
        self._actions = dict(actions or {})
        self._has_token = token is not None
        self._own_token = runtime.new_token()
        """The token of this process, which the command line finds."""
        self._logins = Logins(lambda: [token or self._own_token, self._own_token], name=f"tandem-{port}")
        self._admission = Admission(host, names, self._logins)
        self._history = StatusHistory()
        self._live = LiveStatus(self._present, self._history, marks)
        self._is_published = False
        """Whether the command line finds the token in the runtime directory."""
        self._server, self._tasks = HttpServer(self._answer), TaskSet()

    @classmethod
    def configured(
        cls,
        section: AdminConfig,
        default_port: int,
        status: AskStatus,
        actions: Actions | None = None,
        marks: Callable[[], Sequence[Mark]] = list,
    ) -> "AdminEndpoint":
        """An endpoint as the configuration says; on loopback where it says nothing."""
        host, port = parse_host_port(section.listen or f"127.0.0.1:{default_port}", what="admin")
        token = section.token.get_secret_value() if section.token is not None else None
        return cls(host, port, status, actions=actions, token=token, names=section.names, marks=marks)

    async def start(self) -> None:
        """Starts to serve. Raises TandemError where it cannot listen on the address."""
        try:
            await self._server.listen(self._host, self._port)
        except OSError as error:
            place = format_host_port(self._host, self._port)
            hint = "another Tandem may be running: a second one needs another --admin, and a client another --socks too"
            raise TandemError(f"admin endpoint {place}: {os_error_text(error)}", hint) from error
        self._publish_token()

    def keep_history(self, samples: Callable[[], Mapping[str, LinkSample]]) -> None:
        """Begins to keep the last hour of a client's links; `samples` tells what they do now, by name."""
        self._tasks.begin(self._keep_history(samples))

    async def close(self) -> None:
        """Stops serving, and deletes the token that was created."""
        await self._tasks.cancel()
        await self._server.close()
        if self._is_published:
            runtime.withdraw_token(self._port)

    def _publish_token(self) -> None:
        """Leaves this process's token for the command line. Raises TandemError where then nobody would know any."""
        try:
            runtime.publish_token(self._port, self._own_token)
            self._is_published = True
        except TandemError:
            if not self._has_token:
                raise

    # --- requests ---

    async def _answer(self, request: Request) -> Answer:
        answer = self._admission.refuses(request) or await self._route(request)
        return replace(answer, headers={**HEADERS, **answer.headers})

    async def _route(self, request: Request) -> Answer:
        if request.method == "POST":
            try:
                return await self._post(request)
            except TandemError as error:
                return json_answer({"error": str(error), "hint": error.hint}, 400)
        if request.method not in ("GET", "HEAD"):
            return replace(refusal(405, "this takes GET and POST"), headers={"Allow": "GET, HEAD, POST"})
        match request.path:
            case "/healthz":
                return await self._healthz(request)
            case "/metrics":
                return await self._metrics()
            case "/status":
                return await self._get_status(request)
            case "/live":
                return self._watch(request)
            case path:
                return page_file(path) or refusal(404, "there is nothing at this path")

    async def _healthz(self, request: Request) -> Answer:
        """The reason may name addresses: where other machines reach this, it is for those who have logged in."""
        status = await self._present()
        may_read = self._admission.is_local or self._admission.may_read(request)
        text: dict[str, object] = {"healthy": status.is_healthy}
        if not status.is_healthy and may_read:
            text["reason"] = status.problem
        if status.warning and may_read:
            text["warning"] = status.warning
        return json_answer(text, 200 if status.is_healthy else 503)

    async def _metrics(self) -> Answer:
        await asyncio.to_thread(import_module, "tandem.admin.metrics")  # once; the session's packets go on meanwhile
        from tandem.admin import metrics  # only a monitor needs prometheus-client, which costs megabytes

        return Answer(body=metrics.render(await self._present()), content_type=metrics.CONTENT_TYPE)

    async def _get_status(self, request: Request) -> Answer:
        if not self._admission.may_read(request):
            return _unknown()
        return Answer(body=(await self._present()).model_dump_json().encode(), content_type=JSON)

    def _watch(self, request: Request) -> Answer:
        def is_public() -> bool:
            return not self._admission.may_read(request)

        if self._live.is_full(is_public=is_public()):
            return refusal(503, "too many pages are open")
        if request.method == "HEAD":
            return Answer(content_type=_EVENT_STREAM)
        parts = self._live.parts(is_public)
        return Answer(content_type=_EVENT_STREAM, parts=parts)

    async def _post(self, request: Request) -> Answer:
        if request.path == "/login":
            return self._log_in(request)
        if not self._admission.may_change(request):
            return _unknown()
        match request.path:
            case "/logout":
                return json_answer({}, headers={"Set-Cookie": self._logins.log_out()})
            case "/ticket":
                return json_answer({"ticket": self._logins.ticket(now=time.monotonic())})
            case path:
                return await self._act(path.removeprefix("/"), request.body)

    def _log_in(self, request: Request) -> Answer:
        secret = parse(LoginRequest, request.body).secret
        login = self._logins.log_in(secret, now=time.monotonic(), today=time.time())
        if login is None:
            return refusal(401, "this is not the token", "`tandem open` logs in; [admin] token is what you have set")
        return json_answer({"key": login.key}, headers={"Set-Cookie": login.cookie})

    async def _act(self, name: str, body: bytes) -> Answer:
        action = self._actions.get(name)
        if action is None:
            return refusal(404, "there is no such action here")
        return json_answer(await action(body))

    # --- the status ---

    async def _present(self) -> Status:
        found = self._status()
        return await found if isawaitable(found) else found

    async def _keep_history(self, samples: Callable[[], Mapping[str, LinkSample]]) -> None:
        while True:
            try:
                self._history.note(samples(), at=time.time())
            except Exception:
                log.exception("a sample for the charts is missing")
            await asyncio.sleep(until_multiple(SAMPLE_INTERVAL))  # as the checks of the links do


def _unknown() -> Answer:
    return refusal(401, "the token is missing or wrong")
