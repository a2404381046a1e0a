"""The clients as a running server knows them: a bounded part of the registry, which is asked in threads.

A client stays as it is known while the registry cannot be asked: nobody is revoked by a database that is away. One that
is not known waits until it can be asked.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tandem.base.errors import TandemError
from tandem.base.threads import Threads
from tandem.base.units import format_time
from tandem.registry.registration import Registration, Terms
from tandem.registry.source import ClientSource, Traffic
from tandem_transport import PENDING, BoundedTable, Denial, Pending, Refusal

log = logging.getLogger("tandem.state")

MAX_KNOWN = 65_536
"""Registrations that a server remembers; those of clients with a session are asked for every few seconds."""

MAX_UNKNOWN = 4_096
"""Keys of strangers that a server remembers."""

UNKNOWN_TIME = 5.0
"""Seconds for which a refusal is remembered: a key that knocks costs one question in that time."""

MAX_QUESTIONS = 256
"""Questions that may be under way; a client whose question would be another one tries again later."""

_THREADS = 4

ANSWER_TIMEOUT = 15.0
"""Seconds that the registry has for an answer; it has shorter limits of its own, which a hanging host does not keep."""

_SLICE = 500
"""Changes that are looked at in one piece; then other things have their turn."""

_ASK_INTERVAL = 60.0
"""Seconds after which the registry is asked even where its file shows no change."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known:
    registration: Registration
    asked_at: float


