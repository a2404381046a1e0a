"""The configuration: defaults < TOML file < environment < options, one schema for all of them.

All mistakes are reported at once, each with its place, the value, and what is accepted.
"""

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from tandem.base.addresses import is_loopback, parse_host_port
from tandem.base.errors import UsageError
from tandem.base.private_files import is_open_to_others, read_text
from tandem.base.units import RATES, SIZES, parse_size
from tandem.config.client_sections import LINK, SERVER, ExitConfig, RouteConfig
from tandem.config.errors import describe, with_mistakes
from tandem.config.old_names import is_old_variable, present_link, variables_of_old, with_present_names
from tandem.config.passwords import is_hash
from tandem.config.publish_section import PublishConfig, offered_by_several, published_twice
from tandem.config.server_sections import ForwardConfig, QuotaConfig, RegistryConfig, RuleConfig, ServerConfig
from tandem.config.transparent_section import TransparentConfig
from tandem.config.values import (
    MIN_TOKEN,
    EndpointText,
    HostPort,
    Network,
    Port,
    Rate,
    Section,
    Size,
    Token,
    matches_name,
)

ENV_PREFIX = "TANDEM_"
CLIENT_ADMIN_PORT = 8119
SERVER_ADMIN_PORT = 8118


class LinkConfig(Section):
    """One link of a client."""

    name: str = Field(min_length=1, max_length=40)
    bind: str = Field(
        min_length=1,
        description="a local address, or the name of an interface; * in it for any text, * alone for all that lead out",
    )
    endpoint: EndpointText | None = Field(
        default=None,
        description="the server's address for this link, HOST:PORT or tls://HOST:PORT; default: the invite's",
    )
    transport: Literal["auto", "udp", "tls"] = Field(
        default="auto",
        description="auto: UDP, and TLS to a tls:// endpoint while UDP is not answered; or only one of them",
    )
    use: Literal["available", "metered", "backup"] = Field(
        default="available",
        description="metered: only copies of interactive data, while another link works; backup: nothing",
    )
    max_rate: Rate | None = Field(default=None, description=f"the most it may carry, each way: {RATES}")
    daily_cap: Size | None = Field(default=None, description=f"beyond it the link is not used that day: {SIZES}")
    monthly_cap: Size | None = Field(default=None, description=f"the same for a month: {SIZES}")

    @model_validator(mode="before")
    @classmethod
    def _present_names(cls, fields: object) -> object:
        return present_link(fields)

    @property
    def daily_bytes(self) -> int | None:
        """The daily cap in bytes, None without one."""
        return None if self.daily_cap is None else parse_size(self.daily_cap)

    @property
    def monthly_bytes(self) -> int | None:
        """The monthly cap in bytes, None without one."""
        return None if self.monthly_cap is None else parse_size(self.monthly_cap)


class ListenConfig(Section):
    """A local port whose connections go to a forward of the server."""

    port: Port
    forward: str = Field(min_length=1)
    host: str = "127.0.0.1"
    allow_from: list[Network] = Field(
        default=[],
        description="networks from which it may be used, beside this machine itself; default: those of [socks]",
    )


class UserConfig(Section):
    """Someone who may use the SOCKS port."""

    name: str = Field(min_length=1, max_length=255)
    password: SecretStr = Field(description="its hash, as `tandem password` prints it")

    @model_validator(mode="after")
    def _hashed(self) -> "UserConfig":
        if not is_hash(self.password.get_secret_value()):
            raise ValueError(f"password of {self.name}: it must be a hash; `tandem password` makes one")
        return self


class SocksConfig(Section):
    """The SOCKS port."""

    listen: HostPort = "127.0.0.1:1080"
    fast_open: Literal["off", "known", "always"] = Field(
        default="known",
        description="which requests get an immediate success: none, those to a host and port that was reached in the "
        "last 10 minutes, or all; if the server then cannot connect, the connection is reset",
    )

    user: list[UserConfig] = Field(default=[], description="who may use it, with a password; none: anybody")
    allow_from: list[Network] = Field(
        default=[], description="networks from which it may be used, beside this machine itself; none: all"
    )
    allow: list[Network] = Field(
        default=[],
        description="private networks of this machine that clients on other machines may reach past the session",
    )
    advertise: str = Field(
        default="",
        description="the address that clients are told for UDP and in the PAC file; default: the one they have reached",
    )
    idle_timeout: float = Field(default=0, ge=0, description="seconds of silence that end a connection; 0: none do")
    udp_idle_timeout: float = Field(
        default=120, ge=1, description="seconds of silence after which a UDP port is given up"
    )

    @model_validator(mode="after")
    def _closed(self) -> "SocksConfig":
        host, _ = parse_host_port(self.listen, what="listen")
        if not is_loopback(host) and not self.user and not self.allow_from:
            raise ValueError(
                f"listen: {self.listen} would be open to everybody who reaches it; use a loopback address, or set "
                'allow_from = ["NETWORK/BITS"] or [[socks.user]]'
            )
        names = [user.name for user in self.user]
        if len(set(names)) < len(names):
            raise ValueError("user: a name is there twice")
        return self


