"""What a client of the port asks for, in whatever dialect."""

from dataclasses import dataclass
from enum import IntEnum


class Command(IntEnum):
    """What a client asks for (RFC 1928 section 4)."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3
    RESOLVE = 0xF0
    """The address of a name, and no connection: Tor's extension, which torsocks uses."""


def format_place(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants to be connected to."""

    command: Command
    host: str
    """A literal address or a name, which is resolved at the far end."""
    port: int

    def __str__(self) -> str:
        return format_place(self.host, self.port)

    @property
    def without_target(self) -> str:
        """What is asked for, but not of whom."""
        return self.command.name.lower().replace("_", " ")
