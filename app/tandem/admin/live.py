"""The stream of server-sent events that the page draws: first the last hour, then the status each second."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import NamedTuple

from tandem.admin.history import StatusHistory
from tandem.admin.public_status import public_status
from tandem.admin.status import Status

INTERVAL = 1.0
"""Seconds between two statuses."""

MAX_WATCHERS = 16
"""Pages that are told at a time."""

Mark = dict[str, object]
"""Something that happened, as in the event log: `at`, `event`, and what else there is to say."""

_PUBLIC_FIELDS = ("at", "event", "link", "state", "duration_s")
"""The fields of a mark that everybody may see: its cause may name addresses."""


class _Told(NamedTuple):
    """A status as it is sent, which all pages of one second share."""

    at: float
    full: bytes
    public: bytes


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
        self._watchers = 0
        self._told = _Told(float("-inf"), b"", b"")

    @property
    def is_full(self) -> bool:
        """Whether no further page can be told."""
        return self._watchers >= MAX_WATCHERS

    async def parts(self, *, is_public: bool) -> AsyncGenerator[bytes, None]:
        """The events for one page, without end."""
        self._watchers += 1
        shown: Sequence[Mark] = ()
        try:
            yield _event("history", json.dumps(self._history.told()).encode())
            while True:
                marks = self._marks()
                if marks != shown:
                    shown = marks
                    yield _event("marks", json.dumps(_public(marks) if is_public else marks).encode())
                told = await self._tell()
                yield _event("status", told.public if is_public else told.full)
                await asyncio.sleep(INTERVAL)
        finally:
            self._watchers -= 1

    async def _tell(self) -> _Told:
        now = asyncio.get_running_loop().time()
        if now >= self._told.at + INTERVAL / 2:
            status = await self._present()
            full, public = status.model_dump_json(), public_status(status).model_dump_json()
            self._told = _Told(now, full.encode(), public.encode())
        return self._told


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _public(marks: Sequence[Mark]) -> list[Mark]:
    return [{name: mark[name] for name in _PUBLIC_FIELDS if name in mark} for mark in marks]
