"""The sections of the configuration that are a server's."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from tandem.config.patterns import ACCEPTED, looks_like_a_host
from tandem.config.values import (
    Address,
    Directory,
    EndpointText,
    HostPort,
    Match,
    Network,
    Section,
    Size,
    Target,
    Token,
)


class ServerConfig(Section):
    """The server."""

    listen: list[HostPort] = Field(default=["0.0.0.0:8120", "0.0.0.0:8121", "[::]:8120", "[::]:8121"], min_length=1)
    state: Directory | None = Field(default=None, description="directory with the server's key and its clients")
    listen_tls: list[HostPort] = Field(
        default=[],
        description="TCP addresses for clients whose networks drop UDP, such as 0.0.0.0:443; strangers see a web "
        "server without a site",
    )
    public: list[EndpointText] = Field(
        default=[], description="addresses that invites name as endpoints; with a shared registry, of all servers in it"
    )
    name: str = Field(
        default="", max_length=64, description="the server's name among those of its registry; default: the machine's"
    )
    dial: bool = Field(default=True, description="false: forwards only")
    allow: list[Network] = Field(default=[], description="private networks that clients may reach")
    source: list[Address] = Field(default=[], description="local addresses to dial from, at most one of each family")
    hosts: dict[str, Annotated[list[Address], Field(min_length=1)]] = Field(
        default={}, description="addresses of names that no name server is asked for"
    )
    dns_cache: float = Field(default=0, ge=0, le=60, description="seconds for which names are remembered")
    bind: Literal["off", "named", "anyone"] = Field(
        default="named",
        description="SOCKS BIND: not offered, for one connection from the host that the client names, or from anyone",
    )
    drain: float = Field(
        default=10, ge=0, le=3600, description="seconds that open connections have when the server is told to stop"
    )
    upgrade_drain: float = Field(
        default=3600, ge=0, description="seconds that open connections have where other workers take their place"
    )
    workers: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default=1,
        description="processes that serve (Linux); auto: one for each core; each client is served by one",
    )
    sessions: int | None = Field(
        default=None, ge=1, le=1_000_000, description="clients at the same time; default: as many as `memory` is for"
    )
    memory: Size | None = Field(
        default=None, description="for the data of all connections; default: a quarter of the machine's"
    )
    resets: float = Field(
        default=2000, gt=0, description="clients that are told in a second that their session is forgotten"
    )
    max_streams: int = Field(default=4096, ge=1, description="connections of each client at the same time")
    max_new_streams: float = Field(default=200, gt=0, description="connections that each client may open a second")

    @model_validator(mode="after")
    def _one_source_a_family(self) -> "ServerConfig":
        families = [":" in source for source in self.source]
        if len(set(families)) < len(families):
            raise ValueError("source: two addresses of one family")
        return self


class ForwardConfig(Section):
    """What a destination becomes at the server."""

    match: Match = Field(description=f"what a client asks for: {ACCEPTED}")
    target: Target = Field(description="HOST:PORT, or HOST:* for the port that was asked for")


class RuleConfig(Section):
    """Who may reach what. The first rule that matches counts; `[[forward]]` come after all of them."""

    action: Literal["allow", "deny", "forward"]
    match: Match = Field(description=f"what a client asks for: {ACCEPTED}")
    client: str = Field(default="*", min_length=1, description="the clients that the rule is about, * for any text")
    target: Target | None = Field(default=None, description="with forward: HOST:PORT, or HOST:*")

    @model_validator(mode="after")
    def _complete(self) -> "RuleConfig":
        if (self.action == "forward") != (self.target is not None):
            raise ValueError("target: it belongs to `forward`, and only there")
        if self.action != "forward" and looks_like_a_host(self.match):
            raise ValueError(
                f"match: {self.match!r} has no port, so it is the name of a forward; write {self.match}:* for a host"
            )
        return self


class QuotaConfig(Section):
    """Other limits for some of a server's clients; the first that fits counts."""

    name: str = Field(min_length=1, description="the client's name, * for any text")
    max_streams: int | None = Field(default=None, ge=1, description="default: that of [server]")
    max_new_streams: float | None = Field(default=None, gt=0, description="default: that of [server]")


class RegistryConfig(Section):
    """Where a server's clients are registered."""

    url: SecretStr | None = Field(
        default=None,
        description="sqlite:////PATH, postgresql://USER@HOST/NAME for several servers, or the https:// address of a "
        "service that is asked who a key is; default: a file in the state directory",
    )
    token: Token | None = Field(default=None, description="sent to the service, so that it knows this server")
