"""The timers of all paths: delayed acknowledgements, the time threshold of losses, probe timeouts."""

from tandem_transport.path.path import Path
from tandem_transport.path.table import PathTable
from tandem_transport.sending.outbox import Outbox
from tandem_transport.session.lateness import Lateness
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import PathUse


class PathTimers:
    """The timers, computed from the state of the paths on each call, so that there is no table to keep up to date."""

    __slots__ = ("_lateness", "_outbox", "_paths", "_streams")

    def __init__(self, paths: PathTable, outbox: Outbox, streams: Streams, lateness: Lateness) -> None:
        self._paths = paths
        self._outbox = outbox
        self._streams = streams
        self._lateness = lateness

    def next_timeout(self, *, now: float) -> float | None:
        """When the first timer expires, None where none is set."""
        times: list[float | None] = []
        for path in self._paths.all:
            if not path.standing.link_error:
                times.append(path.received.ack_at)
            if path.use is not PathUse.OFF:
                times += (path.recovery.loss_time, self._probe_at(path, now))
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, *, now: float) -> None:
        """Handles the timers that have expired."""
        for path in self._paths.all:
            recovery = path.recovery
            if recovery.is_probe_due(recovery.loss_time, now=now):
                for packet in path.on_loss_timeout(now=now):
                    self._outbox.on_lost(packet, path, now=now)
            probe_at = self._probe_at(path, now)
            if recovery.is_probe_due(probe_at, now=now) and not self._lateness.excuses(path, probe_at or now, now=now):
                path.probing.on_timeout(path.recovery, now=now)
                if self._paths.has_alternative(path):
                    self._outbox.move_away_from(path)

    def _probe_at(self, path: Path, now: float) -> float | None:
        # An end that may not send, because the address is not validated, sets no timer (RFC 9002 section 6.2.2.1).
        if path.is_blocked:
            return None
        at = path.recovery.probe_at(path.max_ack_delay, has_streams=len(self._streams) > 0, now=now)
        return None if at is None else self._lateness.put_off(path, at)
