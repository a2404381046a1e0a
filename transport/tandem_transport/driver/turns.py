"""When the sans-I/O core gets its turn, and what time it is.

The clock is read once in a turn of the event loop: everything that was received together
has one time, read as early as possible, and all decisions of a turn agree.

A turn costs more than a packet. Packets that come one by one and fast share turns: one every four milliseconds. A turn
that hurries, because somebody may wait for what has come or because a timer is due, comes two milliseconds after the
last one. Where nobody has waited for a second, turns come every eight milliseconds and read the sockets themselves.
"""

import asyncio
import time
from abc import ABC, abstractmethod

from tandem_transport.driver.deferral import DEFERRED_GAP, MAX_SENT, Deferrable, Deferral
from tandem_transport.parameters import GRANULARITY, MAX_PACER_QUANTUM
from tandem_transport.session.connection import Connection

TURN_GAP = 0.004
"""Seconds between two turns of a busy endpoint."""

SHORT_GAP = 0.002
"""Seconds between two turns where the second one hurries."""

TURN_BURST = 0.064
"""Maximum seconds of TURN_GAP that an idle endpoint saves up for later turns without a gap, so that a key press, or the
setup of a TCP connection, does not wait."""

_MAX_ROUNDS = 100
"""Maximum rounds of events and datagrams in one turn; more would starve the rest of the process."""


class TurnTaker(ABC):
    """Runs a sans-I/O endpoint: one timer, one call per turn of the loop."""

    def __init__(self) -> None:
        self._now: float | None = None
        self._is_stopped = self._is_put_off = self._hurries = False
        """The scheduled turn is delayed: what arrives before it does not have the time of that turn. If it hurries, it
        is delayed less."""
        self._scheduled: asyncio.Handle | None = None
        """The turn that was requested; None where none was."""
        self._next_turn_at = self._last_turn_at = self._scheduled_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline: float | None = None
        """The next timeout of the endpoint, as of the end of the last turn. What has arrived since then does not change
        it: it only adds data for the next turn's datagrams, or deadlines in the future."""
        self._lateness = 0.0
        self._deferral = Deferral()

    def now(self) -> float:
        """The time of this turn, or the current time where no turn is due."""
        if self._now is not None:
            return self._now
        now = time.monotonic()
        if self._scheduled is not None and not self._is_put_off:
            self._now = now
        return now

    def wake(self, *, hurries: bool = False) -> None:
        """Requests a turn, because something was received or a command was given.

        It hurries where somebody may wait for what has come: a key press, or its echo.
        """
        if hurries:
            self._deferral.suspend(now=self.now())
        self._request(hurries=hurries)

    def defer(self, sock: Deferrable, size: int) -> bool:
        """Leaves a socket that had `size` bytes to turns, where these come often; tells whether it does."""
        now = self.now()
        is_busy = now < self._last_turn_at + 2 * DEFERRED_GAP and not self._is_stopped
        if not (is_busy and self._deferral.accept(sock, size, now=now)):
            return False
        self._request(hurries=False)  # what it had may have been dropped, and have caused no turn
        return True

    def _request(self, *, hurries: bool) -> None:
        is_better = hurries and self._is_put_off and not self._hurries
        if self._is_stopped or (self._scheduled is not None and not is_better):
            return
        # A turn that reads sockets uses up no turn without a gap: nobody waits for it.
        usual = max(self._next_turn_at, self._last_turn_at + DEFERRED_GAP) if self._deferral else self._next_turn_at
        self._schedule(min(usual, self._last_turn_at + SHORT_GAP) if hurries else usual)
        self._hurries = hurries

    def _schedule(self, at: float) -> None:
        loop = asyncio.get_running_loop()  # first: without one nothing is scheduled
        self._cancel_scheduled()
        self._scheduled_at = at
        early = at - time.monotonic()
        self._is_put_off = early > 0
        begin = self._begin_turn
        self._scheduled = loop.call_later(early, begin) if self._is_put_off else loop.call_soon(begin)

    def _cancel_scheduled(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def stop_turns(self) -> None:
        """Stops all further turns."""
        self._is_stopped = True
        self._deferral.clear()
        self._cancel_scheduled()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def quantum(self) -> float:
        """Seconds that a pacer may catch up: the usual lateness of turns, within limits."""
        return min(max(2 * self._gap, self._lateness), MAX_PACER_QUANTUM)

    def _apply_quantum(self, connection: Connection) -> None:
        """Tells a session how late turns are. Where a path may not catch that up (behind a policer), none may wait."""
        if connection.set_quantum(self.quantum) < DEFERRED_GAP:
            self._deferral.suspend(now=self.now())

    @property
    def _gap(self) -> float:
        return DEFERRED_GAP if self._deferral else TURN_GAP

    # --- what the endpoint does ---

    @abstractmethod
    def _handle_timeout(self, now: float) -> None: ...

    @abstractmethod
    def _handle_events(self) -> bool:
        """Handles all events; tells whether there were any."""

    @abstractmethod
    def _transmit(self, now: float) -> int:
        """Sends all datagrams; returns their number."""

    @abstractmethod
    def _next_timeout(self) -> float | None: ...

    # --- the turn ---

    def _begin_turn(self) -> None:
        if self._is_put_off:
            self._note_lateness(self._scheduled_at)
        self._scheduled = None  # it is this one
        self._turn()

    def _note_lateness(self, due: float) -> None:
        """Something that the event loop should have done at a time is done now: how late turns usually are."""
        self._lateness += (max(0.0, self.now() - due) - self._lateness) / 8

    def _turn(self) -> None:
        if self._is_stopped:
            return
        now = self._now = self.now()
        self._cancel_scheduled()
        self._is_put_off = self._hurries = False
        self._last_turn_at = now
        self._next_turn_at = min(max(self._next_turn_at, now - TURN_BURST), now) + self._gap
        try:
            self._take_turn(now)
        finally:
            self._now = None  # even after an error, the next turn must read the clock again, and the sockets
            if self._deferral:
                self.wake()

    def _take_turn(self, now: float) -> None:
        self._deferral.read(now=now)
        if self._deadline is not None and self._deadline <= now:
            self._handle_timeout(now)
        sent = 0
        for _ in range(_MAX_ROUNDS):
            had_events, more = self._handle_events(), self._transmit(now)
            sent += more
            if not more and not had_events:
                break
        if sent > MAX_SENT:
            self._deferral.suspend(now=now)
        self._deadline = self._next_timeout()
        # A turn that reads sockets is soon enough for any timer.
        self._arm(now, None if self._deferral else self._deadline)

    def _arm(self, now: float, timeout: float | None) -> None:
        if self._timer is not None:
            if timeout is not None and abs(timeout - self._timer_at) < GRANULARITY / 2:
                return
            self._timer.cancel()
            self._timer = None
        if timeout is not None:
            # An event loop fires timers below one millisecond at once, which would be a busy loop.
            delay = max(timeout - now, GRANULARITY)
            self._timer_at = now + delay
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self.now()
        self._note_lateness(self._timer_at)
        # A turn that was put off comes now, too. But timers of a hundred sessions must not bring one each millisecond.
        if now >= min(self._next_turn_at, self._last_turn_at + SHORT_GAP):
            self._turn()
        else:
            self._request(hurries=True)
