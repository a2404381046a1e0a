"""The clients of a server, for whoever has the token of the admin endpoint (docs/registry.md)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from tandem.admin.actions import Actions, Nothing, parse
from tandem.base.errors import UsageError
from tandem.base.threads import Threads
from tandem.config.config import Config
from tandem.registry.registration import Terms
from tandem.registry.registry import Registry
from tandem.registry.source import ClientSource
from tandem.registry.terms_text import changed_terms, described
from tandem.server.inviting import MadeInvite, make_invite
from tandem.server.qr import qr_path
from tandem.server.state import StateDirectory

T = TypeVar("T")

_THREADS = 4

Follow = Callable[[str], Awaitable[dict[str, object]]]
"""Reads what has changed in the registry, and tells how many sessions a client has, and what the problem is."""


class Named(BaseModel):
    """The body of a POST about one client."""

    model_config = ConfigDict(extra="forbid")

    name: str


class NewTerms(Named):
    """The body of POST /clients/set: what is left out stays as it is. The words are those of `tandem clients set`."""

    quota: str | None = None
    month_begins: str | None = None
    expires: str | None = None
    rate: str | None = None
    max_streams: str | None = None
    note: str | None = None


class NewClient(Named):
    """The body of POST /clients/invite. Without endpoints, the invite leads where `tandem invite` would lead it."""

    endpoints: list[str] = []
    replace: bool = False


class ClientAdministration:
    """The actions of the admin endpoint that concern clients."""

    def __init__(self, config: Config, state: StateDirectory, source: ClientSource, follow: Follow) -> None:
        """`follow`: makes this server, with all its workers, read what has changed in the registry."""
        self._config, self._state = config, state
        self._source, self._read_changes = source, follow
        self._threads = Threads(_THREADS)

    @property
    def actions(self) -> Actions:
        """The actions, by path."""
        return {
            "clients": self._list,
            "clients/show": self._show,
            "clients/set": self._set,
            "clients/kick": self._kick,
            "clients/disable": lambda body: self._disable(body, is_disabled=True),
            "clients/enable": lambda body: self._disable(body, is_disabled=False),
            "clients/follow": self._follow,
            "clients/invite": self._invite,
            "clients/revoke": self._revoke,
            "servers": self._servers,
        }

    async def _list(self, body: bytes) -> dict[str, object]:
        parse(Nothing, body)
        found = await self._run(lambda registry: registry.all())
        said = await self._read_changes("")
        return {"clients": [described(item) for item in found], "problem": said["problem"]}

    async def _show(self, body: bytes) -> dict[str, object]:
        name = parse(Named, body).name
        return described(await self._run(lambda registry: registry.get(name)))

    async def _set(self, body: bytes) -> dict[str, object]:
        given = parse(NewTerms, body)
        words = given.model_dump(exclude={"name"}, exclude_none=True)

        await self._run(lambda registry: registry.change_terms(given.name, lambda terms: changed_terms(terms, words)))
        await self._read_changes(given.name)
        return await self._show(Named(name=given.name).model_dump_json().encode())

    async def _kick(self, body: bytes) -> dict[str, object]:
        name = parse(Named, body).name
        await self._run(lambda registry: registry.kick(name))
        await self._read_changes(name)
        return {"kicked": name}

    async def _disable(self, body: bytes, *, is_disabled: bool) -> dict[str, object]:
        name = parse(Named, body).name

        def change(terms: Terms) -> Terms:
            return replace(terms, is_disabled=is_disabled)

        await self._run(lambda registry: registry.change_terms(name, change))
        await self._read_changes(name)
        return {"name": name, "disabled": is_disabled}

    async def _follow(self, body: bytes) -> dict[str, object]:
        """Follows the registry at once, so that an admin can confirm a change; tells how many sessions a client has."""
        return await self._read_changes(parse(Named, body).name)

    async def _invite(self, body: bytes) -> dict[str, object]:
        """Registers a client. The answer is the only place where its invite stands: the server keeps no private key."""
        given = parse(NewClient, body)

        def register(registry: Registry) -> MadeInvite:
            return make_invite(self._config, self._state, registry, given.name, given.endpoints, replace=given.replace)

        made = await self._run(register)
        await self._read_changes(given.name)
        code = qr_path(made.text)
        return {"name": given.name, "invite": made.text, "qr": code._asdict() if code is not None else None}

    async def _revoke(self, body: bytes) -> dict[str, object]:
        name = parse(Named, body).name
        await self._run(lambda registry: registry.remove(name))
        return {"revoked": name} | await self._read_changes(name)

    async def _servers(self, body: bytes) -> dict[str, object]:
        """The servers that share the registry."""
        parse(Nothing, body)
        found = await self._run(lambda registry: registry.fleet.all())
        return {"servers": [server.described() for server in found]}

    async def _run(self, change: Callable[[Registry], T]) -> T:
        """Calls a function with the registry, in a thread. Raises UsageError where the registry is a service."""
        source = self._source
        if not isinstance(source, Registry):
            raise UsageError(
                "the registry is a service (`url` in [registry])", "its clients are listed and changed there"
            )
        return await self._threads.run(lambda: change(source))
