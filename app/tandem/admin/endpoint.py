"""The admin endpoint: anybody who reaches it may use `/healthz` and `/metrics`; `/status` and all POSTs need the token.

A web page can make a browser send requests here. So every request needs a literal address or a configured name as
its Host, and no Origin. This refuses a name that the owner of a page has bound to this address (DNS rebinding).
"""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection
from inspect import isawaitable

from aiohttp import web

from tandem.admin import metrics
from tandem.admin.actions import Actions
from tandem.admin.status import Status
from tandem.base.addresses import format_host_port, is_loopback, parse_host_port
from tandem.base.errors import TandemError, os_error_text
from tandem.config.config import AdminConfig
from tandem.process import runtime

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
AskStatus = Callable[[], Status | Awaitable[Status]]
"""Returns the present status, at once or after other processes were asked."""

_LARGEST_BODY = 64 << 10
_SHUTDOWN_TIMEOUT = 0.5
"""Seconds that answers under way have when this process ends; it does not wait for a speedtest."""

HEAD_TIMEOUT = 10.0
"""Seconds that the head of a request may take, and for which a connection may be idle between two requests."""


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
    ) -> None:
        """Without a token, one is created, which the command line finds. `names`: host names that requests may use."""
        self._host, self._port = host, port
        self._status = status
        self._actions = dict(actions or {})
        self._token = token
        self._names = frozenset(name.lower() for name in names)
        self._is_published = False
        """Whether the token is in the runtime directory."""
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._unheard: set[web.RequestHandler] = set()
        """New connections that have not sent a whole head yet."""

    @classmethod
    def configured(
        cls,
        section: AdminConfig,
        default_port: int,
        status: AskStatus,
        actions: Actions | None = None,
    ) -> "AdminEndpoint":
        """An endpoint as the configuration says; on loopback where it says nothing."""
        host, port = parse_host_port(section.listen or f"127.0.0.1:{default_port}", what="admin")
        token = section.token.get_secret_value() if section.token is not None else None
        return cls(host, port, status, actions=actions, token=token, names=section.names)

    async def start(self) -> None:
        """Starts to serve. Raises TandemError where it cannot listen on the address."""
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_BODY)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._get_status)
        app.router.add_post("/{action:.+}", self._post)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
            keepalive_timeout=HEAD_TIMEOUT,
        )
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connection, self._host, self._port)
        except OSError as error:
            await self._runner.cleanup()
            place = format_host_port(self._host, self._port)
            hint = "another Tandem may be running: a second one needs another --admin, and a client another --socks too"
            raise TandemError(f"admin endpoint {place}: {os_error_text(error)}", hint) from error
        if self._token is None:
            self._token = runtime.publish_token(self._port)
            self._is_published = True

    async def close(self) -> None:
        """Stops serving, and deletes the token that was created."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._is_published:
            runtime.withdraw_token(self._port)

    # --- connections ---

    def _connection(self) -> asyncio.Protocol:
        """Accepts a connection, which must send a head in time: connections are few, and cost nothing to open."""
        assert self._runner is not None
        assert self._runner.server is not None
        protocol = self._runner.server()
        self._unheard.add(protocol)
        asyncio.get_running_loop().call_later(HEAD_TIMEOUT, self._end_if_silent, protocol)
        return protocol

    def _end_if_silent(self, protocol: web.RequestHandler) -> None:
        if protocol in self._unheard:
            self._unheard.discard(protocol)
            protocol.force_close()

    # --- requests ---

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self._unheard.discard(request.protocol)
        if not self._is_called(request.headers.get("Host", "")):
            return _error(403, "call it by its address, or by one of the `names` in the [admin] section")
        if "Origin" in request.headers:
            return _error(403, "no web page may use this")
        return await handler(request)

    def _is_called(self, host: str) -> bool:
        """Whether a request's Host is ours. A literal address is safe: unlike a name, nobody can bind it elsewhere."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in self._names:
            return True
        literal = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        try:
            address = ipaddress.ip_address(literal)
        except ValueError:
            return False
        return address.is_loopback or not is_loopback(self._host)

    async def _healthz(self, request: web.Request) -> web.Response:
        status = await self._present()
        text = {"healthy": status.is_healthy} | ({} if status.is_healthy else {"reason": status.problem})
        text |= {"warning": status.warning} if status.warning else {}
        return web.json_response(text, status=200 if status.is_healthy else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        text = metrics.render(await self._present())
        return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _get_status(self, request: web.Request) -> web.Response:
        self._check_token(request)
        return web.Response(text=(await self._present()).model_dump_json(), content_type="application/json")

    async def _present(self) -> Status:
        found = self._status()
        return await found if isawaitable(found) else found

    async def _post(self, request: web.Request) -> web.Response:
        self._check_token(request)
        action = self._actions.get(request.match_info["action"])
        if action is None:
            return _error(404, "there is no such action here")
        try:
            return web.json_response(await action(await request.read()))
        except TandemError as error:
            return web.json_response({"error": str(error), "hint": error.hint}, status=400)

    def _check_token(self, request: web.Request) -> None:
        """Raises HTTPUnauthorized where the token of a request is missing or wrong."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given, expected = token.encode(errors="surrogateescape"), (self._token or "").encode()
        if scheme != "Bearer" or not expected or not hmac.compare_digest(given, expected):
            text = json.dumps({"error": "the token is missing or wrong"})
            raise web.HTTPUnauthorized(text=text, content_type="application/json")


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
