"""The list of routes: the first one that matches decides."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from tandem.base.errors import UsageError
from tandem.base.threads import Threads
from tandem.config.client_sections import SESSION, RouteConfig
from tandem.config.destinations import Destinations, PatternFile, parse_destinations
from tandem.config.patterns import canonical_name
from tandem.config.values import matches_name
from tandem.exchange.request import SUFFIX

log = logging.getLogger("tandem.client")

_FOLLOW_INTERVAL = 2.0
"""Seconds between two looks at the files of patterns."""


@dataclass(frozen=True, slots=True)
class Route:
    """One route."""

    number: int
    """Its place in the configuration, from 1 on."""
    match: Destinations
    via: str
    user: str = "*"

    def concerns(self, host: str, port: int, user: str) -> bool:
        """Whether the route is about this request."""
        return matches_name(self.user, user) and self.match.contains(host, port)

    def __str__(self) -> str:
        return f"route {self.number}, {self.match.text}" + (f" for {self.user}" if self.user != "*" else "")


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes, and which route says so; None where none does."""

    via: str
    route: Route | None = None
    is_fixed: bool = False
    """It is the same while the server does not answer."""


_DEFAULT = Decision(SESSION)
_FIXED = Decision(SESSION, is_fixed=True)


class Routes:
    """All routes of a client."""

    def __init__(self, configured: Iterable[RouteConfig]) -> None:
        """Reads the files of patterns. Raises UsageError where one cannot be used."""
        self.all = [_route(number, item) for number, item in enumerate(configured, 1)]
        self._decisions = {route.number: Decision(route.via, route) for route in self.all}
        self._thread = Threads(1)
        self._complaints: dict[str, str] = {}
        """The last problem of each file, which is logged once."""

    def decide(self, host: str, port: int, user: str = "") -> Decision:
        """The way to a host. A forward is the server's, and so is what is no host name: the server says so."""
        try:
            canonical = canonical_name(host)
        except ValueError:
            return _FIXED
        if canonical.endswith(SUFFIX):
            return _FIXED
        for route in self.all:
            if route.concerns(canonical, port, user):
                return self._decisions[route.number]
        return _DEFAULT

    async def follow_files(self) -> None:
        """Reads files of patterns again when they change, until it is cancelled. A mistake leaves one as it was."""
        files = [route.match for route in self.all if isinstance(route.match, PatternFile)]
        while files:
            await asyncio.sleep(_FOLLOW_INTERVAL)
            for file in files:
                await self._follow(file)

    async def _follow(self, file: PatternFile) -> None:
        try:
            if await self._thread.run(file.read_if_changed):
                log.info("routes: %s was read again", file.text)
                self._complaints.pop(file.text, None)
        except Exception as error:  # any: one file must not end the following of the others
            problem = f"{error.strerror if isinstance(error, OSError) else error}"
            if problem != self._complaints.get(file.text):
                log.error("routes: %s: %s; its patterns stay as they were", file.text, problem)
            self._complaints[file.text] = problem


def _route(number: int, item: RouteConfig) -> Route:
    try:
        return Route(number, parse_destinations(item.match), item.via, item.user)
    except (OSError, ValueError, UsageError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"route {number}: {item.match}: {why}", "@FILE names a file with a pattern in each line"
        ) from error
