"""Makes invites: registers a client with a new key, and says where it finds the servers."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tandem.base.addresses import parse_endpoint
from tandem.base.errors import UsageError
from tandem.config.config import Config
from tandem.config.invites import MAX_SERVERS, Invite, encode_fleet
from tandem.registry.fleet import FleetServer
from tandem.registry.opening import is_local
from tandem.registry.registry import Registry
from tandem.server.state import StateDirectory
from tandem_transport import public_key


@dataclass(frozen=True, slots=True)
class MadeInvite:
    """An invite that was made."""

    text: str
    """The invite, which is a secret."""
    servers: Sequence[str] = ()
    """The names of the servers that it leads to, where it is for several."""
    endpoints: Sequence[str] = ()
    """The endpoints of this server, where it is for this one alone."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a client finds its servers: those of the registry, or the endpoints of this one alone."""

    fleet: Sequence[FleetServer] = ()
    endpoints: Sequence[str] = ()

    def encode(self, server_public: bytes, private: bytes, name: str) -> MadeInvite:
        """The invite of a client with this private key."""
        found = [Invite(one.public_key, private, one.endpoints, name) for one in self.fleet]
        if len(found) == 1:
            return MadeInvite(found[0].encode())
        if found:
            return MadeInvite(encode_fleet(found), [one.name for one in self.fleet])
        text = Invite(server_public, private, tuple(self.endpoints), name).encode()
        return MadeInvite(text, endpoints=self.endpoints)


def places(config: Config, registry: Registry | None, endpoints: Sequence[str]) -> Places:
    """Where an invite leads: to `endpoints`, else to all servers of the registry, else to this server's `public`.

    Raises UsageError where that is nowhere, or where it is too many servers.
    """
    fleet = () if endpoints or registry is None else _fleet(config, registry)
    return Places(fleet=fleet) if fleet else Places(endpoints=_checked(endpoints or config.server.public))


def make_invite(
    config: Config,
    state: StateDirectory,
    registry: Registry,
    name: str,
    endpoints: Sequence[str] = (),
    *,
    replace: bool = False,
) -> MadeInvite:
    """Registers a client and makes its invite; `replace`: it may be registered already, and gets another key.

    Raises UsageError where the name is taken or not allowed, or the invite would lead nowhere.
    """
    found = places(config, registry, endpoints)
    private = os.urandom(32)
    registered = registry.count() if is_local(config.registry) else 0
    server_public = state.server_public_key(registered=registered)
    registry.add(name, public_key(private), replace=replace)
    return found.encode(server_public, private, name)


def _fleet(config: Config, registry: Registry) -> Sequence[FleetServer]:
    """The servers of a registry; none where it is this server's own, and has no other."""
    found = registry.fleet.all()
    if len(found) > MAX_SERVERS:
        text = f"{len(found)} servers are in the registry; an invite names at most {MAX_SERVERS}"
        raise UsageError(text, "--endpoint names this server alone; `tandem servers --forget NAME` removes one")
    return [] if is_local(config.registry) and len(found) < 2 else found


def _checked(endpoints: Sequence[str]) -> Sequence[str]:
    if not endpoints:
        hint = "--endpoint HOST:8120 --endpoint HOST:8121, or `public` in the [server] section of the configuration"
        raise UsageError("no endpoint: the client would not know where this server is", hint)
    for item in endpoints:
        parse_endpoint(item, what="--endpoint")
    return endpoints
