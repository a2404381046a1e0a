"""The connections that a client carries now, for the status and the log."""

import logging
import time
from dataclasses import dataclass
from itertools import count

from tandem.admin.status import StreamStatus
from tandem_socks import RelayResult

log = logging.getLogger("tandem.client")

MAX_SHOWN = 100
"""The maximum number of connections that the status shows, the busiest first."""


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    target: str
    via: str
    began_at: float
    result: RelayResult


class ConnectionTable:
    """The connections that are open now."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._numbers = count(1)

    def open(self, target: object, result: RelayResult, via: str = "session") -> None:
        """Adds a connection that begins; its relay keeps `result` up to date. `via`: the way it takes."""
        self._entries[id(result)] = _Entry(next(self._numbers), str(target), via, time.monotonic(), result)

    def close(self, target: object, result: RelayResult, via: str = "session") -> None:
        """Removes and logs a connection that has ended."""
        self._entries.pop(id(result), None)
        sent, received = result.bytes_to_stream, result.bytes_to_tcp
        way = "" if via == "session" else f", {via}"
        log.info("%s: %d bytes up, %d down, ended by %s%s", target, sent, received, result.ended_by, way)

    def busiest(self) -> list[StreamStatus]:
        """At most MAX_SHOWN connections, those that have carried most bytes first."""
        now = time.monotonic()
        entries = sorted(self._entries.values(), key=_weight, reverse=True)[:MAX_SHOWN]
        return [
            StreamStatus(
                target=entry.target,
                via=entry.via,
                age_s=round(now - entry.began_at, 1),
                bytes_up=entry.result.bytes_to_stream,
                bytes_down=entry.result.bytes_to_tcp,
                id=entry.number,
            )
            for entry in entries
        ]


def _weight(entry: _Entry) -> int:
    return entry.result.bytes_to_stream + entry.result.bytes_to_tcp
