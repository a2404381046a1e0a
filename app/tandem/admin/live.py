"""The stream of server-sent events that the page draws: first the last hour, then the status each second."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from tandem.admin.history import StatusHistory
from tandem.admin.public_status import public_status
from tandem.admin.status import Status

INTERVAL = 1.0
"""Seconds between two statuses, at least."""

MAX_WATCHERS = 16
"""Pages that are told at a time, those who have logged in and others each."""

_MAX_SHARE = 0.05
"""The share of the time that making statuses may take."""

Mark = dict[str, object]
"""Something that happened, as in the event log: `at`, `event`, and what else there is to say."""

_PUBLIC_FIELDS = ("at", "event", "link", "state", "duration_s")
"""The fields of a mark that everybody may see: its cause may name addresses."""


IsPublic = Callable[[], bool]
"""Says whether a page may only be told what everybody may see; it is asked each time, because logins end."""


class LiveStatus:
    """Tells pages what happens."""

    def __init__(
        self,
        present: Callable[[], Awaitable[Status]],
        history: StatusHistory,
        marks: Callable[[], Sequence[Mark]],
    ) -> None:
        """`marks`: the events of the last hour, the oldest first."""
        self._present, self._history, self._marks = present, history, marks
        self._watchers = {True: 0, False: 0}
        """Pages by whether they are public."""
        self._told: dict[bool, bytes] = {}
        """The last status as it is sent, by whether it is public; all pages share it."""
        self._told_at = float("-inf")
        self._interval = INTERVAL
        self._turn = asyncio.Lock()

    def is_full(self, *, is_public: bool) -> bool:
        """Whether no further page of this kind can be told."""
        return self._watchers[is_public] >= MAX_WATCHERS

    async def parts(self, is_public: IsPublic) -> AsyncGenerator[bytes, None]:
        """The events for one page, without end."""
        kind = is_public()
        self._watchers[kind] += 1
        shown: tuple[Sequence[Mark], bool] = ((), False)
        try:
            yield _event("history", self._history.encoded())
            while True:
                marks = (self._marks(), is_public())
                if marks != shown:
                    shown = marks
                    yield _event("marks", json.dumps(_public(marks[0]) if marks[1] else marks[0]).encode())
                head = json.dumps({"now": time.time(), "is_public": is_public()}).encode()
                yield _event("reader", head)
                yield _event("status", await self._tell(is_public=is_public()))
                await asyncio.sleep(self._interval)
        finally:
            self._watchers[kind] -= 1

    async def _tell(self, *, is_public: bool) -> bytes:
        async with self._turn:
            if asyncio.get_running_loop().time() >= self._told_at + self._interval / 2:
                await self._look()
            return self._told[is_public]

    async def _look(self) -> None:
        """Makes the status anew. One that is dear, at a server with thousands of sessions, is made more rarely."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        status = await self._present()
        full, public = status.model_dump_json(), public_status(status).model_dump_json()
        self._told = {False: full.encode(), True: public.encode()}
        self._told_at = loop.time()
        self._interval = max(INTERVAL, (self._told_at - began) / _MAX_SHARE)


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _public(marks: Sequence[Mark]) -> list[Mark]:
    return [{name: mark[name] for name in _PUBLIC_FIELDS if name in mark} for mark in marks]
