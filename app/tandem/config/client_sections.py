"""The sections of the configuration that say where a client's connections go."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from tandem.base.errors import UsageError
from tandem.config.destinations import parse_destinations
from tandem.config.values import Section

SESSION, DIRECT, BLOCK = "session", "direct", "block"
"""The ways that have one word."""

LINK = "link:"
"""The beginning of a way that names a link."""

SERVER = "server:"
"""The beginning of a way that names a further server."""

_ACCEPTED_VIA = "session, direct, block, link:NAME, or server:NAME"


def _destination(text: str) -> str:
    try:
        parse_destinations(text)
    except OSError as error:
        raise ValueError(f"{text}: {error.strerror}; @FILE names a file with a pattern in each line") from error
    except UsageError as error:  # it is no text
        raise ValueError(f"{text}: {error}; @FILE names a file with a pattern in each line") from error
    return text


def _via(text: str) -> str:
    names_one = text.startswith((LINK, SERVER)) and text not in (LINK, SERVER)
    if text not in (SESSION, DIRECT, BLOCK) and not names_one:
        raise ValueError(f"{text!r}: accepted is {_ACCEPTED_VIA}")
    return text


class ExitConfig(Section):
    """A further server, with a session beside the client's own, for routes via server:NAME."""

    name: str = Field(min_length=1, max_length=40)
    invite: SecretStr = Field(description="an invite of that server, or @FILE with one in it")


class RouteConfig(Section):
    """Where connections to some hosts go. The first route that matches decides; all others use the session."""

    match: Annotated[str, AfterValidator(_destination)] = Field(
        description="a host, HOST:PORT, *.DOMAIN, *:PORT, a network, `private`, or @FILE with a pattern in each line"
    )
    via: Annotated[str, AfterValidator(_via)] = Field(
        description="session; direct: from this machine; link:NAME: from this machine over one link; "
        "server:NAME: through an [[exit]]; or block"
    )
    user: str = Field(default="*", min_length=1, description="the user of the SOCKS port; * in it stands for any text")