class KnownClients:
    """Says who a key is without waiting, and follows the registry."""

    def __init__(
        self,
        source: ClientSource,
        *,
        on_found: Callable[[bytes], None],
        on_denied: Callable[[bytes, str], None],
        on_removed: Callable[[bytes], None],
        untold: Callable[[bytes], int],
    ) -> None:
        """`on_found`: a key that was PENDING is known. `on_denied`: the sessions of a client must end, and why.

        `on_removed`: a client is no longer registered. `untold`: bytes of a client that the registry does not know of.
        """
        self._source = source
        self._on_found, self._on_denied, self._on_removed = on_found, on_denied, on_removed
        self._untold = untold
        self._known: BoundedTable[bytes, _Known] = BoundedTable(MAX_KNOWN)
        self._unknown: BoundedTable[bytes, float] = BoundedTable(MAX_UNKNOWN)
        """When a key was found to be a stranger's."""
        self._terms: BoundedTable[str, Terms] = BoundedTable(MAX_KNOWN)
        self._questions: dict[bytes, asyncio.Task[None]] = {}
        self._outdated: set[bytes] = set()
        """Keys whose registration has changed while they were being asked for."""
        self._asking = Threads(_THREADS)
        self._following = Threads(1)
        """A thread of its own: the questions of strangers must not hold up a revocation."""
        self._revision: int | None = None
        self._asked_at = -math.inf
        """When the registry was last asked what has changed, by `time.monotonic`."""
        self.count: int | None = None
        """Number of registered clients, None where the registry does not tell."""
        self.problem = ""
        """Why the registry cannot be asked or followed; empty where it can."""

    async def start(self) -> None:
        """Learns the present revision of the registry. Raises TandemError where it cannot be asked."""
        changes = await self._run(lambda: self._source.changes_since(None))
        self._revision, self.count = changes.revision, await self._run(self._source.count)

    async def close(self) -> None:
        """Ends the questions under way, and closes the registry."""
        for task in self._questions.values():
            task.cancel()
        await asyncio.gather(*self._questions.values(), return_exceptions=True)
        self._source.close()

    # --- questions of the transport ---

    def lookup(self, public: bytes) -> str | Denial | Pending | None:
        """Who a key is; PENDING while the registry is asked. Never waits, never raises."""
        known = self._known.get(public)
        if known is not None:
            why = denial(known.registration, self._untold(public), time.time())
            if time.monotonic() - known.asked_at < (self._source.memory if why is None else UNKNOWN_TIME):
                return why or known.registration.name
        since = self._unknown.get(public)
        if since is not None and time.monotonic() - since < UNKNOWN_TIME:
            return None
        if public not in self._questions and len(self._questions) < MAX_QUESTIONS:
            self._questions[public] = asyncio.get_running_loop().create_task(self._ask(public))
        return PENDING

    def terms(self, name: str) -> Terms:
        """The terms of a client that has a session."""
        return self._terms.get(name) or Terms()

    async def _ask(self, public: bytes) -> None:
        try:
            found = await self._run(lambda: self._source.find(public), self._asking)
            while public in self._outdated:
                self._outdated.discard(public)
                found = await self._run(lambda: self._source.find(public), self._asking)
            self._learn(public, found)
        except TandemError as error:
            self._tell(str(error))
            known = self._known.get(public)
            if known is None:
                return  # it waits; the client's next initiation asks again
            self._known.put(public, _Known(known.registration, time.monotonic()))
        finally:
            self._questions.pop(public, None)
            self._outdated.discard(public)
        self._on_found(public)

    def _learn(self, public: bytes, found: Registration | None) -> None:
        if found is None:
            self._known.pop(public)
            self._unknown.put(public, time.monotonic())
            return
        self._unknown.pop(public)
        self._known.put(public, _Known(found, time.monotonic()))
        self._terms.put(found.name, found.terms)

    # --- following ---

    async def follow(self, online: frozenset[bytes]) -> None:
        """Asks what has changed, and applies it to these clients, which have sessions. Never raises TandemError."""
        now = time.monotonic()
        if now - self._asked_at < _ASK_INTERVAL and not self.problem and self._source.is_quiet():
            return
        self._asked_at = now
        try:
            changes = await self._run(lambda: self._source.changes_since(self._revision))
            asked = changes.changed if changes.is_complete else online | changes.changed
            await self._apply(asked, online, is_complete=changes.is_complete)
        except TandemError as error:
            self._tell(str(error))
            return
        self._revision = changes.revision
        self._tell(changes.problem)
        for public in changes.kicked & online:
            self._on_denied(public, "the server's owner has ended this session")

    async def _apply(self, changed: frozenset[bytes], online: frozenset[bytes], *, is_complete: bool) -> None:
        if not is_complete:
            self._known, self._unknown = BoundedTable(MAX_KNOWN), BoundedTable(MAX_UNKNOWN)
        for number, public in enumerate(changed):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            self._unknown.pop(public)
            if public in self._questions:
                self._outdated.add(public)
            if public in online or public in self._known:
                found = await self._run(lambda public=public: self._source.find(public))  # type: ignore[misc]
                self._learn(public, found)
                if found is None:
                    self._on_removed(public)
        if changed:
            self.count = await self._run(self._source.count)

    async def account(self, traffic: Mapping[bytes, Traffic]) -> bool:
        """Tells the registry what clients have carried; False where it could not be told."""
        try:
            found = await self._run(lambda: self._source.account(traffic))
        except TandemError as error:
            self._tell(str(error))
            return False
        for public, registration in found.items():
            self._learn(public, registration)
            if registration is None:
                self._on_removed(public)
        return True

    def first_end(self, publics: Iterable[bytes]) -> float:
        """When the first of these clients' time runs out, in seconds since 1970; infinite where none has an end."""
        known = (self._known.get(public) for public in publics)
        ends = (one.registration.terms.expires_at for one in known if one is not None)
        return min((end for end in ends if end is not None), default=math.inf)

    def end_denied(self, public: bytes) -> None:
        """Ends the sessions of a client whose time or quota has run out, or that was disabled."""
        known = self._known.get(public)
        if known is None:
            return
        why = denial(known.registration, self._untold(public), time.time())
        if why is not None:
            self._on_denied(public, _words(known.registration, why))

    # --- inside ---

    async def _run(self, ask: Callable[[], T], threads: Threads | None = None) -> T:
        """Asks in a thread. Raises TandemError where there is no answer in time, such as from a database that hangs."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await (threads or self._following).run(ask)
        except TimeoutError as error:
            text = f"registry {self._source.place}: no answer within {ANSWER_TIMEOUT:.0f} s"
            raise TandemError(text, "is the database well?") from error

    def _tell(self, problem: str) -> None:
        if problem and not self.problem:
            log.error("%s; known clients stay as they are", problem)
        elif self.problem and not problem:
            log.info("the registry %s can be followed again", self._source.place)
        self.problem = problem


def denial(registration: Registration, untold: int, now: float) -> Denial | None:
    """Why a registered client may not have a session; None where it may. `untold`: bytes beside those it has used."""
    terms = registration.terms
    if terms.is_disabled:
        return Denial(Refusal.DISABLED)
    if terms.expires_at is not None and terms.expires_at <= now:
        return Denial(Refusal.EXPIRED)
    if registration.spent_until is not None:
        return Denial(Refusal.QUOTA_USED_UP, registration.spent_until)
    if terms.quota is not None and registration.used + untold >= terms.quota.limit:
        return Denial(Refusal.QUOTA_USED_UP, terms.quota.ends_at(now))
    return None


def _words(registration: Registration, why: Denial) -> str:
    """The reason with which sessions end."""
    match why.code:
        case Refusal.DISABLED:
            return "the server's owner has disabled this client"
        case Refusal.EXPIRED:
            expires = registration.terms.expires_at or 0
            return f"this client's time has run out{f' ({format_time(expires)})' if expires > 1 else ''}"
        case _:
            quota = f" of {registration.terms.quota}" if registration.terms.quota else ""
            until = f" until {format_time(why.until)}" if why.until else ""
            return f"this client's quota{quota} is used up{until}"
