"""Forwards: destinations that the server's owner maps to targets of his own.

A match without a colon is a name, reached from SOCKS as host NAME.forward (any port) or by a
client's `--listen`. HOST:PORT maps an ordinary destination; either part may be `*`, and a host
may begin with `*.`.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tandem.addresses import parse_host_port
from tandem.config import ForwardConfig
from tandem.request import Kind, Request

SUFFIX = ".forward"


@dataclass(frozen=True, slots=True)
class Forward:
    """One of them."""

    match: str
    target_host: str
    target_port: int


class Forwards:
    """All of a server, in order; the first match wins."""

    def __init__(self, configured: list[ForwardConfig]) -> None:
        self._forwards = [
            Forward(item.match.lower(), *parse_host_port(item.target, what="forward target")) for item in configured
        ]

    def find(self, request: Request) -> Forward | None:
        """The forward for a request, None where there is none."""
        return next((forward for forward in self._forwards if _matches(forward.match, request)), None)

    def names(self) -> list[str]:
        """Those that are reached by name."""
        return [forward.match for forward in self._forwards if ":" not in forward.match]


def _matches(match: str, request: Request) -> bool:
    host = request.host.lower()
    if ":" not in match:
        return request.kind is Kind.FORWARD and host == match
    if request.kind is not Kind.DIAL:
        return False
    host_pattern, _, port_pattern = match.rpartition(":")
    host_pattern = host_pattern.removeprefix("[").removesuffix("]")
    return fnmatchcase(host, host_pattern) and port_pattern in ("*", str(request.port))
