"""The configuration: defaults < TOML file < environment < options, one schema for all of them.

All mistakes are reported at once, each with its place, the value, and what is accepted.
"""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from tandem.addresses import is_loopback, parse_host_port
from tandem.config_errors import describe
from tandem.errors import UsageError

ENV_PREFIX = "TANDEM_"
CLIENT_ADMIN_PORT = 8119
SERVER_ADMIN_PORT = 8118


def _host_port(text: str) -> str:
    try:
        parse_host_port(text, what="address")
    except UsageError as error:
        raise ValueError(f"{error}; {error.hint}") from error
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; accepted is ADDRESS/BITS, such as 192.168.1.0/24") from error
    return text


HostPort = Annotated[str, AfterValidator(_host_port)]
Network = Annotated[str, AfterValidator(_network)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkConfig(_Section):
    """One link of a client."""

    name: str = Field(min_length=1, max_length=40)
    bind: str = Field(min_length=1, description="a local address, or the name of an interface")
    endpoint: HostPort | None = Field(
        default=None, description="the server's address for this link; default: the invite's"
    )


class ListenConfig(_Section):
    """A local port whose connections go to a forward of the server."""

    port: Port
    forward: str = Field(min_length=1)
    host: str = "127.0.0.1"


class SocksConfig(_Section):
    """The SOCKS port."""

    listen: HostPort = "127.0.0.1:1080"
    fast_open: Literal["off", "known", "always"] = Field(
        default="known",
        description="whom the client tells at once that they are connected: nobody, connections to a host and port "
        "that was reached in the last 10 minutes, or all; if the server then cannot connect, the connection is reset",
    )

    @model_validator(mode="after")
    def _loopback(self) -> "SocksConfig":
        host, _ = parse_host_port(self.listen, what="listen")
        if not is_loopback(host):
            raise ValueError(f"listen: {self.listen} would be open to everybody who reaches it; use a loopback address")
        return self


class AdminConfig(_Section):
    """The admin endpoint: status and health."""

    listen: HostPort | None = Field(default=None, description="default: 127.0.0.1:8119, server 127.0.0.1:8118")
    token: SecretStr | None = Field(default=None, description="needed for an address that is not loopback")

    @model_validator(mode="after")
    def _token(self) -> "AdminConfig":
        if self.listen is None or self.token is not None:
            return self
        host, _ = parse_host_port(self.listen, what="listen")
        if not is_loopback(host):
            raise ValueError(f"listen: {self.listen} is not a loopback address; set a token, or use 127.0.0.1")
        return self


class ServerConfig(_Section):
    """The server."""

    listen: list[HostPort] = Field(default=["0.0.0.0:8120", "0.0.0.0:8121", "[::]:8120", "[::]:8121"], min_length=1)
    state: Path | None = Field(default=None, description="directory with the server's key and its clients")
    public: list[HostPort] = Field(default=[], description="addresses that invites name as endpoints")
    dial: bool = Field(default=True, description="false: forwards only")
    allow: list[Network] = Field(default=[], description="private networks that clients may reach all the same")


class ForwardConfig(_Section):
    """What a destination becomes at the server."""

    match: str = Field(min_length=1, description="a name, or HOST:PORT with * for either")
    target: HostPort


class Config(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    mode: Literal["duplicate", "adaptive"] = Field(default="adaptive", description="how the links are used")
    invite: SecretStr | None = None
    link: list[LinkConfig] = []
    listen: list[ListenConfig] = []
    socks: SocksConfig = SocksConfig()
    admin: AdminConfig = AdminConfig()
    server: ServerConfig = ServerConfig()
    forward: list[ForwardConfig] = []

    @model_validator(mode="after")
    def _distinct(self) -> "Config":
        for what, values in (
            ("link: name", [link.name for link in self.link]),
            ("listen: port", [str(listen.port) for listen in self.listen]),
            ("forward: match", [forward.match for forward in self.forward]),
        ):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise ValueError(f"{what} {', '.join(sorted(twice))} is there twice")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file_in_use)


_file_in_use: Path | None = None


def default_file() -> Path | None:
    """The configuration file that is read when none is named, if there is one."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    candidates = (Path(base) / "tandem" / "tandem.toml", Path("/etc/tandem/tandem.toml"))
    return next((path for path in candidates if path.is_file()), None)


def load(file: Path | None = None, options: Mapping[str, Any] | None = None) -> Config:
    """Reads all sources. Raises UsageError with every mistake in it."""
    global _file_in_use  # pydantic-settings builds its sources in a class method
    if file is not None and not file.is_file():
        raise UsageError(f"{file}: no such file", "--config names a TOML file")
    _file_in_use = file or default_file()
    options = dict(options or {})
    try:
        config = Config(**options)
    except ValidationError as error:
        raise describe(error, Config, file=_file_in_use, options=options, environment=os.environ) from None
    except SettingsError as error:
        raise UsageError(f"environment: {error}", "lists and tables are written as JSON there") from None
    except ValueError as error:  # tomllib
        raise UsageError(f"{_file_in_use}: {error}", "the file must be TOML") from None
    _check_environment()
    return config


def _check_environment() -> None:
    unknown = [
        name
        for name in os.environ
        if name.upper().startswith(ENV_PREFIX)
        and name.removeprefix(ENV_PREFIX).lower().split("__")[0] not in Config.model_fields
    ]
    if unknown:
        known = ", ".join(sorted(Config.model_fields))
        raise UsageError(
            f"environment: unknown {', '.join(sorted(unknown))}", f"after {ENV_PREFIX} comes one of: {known}"
        )