class AdminConfig(Section):
    """The admin endpoint: status and health."""

    listen: HostPort | None = Field(default=None, description="default: 127.0.0.1:8119, server 127.0.0.1:8118")
    token: Token | None = Field(
        default=None, description=f"needed for an address that is not loopback; at least {MIN_TOKEN} characters"
    )
    names: list[str] = Field(
        default=[], description="host names by which it may be called; by an address it always may"
    )

    @model_validator(mode="after")
    def _token(self) -> "AdminConfig":
        if self.listen is None or self.token is not None:
            return self
        host, _ = parse_host_port(self.listen, what="listen")
        if not is_loopback(host):
            raise ValueError(f"listen: {self.listen} is not a loopback address; set a token, or use 127.0.0.1")
        return self


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
    invite: SecretStr | None = Field(
        default=None,
        description="client: a secret, so this file must be its owner's alone; or @FILE, which must be so too",
    )
    log_targets: bool = Field(
        default=True,
        description="logs tell where each connection leads; false: only that there was one, and how it ended",
    )
    outage: Literal["hold", "direct"] = Field(
        default="hold",
        description="new connections while the server does not answer: they wait for it, or go out from this machine, "
        "which shows its address",
    )
    outage_after: float = Field(default=30, ge=5, description="seconds of silence from which on `outage` counts")
    route: list[RouteConfig] = []
    exit: list[ExitConfig] = []
    link: list[LinkConfig] = []
    listen: list[ListenConfig] = []
    socks: SocksConfig = SocksConfig()
    transparent: TransparentConfig = TransparentConfig()
    admin: AdminConfig = AdminConfig()
    server: ServerConfig = ServerConfig()
    registry: RegistryConfig = RegistryConfig()
    quota: list[QuotaConfig] = []
    rule: list[RuleConfig] = []
    forward: list[ForwardConfig] = []
    publish: list[PublishConfig] = []

    @model_validator(mode="wrap")
    @classmethod
    def _distinct(cls, given: Any, validate: ModelWrapValidatorHandler["Config"]) -> "Config":
        """Reports what is there twice together with all other mistakes."""
        twice = [*_repeated(given), *_open_ports(given), *_unknown_ways(given), *_unknown_users(given)]
        published, server = _tables(given.get("publish")), _tables([given.get("server")])
        twice += [*published_twice(published), *offered_by_several(published, server and server[0].get("workers"))]
        try:
            made = validate(given)
        except ValidationError as error:
            raise with_mistakes(error.errors(include_url=False), twice) from None
        if twice:
            raise with_mistakes([], twice)
        return made

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        content = {} if _file_in_use is None else tomllib.loads(read_text(_file_in_use))
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, init_kwargs=variables_of_old(os.environ, ENV_PREFIX)),
            InitSettingsSource(settings_cls, init_kwargs=with_present_names(content)),
        )


_DISTINCT = (("link", "name"), ("link", "bind"), ("listen", "port"), ("exit", "name"), ("forward", "match"))


def _repeated(given: Mapping[str, Any]) -> Iterator[str]:
    """Messages about values, as they were written, that are there twice but may be there only once."""
    for section, key in _DISTINCT:
        tables = _tables(given.get(section))
        values = [str(table[key]) for table in tables if key in table]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            hint = "; two links need two addresses or interfaces" if key == "bind" else ""
            yield f"{section}: {key} {', '.join(sorted(twice))} is there twice{hint}"


def _unknown_ways(given: Mapping[str, Any]) -> Iterator[str]:
    """Messages about routes over links, or through servers, that are not configured."""
    links = _tables(given.get("link"))
    are_known = bool(links) and not any("*" in str(table.get("bind")) for table in links)  # others are found
    for beginning, what, tables in ((LINK, "link", links), (SERVER, "[[exit]]", _tables(given.get("exit")))):
        names = {str(table.get("name")) for table in tables}
        for table in _tables(given.get("route")):
            via = str(table.get("via"))
            is_known = via.removeprefix(beginning) in names or (beginning == LINK and not are_known)
            if via.startswith(beginning) and not is_known:
                yield f"route: via {via}: there is no such {what}; there are: {', '.join(sorted(names)) or 'none'}"


def _unknown_users(given: Mapping[str, Any]) -> Iterator[str]:
    """Messages about routes for users that the SOCKS port does not have: such a route would never match."""
    users = [user for socks in _tables([given.get("socks")]) for user in _tables(socks.get("user"))]
    names = [str(user.get("name")) for user in users]
    for table in _tables(given.get("route")):
        user = str(table.get("user", "*"))
        if user != "*" and not any(matches_name(user, name) for name in names):
            yield f"route: user {user}: [[socks.user]] has no such name; it has: {', '.join(sorted(names)) or 'none'}"


