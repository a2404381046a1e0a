"""Which paths still answer: keep-alives, path status, outages, the end of a silent session."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from tandem_transport.events import Event, OutageChanged, PathStatus, PathStatusChanged
from tandem_transport.parameters import (
    ACTIVE_PERIOD,
    DOWN_AFTER,
    IDLE_TIMEOUT,
    KEEPALIVE_ACTIVE,
    KEEPALIVE_IDLE,
    LONG_STOP,
    OUTAGE_TIMEOUT,
    STATS_INTERVAL,
)
from tandem_transport.path.path import Path
from tandem_transport.streams.table import Streams
from tandem_transport.wire.frames import PathUse

_KEEPALIVE_GRACE: Final = 2.0
"""Seconds that a keep-alive of the peer may be late before its path counts as silent."""

_ASK_GRACE: Final = 0.5
"""Seconds that a keep-alive of the client may be late before the server probes the path itself."""

_UPDATE_INTERVAL: Final = 0.1
"""Seconds between two updates of the path status: it is for people, so ten a second are enough."""


class Liveness:
    """Watches whether the paths of one session work, and whether the session is still alive."""

    def __init__(self, *, is_client: bool, emit: Callable[[Event], None], now: float) -> None:
        self._is_client = is_client
        self._emit = emit
        self.last_received_at = now
        """When the last authentic packet arrived, on any path."""
        self._active_at = now
        self._updated_at = now
        self._stats_at = now
        self._outage_began: float | None = None
        self._interval: float | None = KEEPALIVE_ACTIVE
        """Seconds between keep-alives at the last update; None where this end sends none."""

    @property
    def is_out(self) -> bool:
        """Every path is down, or carries nothing to the peer."""
        return self._outage_began is not None

    def on_activity(self, *, now: float) -> None:
        """The application has sent or received data."""
        self._active_at = now

    def is_active(self, streams: Streams, *, now: float) -> bool:
        """Streams are open, and were used lately or wait for an acknowledgement."""
        return len(streams) > 0 and self._is_in_use(streams, now=now)

    def update(self, paths: Collection[Path], streams: Streams, *, now: float) -> None:
        """Requests the probes, repeats the challenges and updates the status that are due."""
        self._interval = self._keepalive_interval(streams, now=now)
        for path in paths:
            probe_at = self._probe_at(path, paths, self._interval)
            if probe_at is not None and now >= probe_at:
                path.probing.request()
            if path.use is not PathUse.OFF:
                path.addresses.repeat_challenges(now=now)
        if now >= self._updated_at + _UPDATE_INTERVAL:
            self.update_status(paths, now=now)

    def update_status(self, paths: Collection[Path], *, now: float) -> None:
        """Updates every path's status, and whether there is an outage; emits events about changes."""
        self._updated_at = now
        for path in paths:
            if path.update_status(_sparse(self._interval or KEEPALIVE_IDLE, path) + _KEEPALIVE_GRACE, now=now):
                self._emit(PathStatusChanged(path.path_id, path.standing.status, path.standing.reason))
        is_out = len(paths) > 0 and all(path.standing.is_down or path.hearing.is_mute for path in paths)
        if is_out and self._outage_began is None:
            self._outage_began = now
            self._emit(OutageChanged(True, 0.0))
        elif not is_out and self._outage_began is not None:
            self._emit(OutageChanged(False, now - self._outage_began))
            self._outage_began = None

    def excuse(self, paths: Collection[Path], late: float, *, now: float) -> None:
        """This end did not run for `late` seconds: they do not count as silence of any path."""
        for path in paths:
            path.recovery.excuse(late, now=now)
            path.hearing.excuse(late, now=now)
            if late > LONG_STOP:
                path.network.rtt.ignore_until(path.recovery.next_number - 1)
        self._updated_at = now  # what has arrived meanwhile is read first

    def is_expired(self, streams: Streams, *, now: float) -> bool:
        """The session has been silent for longer than a silent session is kept."""
        return now >= self._expires_at(streams)

    def is_stats_due(self, streams: Streams, *, now: float) -> bool:
        """A STATS frame is due: once every STATS_INTERVAL while the session is in use. Begins the next interval."""
        if now < self._stats_at + STATS_INTERVAL or not self._is_in_use(streams, now=now):
            return False
        self._stats_at = now
        return True

    def next_timeout(self, paths: Collection[Path], streams: Streams, *, now: float) -> float:
        """When `update` has something to do."""
        times = [self._expires_at(streams)]
        interval = self._keepalive_interval(streams, now=now)
        for path in paths:
            probe_at = self._probe_at(path, paths, interval)
            if probe_at is not None:
                times.append(probe_at)
            times += self._status_times(path)
            challenge_at = path.addresses.next_timeout()
            if challenge_at is not None and path.use is not PathUse.OFF:
                times.append(challenge_at)
        if self._is_in_use(streams, now=now):
            times.append(self._stats_at + STATS_INTERVAL)
        return min(times)

    # --- inside ---

    def _is_in_use(self, streams: Streams, *, now: float) -> bool:
        """Data was sent or received lately, or waits for an acknowledgement."""
        return now - self._active_at < ACTIVE_PERIOD or streams.buffered > 0

    def _keepalive_interval(self, streams: Streams, *, now: float) -> float | None:
        if self.is_active(streams, now=now):
            return KEEPALIVE_ACTIVE
        # One end is enough to keep NAT mappings open, and the client is the one behind a NAT.
        return KEEPALIVE_IDLE if self._is_client else None

    def _probe_at(self, path: Path, paths: Collection[Path], interval: float | None) -> float | None:
        """When a path must be probed for a reason other than its probe timeout, None for no such reason."""
        if path.is_blocked:
            return None
        recovery, times = path.recovery, [path.hearing.probe_at(path.recovery)]
        if interval is None and path.hearing.is_one_way:
            interval = KEEPALIVE_IDLE
        if recovery.is_idle and interval is not None:
            # Only ack-eliciting packets count: a path may send nothing but ACKs, and would stay down.
            times.append(recovery.last_sent_at + _sparse(interval, path))
        elif recovery.is_idle and path.last_received_at is not None:
            # The client probes every path; if it seems to leave one out, that path may have lost the probes.
            missed_at = max(path.last_received_at, recovery.last_sent_at) + KEEPALIVE_IDLE + _ASK_GRACE
            if any((other.last_received_at or 0.0) > path.last_received_at + KEEPALIVE_ACTIVE for other in paths):
                times.append(missed_at)
        return min((time for time in times if time is not None), default=None)

    def _expires_at(self, streams: Streams) -> float:
        return self.last_received_at + (OUTAGE_TIMEOUT if len(streams) else IDLE_TIMEOUT)

    def _status_times(self, path: Path) -> Iterable[float]:
        since = path.recovery.unanswered_since
        if path.hearing.is_deaf or (path.hearing.is_mute and since is not None):
            return  # until a packet arrives that ends this state, or the next keep-alive is due
        if path.use is PathUse.OFF and path.standing.is_down:
            return  # until another policy arrives
        if since is not None and not path.standing.is_down and self._updated_at < since + DOWN_AFTER:
            yield max(since + DOWN_AFTER, self._updated_at + _UPDATE_INTERVAL)
        elif since is None and path.standing.status in (PathStatus.DOWN, PathStatus.PROBING):
            yield self._updated_at + _UPDATE_INTERVAL
        elif path.standing.status is PathStatus.DEGRADED:
            yield max(path.standing.degraded_until, self._updated_at + _UPDATE_INTERVAL)


def _sparse(interval: float, path: Path) -> float:
    """The keep-alive interval of a path: at least KEEPALIVE_IDLE for a backup, where every probe costs money."""
    return max(interval, KEEPALIVE_IDLE) if path.use is PathUse.BACKUP else interval
