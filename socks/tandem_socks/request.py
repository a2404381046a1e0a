"""The request of a client of the port, the same in all dialects."""

from dataclasses import dataclass
from enum import IntEnum


class Command(IntEnum):
    """The command of a request (RFC 1928 section 4)."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3
    RESOLVE = 0xF0
    """Resolves a name without a connection: the extension of Tor that torsocks uses."""


def format_place(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Request:
    """A command and the destination that it is for."""

    command: Command
    host: str
    """A literal address, or a name that the far end resolves."""
    port: int
    user: str = ""
    """The name with which the client has authenticated; empty where no password is needed."""
    peer: str = ""
    """The client's address."""

    def __str__(self) -> str:
        return format_place(self.host, self.port)

    @property
    def without_target(self) -> str:
        """The command in words, without the destination."""
        return self.command.name.lower().replace("_", " ")