def _open_ports(given: Mapping[str, Any]) -> Iterator[str]:
    """Messages about `[[listen]]` ports that anybody could use who reaches them, as for the SOCKS port."""
    everybody = any(table.get("allow_from") for table in _tables([given.get("socks")]))
    for table in _tables(given.get("listen")):
        host = str(table.get("host", "127.0.0.1"))
        if not is_loopback(host) and not table.get("allow_from") and not everybody:
            yield (
                f"listen: {host}:{table.get('port')} would be open to everybody who reaches it; use a loopback "
                'address, or set allow_from = ["NETWORK/BITS"] there or in the [socks] section'
            )


def _tables(items: object) -> list[Mapping[str, Any]]:
    """The tables in a list; other items, which are mistakes, are left out."""
    candidates = cast("Sequence[object]", items) if isinstance(items, list) else ()
    return [cast("Mapping[str, Any]", item) for item in candidates if isinstance(item, Mapping)]


_file_in_use: Path | None = None


def default_file() -> Path | None:
    """The configuration file that is read when none is named, if there is one."""
    candidates = [Path("/etc/tandem/tandem.toml")]
    with contextlib.suppress(RuntimeError):  # a user without a home directory has no file there
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        candidates.insert(0, Path(base) / "tandem" / "tandem.toml")
    return next((path for path in candidates if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    """Whether a path is a file. Raises UsageError where that cannot be found out, because its content may matter."""
    try:
        return path.is_file()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "make it readable, or name a file: --config FILE") from error


def file_in_use() -> Path | None:
    """The configuration file that was read last, None where none was."""
    return _file_in_use


def load(file: Path | None = None, options: Mapping[str, Any] | None = None) -> Config:
    """The configuration from all sources. Raises UsageError that lists every mistake."""
    global _file_in_use  # pydantic-settings builds its sources in a class method
    if file is not None and not _is_file(file):
        raise UsageError(f"{file}: no such file", "--config names a TOML file")
    _file_in_use = file or default_file()
    options = dict(options or {})
    try:
        config = Config(**options)
    except ValidationError as error:
        raise describe(error, Config, file=_file_in_use, options=options, environment=os.environ) from None
    except SettingsError as error:
        raise _not_json(str(error)) from None
    except ValueError as error:  # tomllib
        raise UsageError(f"{_file_in_use}: {error}", "the file must be TOML; text there stands in quotes") from None
    except OSError as error:
        hint = "it must be readable for this user: for a service, chgrp GROUP and chmod 640"
        raise UsageError(f"{_file_in_use}: {error.strerror}", hint) from None
    _check_environment()
    if _file_in_use is not None:
        _check_secrets(_file_in_use)
    return config


def _not_json(text: str) -> UsageError:
    """The error for an environment variable that is not JSON; `text` of the library names the field it belongs to."""
    field = next((name for name in Config.model_fields if f'"{name}"' in text), "")
    names = sorted(name for name in os.environ if name.upper().startswith(f"{ENV_PREFIX}{field}".upper()))
    hint = """lists and tables are JSON there, such as TANDEM_SERVER__ALLOW='["10.0.0.0/8"]'"""
    return UsageError(f"environment: {' or '.join(names) or text}: not JSON", hint)


def _check_secrets(file: Path) -> None:
    """Raises UsageError where a file with a secret in it is open to others."""
    if not is_open_to_others(file):
        return
    content = tomllib.loads(read_text(file))
    registry = content.get("registry", {})
    places = (("invite", content), ("token", content.get("admin", {})), ("token", registry), ("url", registry))
    held = [name for name, section in places if name in section]
    if str(content.get("invite", "")).startswith("@"):
        held.remove("invite")
    if any(not str(table.get("invite", "@")).startswith("@") for table in _tables(content.get("exit"))):
        held.append("invite of an [[exit]]")
    if not _SECRET_URL.match(str(registry.get("url", ""))) and "url" in held:
        held.remove("url")
    if held:
        raise UsageError(f"{file}: others can read the {' and the '.join(held)} in it", f"chmod 600 {file}")


_SECRET_URL = re.compile(r"[a-z+]+://[^@]*:[^@]*@|https?://([^/]*@|[^?]*\?)")
"""A URL with a password, or with parameters that may be one."""


def _check_environment() -> None:
    unknown = [
        name
        for name in os.environ
        if name.upper().startswith(ENV_PREFIX)
        and name.removeprefix(ENV_PREFIX).lower().split("__")[0] not in Config.model_fields
        and not is_old_variable(name, ENV_PREFIX)
    ]
    if unknown:
        known = ", ".join(sorted(Config.model_fields))
        raise UsageError(
            f"environment: unknown {', '.join(sorted(unknown))}", f"after {ENV_PREFIX} comes one of: {known}"
        )
