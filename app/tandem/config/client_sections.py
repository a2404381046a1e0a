"""The sections of the configuration that are a client's routes."""

from typing import Annotated

from pydantic import AfterValidator, Field

from tandem.config.destinations import parse_destinations
from tandem.config.values import Section

LINK = "link:"
"""The beginning of a way that names a link."""

_ACCEPTED_VIA = "session, direct, block, or link:NAME"


def _destination(text: str) -> str:
    try:
        parse_destinations(text)
    except OSError as error:
        raise ValueError(f"{text}: {error.strerror}; @FILE names a file with a pattern in each line") from error
    return text


def _via(text: str) -> str:
    if text not in ("session", "direct", "block") and not (text.startswith(LINK) and text != LINK):
        raise ValueError(f"{text!r}: accepted is {_ACCEPTED_VIA}")
    return text


class RouteConfig(Section):
    """Where connections to some hosts go. The first route that matches decides; all others use the session."""

    match: Annotated[str, AfterValidator(_destination)] = Field(
        description="a host, HOST:PORT, *.DOMAIN, *:PORT, a network, `private`, or @FILE with a pattern in each line"
    )
    via: Annotated[str, AfterValidator(_via)] = Field(
        description="session; direct: from this machine; link:NAME: from this machine over one link; or block"
    )
    user: str = Field(default="*", min_length=1, description="the user of the SOCKS port; * in it stands for any text")
