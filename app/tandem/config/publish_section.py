"""The tables of the configuration for published ports: a client's, with a target, and a server's, with an address."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from tandem.config.values import HostPort, Network, Section, matches_name


class PublishConfig(Section):
    """A port of the server that leads to the client's side.

    At the client: what is offered, by `name` and `target`. At the server: who may offer it, by `client`, and where it
    is reached, by `listen`. Nobody publishes what the server does not list.
    """

    name: str = Field(min_length=1, max_length=40, description="the same at both ends")
    target: HostPort | None = Field(default=None, description="client: where connections go, from this machine")
    client: str | None = Field(
        default=None, min_length=1, description="server: the client that may offer it, * for any text"
    )
    listen: HostPort | None = Field(default=None, description="server: the address at which it is reached")
    protocol: Literal["both", "tcp", "udp"] = Field(default="both", description="what is carried")
    hold: float = Field(
        default=0,
        ge=0,
        le=3600,
        description="server: seconds that connections wait while no client offers it; 0: they are refused",
    )
    allow_from: list[Network] = Field(
        default=[], description="server: networks from which it is reached, beside this machine itself; none: all"
    )
    proxy_protocol: bool = Field(
        default=False, description="either end: the target gets the peer's address in a PROXY protocol head, version 2"
    )

    @model_validator(mode="after")
    def _one_end(self) -> "PublishConfig":
        if (self.target is None) == (self.listen is None):
            raise ValueError("a client's has a target, a server's has listen; one of them is needed")
        if self.listen is not None and self.client is None:
            raise ValueError("client: the name of the client that may offer it is missing")
        if self.target is not None and (self.client or self.hold or self.allow_from):
            raise ValueError("client, hold and allow_from are a server's; target is a client's")
        return self

    @property
    def protocols(self) -> frozenset[str]:
        """`tcp`, `udp`, or both."""
        return frozenset(("tcp", "udp")) if self.protocol == "both" else frozenset((self.protocol,))

    def admits(self, client: str) -> bool:
        """Whether a client may offer it; in the pattern only `*` is special: it stands for any text."""
        return self.client is not None and matches_name(self.client, client)


def offered_by_several(tables: Sequence[Mapping[str, Any]], workers: object) -> Iterator[str]:
    """Messages about ports of a server with several workers that more than one client may offer."""
    if not str(workers).isdigit() or int(str(workers)) < 2:  # "auto" is known when the server starts
        return
    for table in tables:
        if "*" in str(table.get("client", "")):
            yield (
                f"publish: client {table['client']} may be several clients; where [server] has several workers, which "
                "do not know of each other, name one client"
            )


def published_twice(tables: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Messages about tables that are in each other's way: one name, or one address, twice."""
    for key, others, hint in (
        ("name", ("client", "protocol"), "the first would take all connections"),
        ("listen", ("protocol",), "an address leads to one of them"),
    ):
        seen: set[tuple[object, ...]] = set()
        for table in tables:
            if key not in table or (key == "name" and "target" in table and "listen" in table):
                continue
            own = (str(table[key]), *(str(table.get(other, "")) for other in others))
            if own in seen:
                yield f"publish: {key} {own[0]} is there twice; {hint}"
            seen.add(own)
