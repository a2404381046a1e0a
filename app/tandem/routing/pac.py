"""The routes as JavaScript for a browser's automatic configuration: what a browser itself connects to directly.

What JavaScript cannot say, or a browser cannot know, such as the user, is left to the SOCKS port, which has the routes.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from tandem.config.client_sections import DIRECT
from tandem.config.destinations import One, PatternFile, Private
from tandem.config.patterns import ALL_PORTS, Pattern
from tandem.exchange.request import SUFFIX
from tandem.routing.routes import Route

MAX_PATTERNS = 2000
"""Patterns of a file that a browser is told of. A longer file, and what comes after it, is left to the SOCKS port."""

_HERE, _THERE = "here", "there"

_PLAIN = 'isPlainHostName(host) || shExpMatch(host, "*.local") || shExpMatch(host, "*.localhost")'
_V4 = r"/^\d+\.\d+\.\d+\.\d+$/.test(host)"
_FIRST = f'if (host.indexOf(":") >= 0 || shExpMatch(host, "*{SUFFIX}")) return there;'
"""IPv6 addresses, about which JavaScript has no condition in all browsers, and forwards."""

_PRIVATE_V4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")


def pac_rules(routes: Iterable[Route]) -> str:
    """Statements that return `here` (DIRECT) or `there` (the port), for `host` in lower case and `port`.

    Names of this network are reached directly where no route says otherwise.
    """
    lines = [_FIRST]
    for route in routes:
        way = _HERE if route.via == DIRECT and route.user == "*" else _THERE
        conditions = _conditions(route)
        if conditions is None:
            lines.append(f"return {_THERE};")
            return "\n".join(lines)
        lines += [f"if ({condition}) return {way};" for condition in conditions if condition]
    lines.append(f"if ({_PLAIN}) return {_HERE};")
    return "\n".join(lines)


def _conditions(route: Route) -> list[str] | None:
    """Conditions of which one is true for what the route is about; None where there are too many."""
    match route.match:
        case Private():
            return [_PLAIN, 'shExpMatch(host, "*.home.arpa")', *map(_network_v4, _PRIVATE_V4)]
        case One(pattern):
            return [_condition(pattern)]
        case PatternFile() as file:
            patterns = list(_first(file.patterns, MAX_PATTERNS + 1))
            return None if len(patterns) > MAX_PATTERNS else [_condition(pattern) for pattern in patterns]
        case _:
            return None


def _condition(pattern: Pattern) -> str:
    """The condition of one pattern; empty where it is about IPv6 addresses."""
    if pattern.network is not None and pattern.network.version == 6:
        return ""
    ports = "" if pattern.ports == ALL_PORTS else f" && port >= {pattern.ports[0]} && port <= {pattern.ports[-1]}"
    if pattern.network is not None:
        return _network_v4(str(pattern.network)) + ports
    return f'shExpMatch(host, "{pattern.host}"){ports}'


def _network_v4(text: str) -> str:
    network = ipaddress.IPv4Network(text)
    # isInNet looks names up, so it is asked about addresses alone.
    return f'{_V4} && isInNet(host, "{network.network_address}", "{network.netmask}")'


def _first(patterns: Iterator[Pattern], count: int) -> Iterator[Pattern]:
    for _, pattern in zip(range(count), patterns, strict=False):
        yield pattern
