"""Types of the values of a configuration. The error for a wrong value says what is accepted."""

import contextlib
import ipaddress
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from tandem.base.addresses import TLS_SCHEME, parse_host_port
from tandem.base.errors import UsageError
from tandem.base.units import parse_rate, parse_size
from tandem.config.patterns import parse_pattern


class Section(BaseModel):
    """A table of the configuration: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _host_port(text: str) -> str:
    try:
        parse_host_port(text, what="address")
    except UsageError as error:
        raise ValueError(f"{error}; {error.hint}") from error
    return text


def _endpoint(text: str) -> str:
    _host_port(text.removeprefix(TLS_SCHEME))
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; accepted is ADDRESS/BITS, such as 192.168.1.0/24") from error
    return text


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{error}; accepted is an address such as 192.0.2.1 or 2001:db8::1") from error
    return text


def _directory(path: Path) -> Path:
    with contextlib.suppress(OSError):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is no directory")
    return path


def _target(text: str) -> str:
    """Checks HOST:PORT, or HOST:* for the port that was asked for."""
    _host_port(text[:-1] + "1" if text.endswith(":*") else text)
    return text


def _parsed_by(parse: Callable[[str], object]) -> BeforeValidator:
    """A validator for text that `parse` accepts, which stays as it was written. A number gets the errors of a text."""

    def check(given: object) -> object:
        if isinstance(given, str | int | float):
            parse(str(given))
        return given

    return BeforeValidator(check)


def matches_name(pattern: str, name: str) -> bool:
    """Whether a pattern means a name; only `*` is special in it: it stands for any text."""
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))


Size = Annotated[str, _parsed_by(parse_size)]
Rate = Annotated[str, _parsed_by(parse_rate)]
HostPort = Annotated[str, AfterValidator(_host_port)]
EndpointText = Annotated[str, AfterValidator(_endpoint)]
Network = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
Match = Annotated[str, _parsed_by(parse_pattern)]
Target = Annotated[str, AfterValidator(_target)]

MIN_TOKEN = 16


def _token(secret: SecretStr) -> SecretStr:
    """Rejects an empty token, as from an unset variable, and one so short that it can be guessed."""
    text = secret.get_secret_value()
    if len(text) < MIN_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            f"it has {len(text)} characters; accepted are {MIN_TOKEN} or more, letters, digits and signs, such as "
            "`openssl rand -hex 16` prints"
        )
    return secret


Token = Annotated[SecretStr, AfterValidator(_token)]
Directory = Annotated[Path, AfterValidator(_directory)]
Port = Annotated[int, Field(ge=1, le=65535)]
